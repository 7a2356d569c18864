"""The daemon's side of the procfs protocol: frames, and a sender that never blocks.

The `encode_*` functions are pure: a name and a body in, one frame out, ValueError for what
asm-procfs would close the connection for. The receiver, and the layout, are procfs_shim/protocol.h.

`ProcfsChannel` holds the connection and what has not been sent yet. Its invariants:

- No call waits. What the socket does not take now is queued; flush() goes on when fileno() is
  writable.
- The queue holds at most one frame for each name: a newer PUT or REMOVE takes the place of the one
  that waits. So a slow asm-procfs costs memory for one snapshot, and readers miss only versions
  that were out of date already. BEGIN_SYNC discards what waits, for all of it is sent again.
- A body that equals the last one sent for its name is not sent again: the TICK vouches for it.
- Events that wait are at most EVENTS_QUEUED_MAX; the oldest are lost, and readers are told by a
  "lost" line in their place.
- A lost connection is told by ConnectionLost from flush(). The descriptor stays open until close()
  or connect(), so that an event loop can forget it first. What was queued is dropped then: over a
  new connection the daemon sends all again, between begin_sync() and end_sync(). Events may be sent
  again there too; asm-procfs leaves out those it has.

It is not thread-safe, and knows no clock and no tree: what to publish when is daemon/publish.py.

Sources: unix(7); sendmsg(2) (a stream socket takes any part of what it is given).
"""

import errno
import os
import socket
import struct
from collections import OrderedDict, deque
from enum import IntEnum

NAME_BYTES_MAX = 255
BODY_BYTES_MAX = 8 << 20
LINE_BYTES_MAX = 64 << 10
DEPTH_MAX = 4

# As many as asm-procfs keeps: older ones would be overwritten on arrival.
EVENTS_QUEUED_MAX = 1024

# Twice the largest single body. 1,000 agents' files together take about 4 MiB.
QUEUED_BYTES_MAX = 16 << 20

# One sendmsg(2): about what a socket's buffer holds. Frames committed to it can no longer be
# replaced by newer ones. IOV_MAX is 1,024.
FRAMES_PER_SEND = 256
BYTES_PER_SEND = 256 << 10

_HEADER = struct.Struct("<IHHQ")


class Verb(IntEnum):
    """What a frame asks for; the numbers are procfs_shim/protocol.h's."""

    PUT_TEXT = 1
    PUT_JSON = 2
    REMOVE = 3
    TICK = 4
    BEGIN_SYNC = 5
    END_SYNC = 6
    EVENT = 7
    PUT_LINK = 8


class ConnectionLost(Exception):
    """No connection to asm-procfs (any more); connect() again, later."""

    def __init__(self, operation: str, path: str, errno_: int) -> None:
        super().__init__(f"unable to {operation} asm-procfs at {path}: {os.strerror(errno_)}")
        self.operation = operation
        self.path = path
        self.errno = errno_


def encode_put_text(name: str, body: str) -> bytes:
    """Show `body` as the text file `name`, from now on."""
    return _encode(Verb.PUT_TEXT, _checked_name(name), body.encode())


def encode_put_json(name: str, body: str) -> bytes:
    """Show `body`, the text of one whole JSON object, as the file `name`.

    asm-procfs adds the members `stale` and `age_ms` at each open; the body must not have them.
    """
    text = body.rstrip()
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"body of {name} is not a JSON object")
    return _encode(Verb.PUT_JSON, _checked_name(name), text[:-1].rstrip().encode())


def encode_put_link(name: str, target: str) -> bytes:
    """Make `name` a symbolic link to `target`, a name relative to the link's directory."""
    return _encode(Verb.PUT_LINK, _checked_name(name), _checked_name(target))


def encode_remove(name: str) -> bytes:
    """Remove a file, a link, or a directory with all below it; an absent name is fine."""
    return _encode(Verb.REMOVE, _checked_name(name), b"")


