"""The two listening sockets: made with their modes, or taken from systemd (sd_listen_fds(3))."""

import contextlib
import grp
import os
import socket
from pathlib import Path

BACKLOG = 512


def group_id(name: str) -> int | None:
    """Return the gid of a group, or None when this host has none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def listen(path: Path, mode: int, gid: int | None) -> socket.socket:
    """Bind and listen at `path`, replacing a leftover. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    # Between bind and chmod nobody else may connect; the umask sees to it.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    if gid is not None:
        os.chown(path, 0, gid)
    os.chmod(path, mode)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
