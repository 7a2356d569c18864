"""A small synchronous client of both sockets, for the CLI, tests and agent programs.

Imports only what starts fast: a CLI verb has 60 ms in all. It blocks, with a time-out on every
call, and is not thread-safe: one client per thread.
"""

import errno
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any

from supervisord_asm.api.wire import Decoder, Frame, WireError, encode_arguments, encode_frame

AGENT_SOCKET = "/run/asm/asm.sock"
CONTROL_SOCKET = "/run/asm/control.sock"


class ClientError(Exception):
    """The root of what a call can raise."""


class Unreachable(ClientError):
    """No daemon answered: connecting, sending or receiving failed with `errno`."""

    def __init__(self, path: str, errno_: int) -> None:
        super().__init__(f"unable to reach asmd at {path}: {os.strerror(errno_)}")
        self.path = path
        self.errno = errno_


class Refused(ClientError):
    """The daemon answered no: a negative errno with the daemon's words."""

    def __init__(self, errno_: int, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.errno = errno_
        self.message = message
        self.details = details

    @property
    def hint(self) -> str | None:
        """What would be right, in the daemon's words; None when it gave none."""
        hint = self.details.get("hint")
        return hint if isinstance(hint, str) else None


class Client:
    """One connection to asmd. Use as a context manager, or call close()."""

    def __init__(self, path: str = CONTROL_SOCKET, timeout_s: float = 5.0) -> None:
        """Connect. Raises Unreachable (ENOENT, ECONNREFUSED, EACCES, ETIMEDOUT …)."""
        self._path = path
        self._next_id = 1
        self._decoder = Decoder()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # Python's own time-out makes connect(2) give up at once where somebody else's connections
        # fill the queue; the kernel's waits for room.
        wait = struct.pack("@ll", *divmod(int(timeout_s * 1_000_000), 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise self._unreachable(error) from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bytes(len(wait)))
        self._socket.settimeout(timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; further calls fail. May be called twice."""
        self._socket.close()

    def set_timeout(self, timeout_s: float | None) -> None:
        """Bound each following call; None waits for ever (asmctl run --wait, logs -f)."""
        self._socket.settimeout(timeout_s)

    def call(
        self, number: int, args: tuple[int, int, int, int] = (0, 0, 0, 0), payload: bytes = b""
    ) -> tuple[int, bytes]:
        """Make one door call (500..511). Returns (signed result, reply payload)."""
        reply = self._exchange(number, encode_arguments(args, payload))
        return reply.result, reply.payload

    def control(self, verb: int, **request: Any) -> dict[str, Any]:
        """Make one control call. Returns the reply object; raises Refused on a negative result."""
        reply = self._exchange(verb, json.dumps(request).encode())
        try:
            answer = json.loads(reply.payload) if reply.payload else {}
        except ValueError as error:
            raise Refused(errno.EPROTO, f"asmd sent no JSON: {error}", {}) from error
        if not isinstance(answer, dict):
            raise Refused(errno.EPROTO, "asmd sent no JSON object", {})
        if reply.result < 0:
            text = answer.get("error") or os.strerror(-reply.result)
            raise Refused(-reply.result, str(text), answer)
        return answer

    def _exchange(self, number: int, payload: bytes) -> Frame:
        request_id = self._next_id
        self._next_id += 1
        try:
            request = encode_frame(Frame(number, request_id, payload))
        except WireError as error:
            raise Refused(errno.EMSGSIZE, f"the request is too large: {error}", {}) from error
        try:
            self._socket.sendall(request)
            while True:
                data = self._socket.recv(1 << 18)
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "connection closed")
                for frame in self._decoder.feed(data):
                    if frame.request_id == request_id:
                        return frame
        except OSError as error:
            raise self._unreachable(error) from error
        except WireError as error:
            raise Refused(errno.EPROTO, f"asmd broke the protocol: {error}", {}) from error

    def _unreachable(self, error: OSError) -> Unreachable:
        # socket.timeout carries no errno; to the caller it is ETIMEDOUT like any other.
        is_timeout = isinstance(error, TimeoutError | BlockingIOError)
        return Unreachable(self._path, errno.ETIMEDOUT if is_timeout else error.errno or errno.EIO)