def encode_tick() -> bytes:
    """Vouch for everything put so far."""
    return _encode(Verb.TICK, b"", b"")


def encode_begin_sync() -> bytes:
    """From here to END_SYNC, everything is put again."""
    return _encode(Verb.BEGIN_SYNC, b"", b"")


def encode_end_sync() -> bytes:
    """Drop every name that was not put since BEGIN_SYNC."""
    return _encode(Verb.END_SYNC, b"", b"")


def encode_event(line: str) -> bytes:
    """Add one JSON line to `events`."""
    body = line.removesuffix("\n").encode()
    if not body or b"\n" in body or len(body) + 1 > LINE_BYTES_MAX:
        raise ValueError("an event is one line of at most 64 KiB")
    return _encode(Verb.EVENT, b"", body)


def _encode(verb: Verb, name: bytes, body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"body of {name.decode()} is over {BODY_BYTES_MAX} bytes")
    return _HEADER.pack(len(body), verb, len(name), 0) + name + body


def _checked_name(name: str) -> bytes:
    encoded = name.encode()
    parts = name.split("/")
    if len(encoded) > NAME_BYTES_MAX or len(parts) > DEPTH_MAX:
        raise ValueError(f"name is too long or too deep: {name!r}")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"not a plain relative name: {name!r}")
    if any(byte < 0x20 or byte == 0x7F for byte in encoded):
        raise ValueError(f"control character in name: {name!r}")
    return encoded


