"""Which doors there are, in which order they are tried, and what "nobody there" is called."""

import errno
import os
from collections.abc import Sequence

DEFAULT_SOCKET = "/run/asm/asm.sock"
DEFAULT_DOORS = ("syscall", "socket")
# Connections of one client: below what an agent may have (16), so that two clients fit.
CONNECTIONS_MAX = 6
# connect(2)'s words for "nobody listens here".
NOBODY = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.EACCES, errno.ENOSYS})
_FINAL = {errno.ENOENT: errno.ENOSYS, errno.ECONNREFUSED: errno.EAGAIN, errno.EACCES: errno.EPERM}


def chosen_doors(doors: Sequence[str] | None) -> tuple[str, ...]:
    """Return the doors to try, in order: as given, else by ASM_DOORS. Raises ValueError."""
    if doors is None:
        text = os.environ.get("ASM_DOORS", "")
        found = tuple(text.split(",")) if text else DEFAULT_DOORS
    else:
        found = tuple(doors)
    if not found or set(found) - set(DEFAULT_DOORS) or len(set(found)) != len(found):
        raise ValueError(f"doors are some of {DEFAULT_DOORS}, in any order: not {found}")
    return found


def socket_path(path: str | None) -> str:
    """Return the socket's path: as given, else ASM_SOCKET, else the published one."""
    return path or os.environ.get("ASM_SOCKET") or DEFAULT_SOCKET


def final_errno(number: int) -> int:
    """Return what the failure to reach the last door is called, as a call's errno."""
    return _FINAL.get(number, number)
