"""sd_notify(3) for Python: one datagram to NOTIFY_SOCKET."""

import os
import socket


def notify(state: str) -> bool:
    """Send "READY=1", "STATUS=…" and the like. False when nobody listens. Raises OSError."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)
    return True
