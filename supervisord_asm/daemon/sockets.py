"""The two listening sockets, made with their modes; and whose allowance a connection is on."""

import contextlib
import grp
import os
import socket
from pathlib import Path

from supervisord_asm.api.server import Caps, Peer
from supervisord_asm.core.daemon_spec import SocketsSpec
from supervisord_asm.kernel.identity import Kind, Principal

BACKLOG = 512
# Strangers share one small allowance, however many uids they have.
STRANGER_SHARE = "strangers"
STRANGER_CONNECTIONS = 16


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


def agent_caps(sockets: SocketsSpec, agents_max: int) -> Caps:
    """Return the bounds of the agents' socket."""
    return Caps(
        connections_total=4 * agents_max,
        connections_per_share=sockets.agent_connections,
        requests_per_sec=sockets.agent_requests_per_sec,
        requests_burst=sockets.agent_requests_burst,
        partial_frame_timeout_s=sockets.idle_timeout_usec / 1e6,
    )


def control_caps(sockets: SocketsSpec) -> Caps:
    """Return the bounds of the control socket.

    Whoever else gets to open it shares few: operators cannot be locked out by connections.
    """
    return Caps(
        connections_total=sockets.control_connections + STRANGER_CONNECTIONS,
        connections_per_share=sockets.control_connections,
        requests_per_sec=100_000,
        requests_burst=100_000,
        partial_frame_timeout_s=sockets.idle_timeout_usec / 1e6,
        share_limits={STRANGER_SHARE: STRANGER_CONNECTIONS},
    )


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