class ProcfsChannel:
    """One connection to asm-procfs. connect(), publish, flush(); see the module's invariants."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._sending: deque[memoryview] = deque()  # in order, the first perhaps half sent
        # What may still be replaced. A name's frame under its name; BEGIN_SYNC, END_SYNC and TICK
        # under their verbs.
        self._waiting: OrderedDict[str | Verb, bytes] = OrderedDict()
        self._events: deque[bytes] = deque()
        self._events_lost = 0
        # Of the last body sent: directory -> name in it -> hash.
        self._sent_hashes: dict[str, dict[str, int]] = {}
        self._queued_bytes = 0

    @property
    def is_connected(self) -> bool:
        """Whether connect() has succeeded and nothing was closed since; it may be lost already."""
        return self._socket is not None

    @property
    def queued_bytes(self) -> int:
        """What waits for the socket; 0 when all is sent."""
        return self._queued_bytes

    def fileno(self) -> int:
        """Readable or hung up: asm-procfs has gone (flush() tells). Raises when not connected."""
        if self._socket is None:
            raise ConnectionLost("watch", self._path, errno.ENOTCONN)
        return self._socket.fileno()

    def connect(self) -> None:
        """Connect anew, with nothing queued. Raises ConnectionLost (ENOENT, ECONNREFUSED …)."""
        self.close()
        connection = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise ConnectionLost("connect to", self._path, error.errno or errno.EIO) from error
        self._socket = connection

    def close(self) -> None:
        """Close, and forget what was queued; fine when closed already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._sending.clear()
        self._waiting.clear()
        self._events.clear()
        self._events_lost = 0
        self._sent_hashes.clear()
        self._queued_bytes = 0

    def put_text(self, name: str, body: str) -> None:
        """Queue a text file (encode_put_text)."""
        self._put(name, encode_put_text(name, body))

    def put_json(self, name: str, body: str) -> None:
        """Queue a JSON file (encode_put_json)."""
        self._put(name, encode_put_json(name, body))

    def put_link(self, name: str, target: str) -> None:
        """Queue a symbolic link (encode_put_link)."""
        self._put(name, encode_put_link(name, target))

    def remove(self, name: str) -> None:
        """Queue a removal, also of a directory and with it of all that waits for below it."""
        frame = encode_remove(name)
        directory, _, leaf = name.rpartition("/")
        self._sent_hashes.get(directory, {}).pop(leaf, None)
        for path in [path for path in self._sent_hashes if f"{path}/".startswith(f"{name}/")]:
            del self._sent_hashes[path]
        for waiting in list(self._waiting):
            if isinstance(waiting, str) and waiting.startswith(f"{name}/"):
                self._discard(waiting)
        self._replace(name, frame)

    def event(self, line: str) -> None:
        """Queue a line for `events`."""
        self._events.append(encode_event(line))
        self._queued_bytes += len(self._events[-1])
        if len(self._events) > EVENTS_QUEUED_MAX:
            self._queued_bytes -= len(self._events.popleft())
            self._events_lost += 1

    def tick(self) -> None:
        """Queue a TICK, behind everything else."""
        self._discard(Verb.TICK)
        self._replace(Verb.TICK, encode_tick())

    def begin_sync(self) -> None:
        """Start to put everything again; what waited is out of date."""
        for key in list(self._waiting):
            self._discard(key)
        self._sent_hashes.clear()
        self._replace(Verb.BEGIN_SYNC, encode_begin_sync())

    def end_sync(self) -> None:
        """Everything has been put: the rest vanishes."""
        self._replace(Verb.END_SYNC, encode_end_sync())

    def flush(self) -> bool:
        """Send what the socket takes. True: nothing is left. Raises ConnectionLost."""
        if self._socket is None:
            raise ConnectionLost("send to", self._path, errno.ENOTCONN)
        try:
            self._check_hangup(self._socket)
            while self._fill_sending():
                sent = self._socket.sendmsg(self._sending, (), socket.MSG_NOSIGNAL)
                self._drop_sent(sent)
        except BlockingIOError:
            self._check_bound()
            return False
        except OSError as error:
            raise ConnectionLost("send to", self._path, error.errno or errno.EIO) from error
        return True

    @staticmethod
    def _check_hangup(connection: socket.socket) -> None:
        # asm-procfs never sends: readable means its end.
        try:
            connection.recv(1)
        except BlockingIOError:
            return
        raise ConnectionResetError(errno.ECONNRESET, "closed by asm-procfs")

    def _put(self, name: str, frame: bytes) -> None:
        directory, _, leaf = name.rpartition("/")
        hashes = self._sent_hashes.setdefault(directory, {})
        digest = hash(frame)
        if hashes.get(leaf) == digest:
            return
        hashes[leaf] = digest
        self._replace(name, frame)

    def _replace(self, key: str | Verb, frame: bytes) -> None:
        """Queue at the end, or in the place of the frame that waits under this key."""
        self._queued_bytes += len(frame) - len(self._waiting.get(key, b""))
        self._waiting[key] = frame

    def _discard(self, key: str | Verb) -> None:
        self._queued_bytes -= len(self._waiting.pop(key, b""))

    def _fill_sending(self) -> bool:
        """When all is sent, commit the next frames to the stream; False when there are none.

        Events go first, but behind BEGIN_SYNC: only inside are repeated ones recognised.
        """
        room = 0 if self._sending else BYTES_PER_SEND
        while room > 0 and len(self._sending) < FRAMES_PER_SEND:
            if Verb.BEGIN_SYNC in self._waiting:
                frame = self._waiting.pop(Verb.BEGIN_SYNC)
            elif self._events_lost:
                frame = encode_event(f'{{"type":"lost","count":{self._events_lost}}}')
                self._events_lost = 0
                self._queued_bytes += len(frame)
            elif self._events:
                frame = self._events.popleft()
            elif self._waiting:
                frame = self._waiting.popitem(last=False)[1]
            else:
                break
            self._sending.append(memoryview(frame))
            room -= len(frame)
        return bool(self._sending)

    def _drop_sent(self, sent: int) -> None:
        self._queued_bytes -= sent
        while sent:
            first = self._sending.popleft()
            if sent < len(first):
                self._sending.appendleft(first[sent:])
                break
            sent -= len(first)

    def _check_bound(self) -> None:
        if self._queued_bytes <= QUEUED_BYTES_MAX:
            return
        raise ConnectionLost("send to", self._path, errno.ENOBUFS)
