"""A Server of the api on a real Unix socket, in a thread of its own, and plain sockets as clients.

The handler is the test's: it echoes, waits, fails, or answers much.
"""

import asyncio
import errno
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from supervisord_asm.api.server import Caps, Server, over_rate, refusal
from supervisord_asm.api.wire import (
    PAYLOAD_BYTES_MAX,
    Decoder,
    Frame,
    encode_frame,
)

ECHO, LATER, FAIL, FAIL_LATER, BIG, TOO_BIG, NOTHING = 500, 501, 502, 503, 504, 505, 506
TIMEOUT_S = 5.0
T = TypeVar("T")
CAPS = Caps(
    connections_total=300, connections_per_share=250, requests_per_sec=1_000_000,
    requests_burst=1_000_000, partial_frame_timeout_s=0.3,
)  # fmt: skip


def answer(peer: Any, frame: Frame) -> Frame | Awaitable[Frame]:
    match frame.number:
        case 501:
            return answer_later(frame)
        case 502:
            raise ZeroDivisionError("a bug in a handler")
        case 503:
            return fail_later()
        case 504:
            return Frame(0, 0, bytes(PAYLOAD_BYTES_MAX))
        case 505:
            return Frame(0, 0, bytes(PAYLOAD_BYTES_MAX + 1))
        case 1024:
            return Frame(0, 0, frame.payload)
        case 1025:
            return refusal(frame, errno.ESRCH, json.dumps({"error": "no", "hint": "ask"}).encode())
        case 1026:
            return Frame(0, 0, b"no JSON")
        case 1027:
            return Frame(0, 0, b"[1]", -errno.EINVAL)
    return Frame(0, 0, frame.payload, len(frame.payload))


async def answer_later(frame: Frame) -> Frame:
    """Wait as long as the payload says, then echo it."""
    await asyncio.sleep(struct.unpack("<d", frame.payload[:8])[0])
    return Frame(0, 0, frame.payload, len(frame.payload))


async def fail_later() -> Frame:
    await asyncio.sleep(0)
    raise ZeroDivisionError("a bug in a handler")


class Running:
    """A server in a thread with a loop of its own."""

    def __init__(self, path: Path, caps: Caps = CAPS) -> None:
        self.path = str(path)
        self.errors: list[dict[str, Any]] = []
        self.peer: object = "peer"
        self.asked: Counter[int] = Counter()  # calls that came to the handler, by number
        self.server: Server
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.call(lambda: self._open(caps))

    async def _open(self, caps: Caps) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(512)
        self.server = Server(
            loop=self._loop, caps=caps, identify=lambda peer_socket: self.peer,
            share_of=lambda peer: peer, handler=self._count_and_answer, refused=over_rate,
        )  # fmt: skip
        await self.server.listen(listener)

    def _count_and_answer(self, peer: Any, frame: Frame) -> Frame | Awaitable[Frame]:
        self.asked[frame.number] += 1
        return answer(peer, frame)

    def call(self, made: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine in the server's loop."""

        async def run() -> T:
            return await made()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(TIMEOUT_S)

    def counter(self, name: str) -> int:
        return self.server.counters[name]

    def connections(self) -> int:
        return sum(self.server.connections.values())

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(TIMEOUT_S)
        client.connect(self.path)
        return client

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *raised: object) -> None:
        async def close() -> None:
            self.server.close()
            await asyncio.sleep(0.01)

        self.call(close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()


def request(number: int, request_id: int = 1, payload: bytes = b"") -> bytes:
    return encode_frame(Frame(number, request_id, payload))


def replies(client: socket.socket, count: int) -> list[Frame]:
    """Read that many replies, which must come within the time-out."""
    decoder, found = Decoder(), list[Frame]()
    while len(found) < count:
        data = client.recv(1 << 18)
        assert data, f"cut after {len(found)} of {count} replies"
        found += decoder.feed(data)
    return found


def is_served(running: Running) -> bool:
    """Whether a new, well-behaved client gets its answer."""
    with running.connect() as other:
        other.sendall(request(ECHO, 7, b"hello"))
        return replies(other, 1) == [Frame(ECHO, 7, b"hello", 5)]


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


def is_cut(client: socket.socket) -> bool:
    """Whether the server has closed the connection, waiting for it to do so."""
    try:
        while client.recv(1 << 18):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True
