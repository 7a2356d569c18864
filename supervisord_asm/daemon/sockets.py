"""The two listening sockets: made with their modes, bounded, and served."""

import asyncio
import contextlib
import grp
import os
import socket
from pathlib import Path

from supervisord_asm.api.server import Caps, Handler, Identify, Peer, Server, over_rate
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


async def serve_agents(
    loop: asyncio.AbstractEventLoop, path: Path, sockets: SocketsSpec, agents_max: int,
    identify: Identify, handler: Handler,
) -> Server:  # fmt: skip
    """Open the agents' socket to everybody. Raises OSError."""
    caps = Caps(
        connections_total=4 * agents_max,
        connections_per_share=sockets.agent_connections,
        requests_per_sec=sockets.agent_requests_per_sec,
        requests_burst=sockets.agent_requests_burst,
        partial_frame_timeout_s=sockets.idle_timeout_usec / 1e6,
    )
    server = Server(
        loop=loop, caps=caps, identify=identify, share_of=_agent_share_of, handler=handler,
        refused=over_rate,
    )  # fmt: skip
    await server.listen(listen(path, 0o666, None))
    return server


async def serve_operators(
    loop: asyncio.AbstractEventLoop, path: Path, sockets: SocketsSpec, gid: int | None,
    identify: Identify, handler: Handler,
) -> Server:  # fmt: skip
    """Open the control socket to root and the group. Raises OSError.

    Whoever else gets to open it shares few: operators cannot be locked out by connections.
    """
    caps = Caps(
        connections_total=sockets.control_connections + STRANGER_CONNECTIONS,
        connections_per_share=sockets.control_connections,
        requests_per_sec=100_000,
        requests_burst=100_000,
        partial_frame_timeout_s=sockets.idle_timeout_usec / 1e6,
        share_limits={STRANGER_SHARE: STRANGER_CONNECTIONS},
    )
    server = Server(
        loop=loop, caps=caps, identify=identify, share_of=_control_share_of, handler=handler,
        refused=over_rate,
    )  # fmt: skip
    await server.listen(listen(path, 0o660, gid))
    return server


def _control_share_of(peer: Peer) -> Peer:
    assert isinstance(peer, Principal)
    return Kind.OPERATOR if peer.kind is Kind.OPERATOR else STRANGER_SHARE


def _agent_share_of(peer: Peer) -> Peer:
    assert isinstance(peer, Principal)
    if peer.kind is Kind.AGENT:
        return peer.agent_id
    return Kind.OPERATOR if peer.kind is Kind.OPERATOR else STRANGER_SHARE
