"""Who is on the other end of a socket, by the kernel's word alone.

A peer inside an agent's cgroup is that agent, whatever its uid. Operators are uid 0 or group asm
outside every agent cgroup. Everybody else is a stranger. Nothing that the peer says counts.

SO_PEERCRED names the process that connected, but by pid; a pid may be reused while we look. So the
process is pinned by a pidfd, its cgroup is read by number, and the pidfd must still reach it: until
then nobody else can have had that number. SO_PEERPIDFD (Linux 6.5) pins the very process that
connected; before it, pidfd_open pins whoever has the number now. One that is gone is PeerVanished,
and nobody is there to be answered (../shared/spec/CONTRACT.md, "Platform"; unix(7), pidfd_open(2),
proc(5)).
"""

import contextlib
import enum
import errno
import os
import signal
import socket
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

_UCRED = struct.Struct("3i")
# Linux, asm-generic/socket.h; Python 3.11's socket module does not name it.
SO_PEERGROUPS = 59
SO_PEERPIDFD = 77


class Kind(enum.Enum):
    """What a peer may do follows from what it is."""

    AGENT = "agent"
    OPERATOR = "operator"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Principal:
    """A peer as recorded in the audit trail. `agent_id` only with AGENT."""

    kind: Kind
    pid: int
    uid: int
    gid: int
    agent_id: int | None = None

    def __str__(self) -> str:
        who = f"agent {self.agent_id}" if self.kind is Kind.AGENT else self.kind.value
        return f"{who} (uid {self.uid}, pid {self.pid})"


class PeerVanished(Exception):
    """The peer ended while we looked: nobody is there to be answered."""


def start_time_ticks(pid: int) -> int:
    """Return field 22 of /proc/PID/stat, clock ticks since boot. Raises PeerVanished."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            text = stat.read()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise PeerVanished(f"process {pid} is gone") from error
    # The second field is a name in parentheses that may itself hold spaces and parentheses.
    return int(text[text.rindex(b")") + 2 :].split()[19])


def agent_of_cgroup(cgroup: str, agents: PurePosixPath) -> int | None:
    """Return the agent whose cgroup, or whose cgroup's child, `cgroup` is; None outside."""
    try:
        below = PurePosixPath(cgroup).relative_to(agents)
    except ValueError:
        return None
    # A peer that has ended may be in a cgroup that has been removed, and proc(5) says so.
    name = below.parts[0].removesuffix(" (deleted)") if below.parts else ""
    return int(name) if name.isascii() and name.isdigit() else None


def read_cgroup(pid: int) -> str:
    """Return the cgroup2 path of a process, as /proc/PID/cgroup has it. Raises PeerVanished."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("0::"):
                    return line[3:].rstrip("\n")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise PeerVanished(f"process {pid} is gone") from error
    raise PeerVanished(f"process {pid} is in no cgroup2 hierarchy")


def agent_of_process(pid: int, agents: PurePosixPath, pidfd: int | None = None) -> int | None:
    """Return the agent that a process is part of; None for none. Raises PeerVanished, OSError.

    `pidfd`, when given, is of the process that is meant; else of whoever has the number now.
    """
    if pid <= 0:
        raise PeerVanished("the process is gone, or outside our pid namespace")
    try:
        fd = os.pidfd_open(pid) if pidfd is None else pidfd
        try:
            agent_id = agent_of_cgroup(read_cgroup(pid), agents)
            signal.pidfd_send_signal(fd, 0)
        finally:
            if pidfd is None:
                os.close(fd)
    except ProcessLookupError as error:
        raise PeerVanished(f"process {pid} is gone") from error
    return agent_id


def identify(peer: socket.socket, agents: PurePosixPath, asm_gid: int | None) -> Principal:
    """Name the peer of a connected Unix socket. Raises PeerVanished, OSError.

    `agents` is the cgroup path that holds the agents, as /proc/PID/cgroup spells it.
    """
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    if pid <= 0:
        raise PeerVanished("the peer is outside our pid namespace")
    try:
        pidfd = _open_peer(peer, pid)
        try:
            agent_id = agent_of_process(pid, agents, pidfd)
        finally:
            os.close(pidfd)
    except ProcessLookupError as error:
        raise PeerVanished(f"process {pid} is gone") from error
    if agent_id is not None:
        return Principal(Kind.AGENT, pid, uid, gid, agent_id)
    groups = {gid, *_supplementary_groups(peer)}
    is_operator = uid == 0 or (asm_gid is not None and asm_gid in groups)
    return Principal(Kind.OPERATOR if is_operator else Kind.STRANGER, pid, uid, gid)


def _open_peer(peer: socket.socket, pid: int) -> int:
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise ProcessLookupError(error.errno, error.strerror) from error
        return os.pidfd_open(pid)
    return int.from_bytes(raw, "little")


def _supplementary_groups(peer: socket.socket) -> tuple[int, ...]:
    # Python passes at most 1,024 bytes: who is in more than 256 groups is not known by them.
    with contextlib.suppress(OSError):
        raw = peer.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
        return struct.unpack(f"{len(raw) // 4}I", raw)
    return ()
