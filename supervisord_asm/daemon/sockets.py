"""The two listening sockets, made with their modes; and whose allowance a connection is on."""

import contextlib
import grp
import os
import socket
from pathlib import Path

from supervisord_asm.api.server import Peer
from supervisord_asm.kernel.identity import Kind, Principal

BACKLOG = 512
# Strangers share one small allowance, however many uids they have.
STRANGER_SHARE = "strangers"


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


def control_share_of(peer: Peer) -> Peer:
    """Return whose allowance a connection to the control socket is on."""
    assert isinstance(peer, Principal)
    return Kind.OPERATOR if peer.kind is Kind.OPERATOR else STRANGER_SHARE


def agent_share_of(peer: Peer) -> Peer:
    """Return whose allowance a connection to the agents' socket is on."""
    assert isinstance(peer, Principal)
    if peer.kind is Kind.AGENT:
        return peer.agent_id
    return Kind.OPERATOR if peer.kind is Kind.OPERATOR else STRANGER_SHARE
