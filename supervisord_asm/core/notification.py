"""What an agent says through NOTIFY_SOCKET: the receiver's half of sd_notify(3). Pure.

A datagram is lines NAME=VALUE. Known names are taken, others ignored, as systemd does: programs say
much that is not for us (MAINPID=, FDSTORE=1, …). Text is the agent's and may be hostile: STATUS is
kept as one line of printable characters, and whoever shows it escapes it like any other.
"""

from dataclasses import dataclass

DATAGRAM_BYTES_MAX = 4096
STATUS_LENGTH_MAX = 256
# An agent may ask for this much more time at once; it may ask again.
EXTENSION_MAX_USEC = 3_600_000_000


class NotificationError(ValueError):
    """The datagram is no text."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What one datagram says. `status` is None when it says nothing of it, "" when it clears it."""

    is_ready: bool = False
    is_stopping: bool = False
    is_alive: bool = False  # WATCHDOG=1
    status: str | None = None
    extend_usec: int | None = None


def parse_notification(datagram: bytes) -> Notification:
    """Read one datagram. Raises NotificationError when it is no UTF-8."""
    try:
        lines = datagram.decode("utf-8").rstrip("\0").split("\n")
    except UnicodeDecodeError as error:
        raise NotificationError(str(error)) from error
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return Notification(
        is_ready=said.get("READY") == "1",
        is_stopping=said.get("STOPPING") == "1",
        is_alive=said.get("WATCHDOG") == "1",
        status=_status(said.get("STATUS")),
        extend_usec=_extension(said.get("EXTEND_TIMEOUT_USEC")),
    )


def _status(text: str | None) -> str | None:
    if text is None:
        return None
    return "".join(letter for letter in text if letter.isprintable())[:STATUS_LENGTH_MAX]


def _extension(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 20:
        return None
    return min(int(text), EXTENSION_MAX_USEC) or None
