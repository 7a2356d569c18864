"""The connection to asm-keeper: records of native/keeper/protocol.h with descriptors beside them.

`pack`/`unpack` mirror the C struct; `KeeperChannel` owns the socket. Receiving never blocks;
sending does for a moment when the keeper is busy, because an order must not be lost. Every
descriptor that arrives belongs to whoever takes the message.
"""

import array
import enum
import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0x314B5341
VERSION = 2
RECORD = struct.Struct("<IHHIIiiIiiIQQ16x")
FDS_MAX = 7
CONTROL_BYTES = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
SEND_TIMEOUT_S = 5

assert RECORD.size == 72


class Kind(enum.IntEnum):
    """enum sasm_keeper_type."""

    HELLO = 1
    SPAWN = 2
    ACK = 3
    QUIT = 4
    REST = 5
    CHILD = 16
    SYNCED = 17
    SPAWNED = 18
    EXECED = 19
    EXITED = 20


class KeeperTooOld(Exception):
    """The running keeper speaks an older protocol: orders of ours would be refused by it."""


class KeeperError(Exception):
    """Operation, object and errno of a failed exchange; the keeper must be taken as lost."""

    def __init__(self, operation: str, path: str, errno_: int) -> None:
        super().__init__(f"unable to {operation} asm-keeper at {path}: {os.strerror(errno_)}")
        self.operation = operation
        self.path = path
        self.errno = errno_


@dataclass(frozen=True, slots=True)
class KeeperMessage:
    """One record. Fields as in protocol.h; `fds` are open descriptors, ours from now on."""

    kind: Kind
    agent_id: int = 0
    run: int = 0
    pid: int = 0
    result: int = 0
    stage: int = 0
    wait_code: int = 0
    wait_status: int = 0
    is_exec_done: bool = False
    timestamp_us: int = 0
    dropped_bytes: int = 0
    version: int = VERSION
    fds: tuple[int, ...] = ()


def pack(message: KeeperMessage) -> bytes:
    """Return the 72 bytes of a record, without its descriptors."""
    return RECORD.pack(
        MAGIC, message.version, message.kind, message.agent_id, message.run, message.pid,
        message.result, message.stage, message.wait_code, message.wait_status,
        message.is_exec_done, message.timestamp_us, message.dropped_bytes,
    )  # fmt: skip


def unpack(data: bytes, fds: tuple[int, ...] = ()) -> KeeperMessage:
    """Return the record. Raises ValueError when the bytes are none."""
    if len(data) != RECORD.size:
        raise ValueError(f"a keeper record has {RECORD.size} bytes, not {len(data)}")
    (magic, version, kind, agent_id, run, pid, result, stage, code, status, done, at, dropped) = (
        RECORD.unpack(data)
    )
    if magic != MAGIC:
        raise ValueError(f"magic 0x{magic:08x} is not 0x{MAGIC:08x}")
    return KeeperMessage(
        Kind(kind), agent_id, run, pid, result, stage, code, status, bool(done), at, dropped,
        version, fds,
    )  # fmt: skip


class KeeperChannel:
    """One connection, as asmd. Close it to hand the agents back to the keeper alone."""

    def __init__(self, path: str) -> None:
        """Connect. Raises KeeperError (ENOENT, ECONNREFUSED: no keeper)."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            # The greeting of 1,000 children and a start of 1,000 agents fit without a stall.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            self._socket.connect(path)
            # An order waits for the keeper this long at most; it takes microseconds or is lost. By
            # the kernel's own time-out: Python's would make every receive wait as well.
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0)
            )
        except OSError as error:
            self._socket.close()
            raise self._failure("connect to", error) from error

    def fileno(self) -> int:
        """Return the socket's descriptor, readable when a message waits."""
        return self._socket.fileno()

    def peer_pid(self) -> int:
        """Return the pid of the keeper that listens (SO_PEERCRED, unix(7))."""
        size = struct.calcsize("3i")
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid: int = struct.unpack("3i", credentials)[0]
        return pid

    def send(self, message: KeeperMessage) -> None:
        """Send one record with its descriptors; they stay open here. Raises KeeperError."""
        control = []
        if message.fds:
            rights = array.array("i", message.fds)
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        try:
            self._socket.sendmsg([pack(message)], control, socket.MSG_NOSIGNAL)
        except OSError as error:
            raise self._failure("send to", error) from error

    def receive(self) -> Iterator[KeeperMessage]:
        """Yield what waits, without blocking. Raises KeeperError at the end of the connection."""
        while True:
            try:
                data, control, flags, _ = self._socket.recvmsg(
                    RECORD.size, CONTROL_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError as error:
                raise self._failure("receive from", error) from error
            if not data:
                raise KeeperError("receive from", self._path, errno.ECONNRESET)
            fds = _descriptors(control)
            try:
                if flags & socket.MSG_CTRUNC:
                    # The kernel could not give us all: we have as many files open as we may.
                    raise KeeperError("take descriptors of", self._path, errno.EMFILE)
                if flags & socket.MSG_TRUNC:
                    raise KeeperError("understand", self._path, errno.EPROTO)
                message = unpack(data, fds)
            except (KeeperError, ValueError) as error:
                for fd in fds:
                    os.close(fd)
                if isinstance(error, KeeperError):
                    raise
                raise KeeperError("understand", self._path, errno.EPROTO) from error
            yield message

    def close(self) -> None:
        """Close the connection. May be called twice."""
        self._socket.close()

    def _failure(self, operation: str, error: OSError) -> KeeperError:
        return KeeperError(operation, self._path, error.errno or errno.EIO)


def _descriptors(control: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    fds = array.array("i")
    for level, kind, rights in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    return tuple(fds)
