"""The socket that NOTIFY_SOCKET names: datagrams, each with its sender by the kernel's word.

The kernel adds the sender's credentials to each datagram (SCM_CREDENTIALS), and from Linux 6.5 on
a pidfd of that very process (SCM_PIDFD). Who it is, is found as for a connection: by its cgroup,
while the pidfd says that it is still there (identity.py). One that has ended meanwhile is nobody:
programs that send and leave at once wait until they have been heard, as systemd-notify(1) does by
sending a descriptor along (sd_notify_barrier(3)) that the receiver closes. We close all that come.

Known limit: who has CAP_SYS_ADMIN in our user namespace may write another pid into its credentials
(unix(7)), so an agent that is root and keeps that capability can speak as another agent.
"""

import array
import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from supervisord_asm.kernel.identity import PeerVanished, agent_of_process

_UCRED = struct.Struct("3i")
# Linux, asm-generic/socket.h and linux/socket.h; Python does not name them.
SO_PASSPIDFD = 76
SCM_PIDFD = 4
# As many as one message can carry (SCM_MAX_FD): what does not fit, the kernel closes.
DESCRIPTORS_MAX = 253
_ANCILLARY = (
    socket.CMSG_SPACE(_UCRED.size) + socket.CMSG_SPACE(4) + socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
)


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came. `agent_id` is None when the sender is no agent, or has gone."""

    data: bytes
    is_whole: bool
    agent_id: int | None


class NotifySocket:
    """The bound socket."""

    def __init__(self, path: Path, agents: PurePosixPath) -> None:
        """Bind at `path`, replacing a leftover, mode 0666. Raises OSError.

        `agents` is the cgroup path that holds the agents, as /proc/PID/cgroup spells it.
        """
        self._path = path
        self._agents = agents
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with contextlib.suppress(OSError):  # before 6.5 the number must do
                self._socket.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o666)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when a datagram waits."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it, and remove the file."""
        self._path.unlink(missing_ok=True)
        self._socket.close()

    def receive(self, bytes_max: int) -> Datagram | None:
        """Take one datagram; None when none waits. Descriptors that come with it are closed."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                bytes_max, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return None
        pid, pidfd, strangers = _unpack(ancillary)
        try:
            agent_id = agent_of_process(pid, self._agents, pidfd)
        except (PeerVanished, OSError):
            agent_id = None
        finally:
            for fd in (*strangers, *(() if pidfd is None else (pidfd,))):
                os.close(fd)
        return Datagram(data, not flags & socket.MSG_TRUNC, agent_id)


def _unpack(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int | None, list[int]]:
    """Return the sender's pid, a pidfd of it if the kernel gave one, and descriptors that came."""
    pid, pidfd, strangers = 0, None, array.array("i")
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            strangers.frombytes(data[: len(data) - len(data) % strangers.itemsize])
        elif kind == socket.SCM_CREDENTIALS and len(data) >= _UCRED.size:
            pid = _UCRED.unpack_from(data)[0]
        elif kind == SCM_PIDFD and len(data) >= 4:
            (number,) = struct.unpack_from("i", data)
            pidfd = number if number >= 0 else None  # an errno: it has gone
            pid = pid if number >= 0 else 0
    return pid, pidfd, list(strangers)
