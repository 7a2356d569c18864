"""Tells systemd how we are: the sender's half of sd_notify(3). Without NOTIFY_SOCKET a no-op."""

import os
import socket


def notify(state: str) -> None:
    """Send one datagram, such as "READY=1". Failing to is nobody's trouble but systemd's."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.send(state.encode())
        except OSError:
            return


def watchdog_interval_s() -> float | None:
    """Return how often WATCHDOG=1 is due (half of systemd's time), or None when nobody watches."""
    text = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not text.isdecimal() or pid != str(os.getpid()):
        return None
    return int(text) / 2e6
