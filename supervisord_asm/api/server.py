"""The server's side of one socket: connections, caps and order. Knows no call by number.

Each connection is a stream of frames (wire.py). Requests of one connection are answered in their
order, one at a time, and the next one when the last reply was taken. What a slow, broken or hostile
client can hold is bounded: one frame and one read of input, one reply of output, its share of
connections, its rate of requests, and the time in the middle of a frame, of its own or of ours. So
is what it can take of the loop's time: a turn accepts a few connections, reads a little of each and
answers a few frames of each, and whoever asks over its rate is heard again only after a pause.

The handler is given who asks (by the kernel's word, at the moment of the connection) and the frame,
and returns the reply frame, now or later. One that fails costs its caller an answer (EIO), and
nobody anything else. A client that ends its sending side has left: what it asked last may go
unanswered.
"""

import asyncio
import errno
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisord_asm.api.wire import Decoder, Frame, WireError, encode_frame

# Whatever `identify` returns; this file only hands it on.
Peer = Any
Handler = Callable[[Peer, Frame], Awaitable[Frame] | Frame]
Identify = Callable[[socket.socket], Peer | None]

# Requests that may wait on one connection before we stop reading it.
QUEUE_FRAMES_MAX = 16
# One turn of the loop: per connection, and per listening socket.
TURN_FRAMES_MAX = 16
READ_BYTES = 16 << 10
ACCEPT_MAX = 16
CONNECTIONS_WAITING_MAX = 512
# How long a connection is not heard after a refusal for its rate.
REFUSED_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Caps:
    """Bounds of one socket. Rates are per peer share (`share_of`), not per connection.

    `partial_frame_timeout_s` bounds a request from its first byte to its last, and the taking of a
    reply.
    """

    connections_total: int
    connections_per_share: int
    requests_per_sec: int
    requests_burst: int
    partial_frame_timeout_s: float
    # Shares that may have fewer connections than the others.
    share_limits: Mapping[Hashable, int] = field(default_factory=dict)


class TokenBucket:
    """A continuous refill, in whole nanoseconds; no remainder is lost."""

    __slots__ = ("_burst", "_level_ns", "_period_ns", "_updated_ns")

    def __init__(self, per_sec: int, burst: int, now_ns: int) -> None:
        self._period_ns = 1_000_000_000 // per_sec
        self._burst = burst * self._period_ns
        self._level_ns = self._burst
        self._updated_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """Take one token; False when there is none."""
        self._level_ns = min(self._burst, self._level_ns + now_ns - self._updated_ns)
        self._updated_ns = now_ns
        if self._level_ns < self._period_ns:
            return False
        self._level_ns -= self._period_ns
        return True

    def is_full(self, now_ns: int) -> bool:
        """Whether forgetting the bucket would give nothing away."""
        return self._level_ns + now_ns - self._updated_ns >= self._burst


class Server:
    """All connections of one listening socket."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        caps: Caps,
        identify: Identify,
        share_of: Callable[[Peer], Hashable],
        handler: Handler,
        refused: Callable[[Peer, Frame], Frame],
    ) -> None:
        """`refused` makes the reply to a request over the rate (EAGAIN)."""
        self.loop = loop
        self.caps = caps
        self.identify = identify
        self.share_of = share_of
        self.handler = handler
        self.refused = refused
        self.connections: Counter[Hashable] = Counter()
        self.counters: Counter[str] = Counter()
        self._buckets: dict[Hashable, TokenBucket] = {}
        self._open: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None
        # All connections read into this one: what is read is decoded before the next one reads.
        self.buffer = bytearray(READ_BYTES)

    async def listen(self, listener: socket.socket) -> None:
        """Serve a bound, listening socket, which is ours from now on."""
        self._server = await self.loop.create_unix_server(
            lambda: _Connection(self), sock=listener, backlog=ACCEPT_MAX
        )
        # asyncio has one number for both: how many wait, and how many are accepted in a turn.
        listener.listen(CONNECTIONS_WAITING_MAX)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.abort()

    def admit(self, connection: "_Connection", share: Hashable) -> bool:
        """Count a connection in; False when its share or the whole is full."""
        caps = self.caps
        if len(self._open) >= caps.connections_total or self.connections[
            share
        ] >= caps.share_limits.get(share, caps.connections_per_share):
            self.counters["connections_refused"] += 1
            return False
        self.connections[share] += 1
        self._open.add(connection)
        return True

    def leave(self, connection: "_Connection", share: Hashable) -> None:
        """Count a connection out."""
        self._open.discard(connection)
        self.connections[share] -= 1
        if self.connections[share] <= 0:
            del self.connections[share]
            bucket = self._buckets.get(share)
            if bucket is not None and bucket.is_full(self.now_ns()):
                del self._buckets[share]

    def may_ask(self, share: Hashable) -> bool:
        """Whether one more request is within the share's rate."""
        now = self.now_ns()
        bucket = self._buckets.get(share)
        if bucket is None:
            if len(self._buckets) > 4 * self.caps.connections_total:
                # Shares that come and go (uids) must not grow a table without bound.
                self._buckets = {k: b for k, b in self._buckets.items() if not b.is_full(now)}
            bucket = TokenBucket(self.caps.requests_per_sec, self.caps.requests_burst, now)
            self._buckets[share] = bucket
        return bucket.take(now)

    def now_ns(self) -> int:
        """The loop's clock, in whole nanoseconds."""
        return int(self.loop.time() * 1e9)


class _Connection(asyncio.BufferedProtocol):
    """One client. Frames wait in `_queue`; they are answered in order, by `_turn` or by `_task`.

    At most one of `_turn`, `_task` and `_unsent` is set: what the next answer waits for.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._decoder = Decoder()
        self._queue: deque[Frame] = deque()
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Handle | None = None
        self._unsent: asyncio.TimerHandle | None = None
        self._partial: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._peer: Peer | None = None
        self._share: Hashable = None
        self._is_admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # pause_writing as soon as anything is left
        # asyncio may serve a peer's last bytes after it has gone; identity must be asked now.
        peer_socket = transport.get_extra_info("socket")
        try:
            self._peer = self._server.identify(peer_socket)
        except OSError:
            self._peer = None
        if self._peer is not None:
            self._share = self._server.share_of(self._peer)
            self._is_admitted = self._server.admit(self, self._share)
        if not self._is_admitted:
            transport.abort()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_admitted:
            return
        known = len(self._queue)
        try:
            self._queue.extend(self._decoder.feed(bytes(self._server.buffer[:nbytes])))
        except WireError:
            self._server.counters["protocol_errors"] += 1
            self.abort()
            return
        if len(self._queue) > known:
            self._forget_partial_frame()
        self._watch_partial_frame()
        if len(self._queue) > QUEUE_FRAMES_MAX:
            self._stop_reading()
        if self._queue and not self._is_waiting:
            self._answer_ready()

    def pause_writing(self) -> None:
        self._stop_reading()
        self._unsent = self._server.loop.call_later(
            self._server.caps.partial_frame_timeout_s, self._cut_slow
        )

    def resume_writing(self) -> None:
        if self._unsent is not None:
            self._unsent.cancel()
            self._unsent = None
        if not self._is_waiting:
            self._answer_ready()

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self._partial, self._unsent, self._turn, self._task):
            if waiting is not None:
                waiting.cancel()
        if self._is_admitted:
            self._is_admitted = False
            self._server.leave(self, self._share)

    def abort(self) -> None:
        """Cut the connection at once."""
        self._transport.abort()

    @property
    def _is_waiting(self) -> bool:
        return any((self._turn, self._task, self._unsent))

    def _watch_partial_frame(self) -> None:
        """Bound the time of one frame: a byte now and then does not begin it anew."""
        if self._decoder.pending_bytes and self._partial is None:
            self._partial = self._server.loop.call_later(
                self._server.caps.partial_frame_timeout_s, self._cut_partial
            )

    def _forget_partial_frame(self) -> None:
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None

    def _stop_reading(self) -> None:
        self._transport.pause_reading()
        self._forget_partial_frame()  # it cannot end while we do not read

    def _go_on_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._watch_partial_frame()

    def _cut_partial(self) -> None:
        self._server.counters["partial_frames_cut"] += 1
        self.abort()

    def _cut_slow(self) -> None:
        self._server.counters["slow_clients_cut"] += 1
        self.abort()

    def _answer_ready(self) -> None:
        """Answer what can be answered at once, without the cost of a task, for one turn."""
        self._turn = None
        server = self._server
        if self._transport.is_closing():
            return
        for _ in range(min(len(self._queue), TURN_FRAMES_MAX)):
            frame = self._queue.popleft()
            assert self._peer is not None
            if not server.may_ask(self._share):
                server.counters["requests_refused"] += 1
                if self._send(frame, server.refused(self._peer, frame)):
                    self._stop_reading()
                    self._turn = server.loop.call_later(REFUSED_PAUSE_S, self._answer_ready)
                return
            reply = self._ask(frame)
            if not isinstance(reply, Frame):
                self._task = server.loop.create_task(self._answer_later(frame, reply))
                return
            if not self._send(frame, reply):
                return
        if self._queue:
            self._turn = server.loop.call_soon(self._answer_ready)
        else:
            self._go_on_reading()

    def _ask(self, frame: Frame) -> Awaitable[Frame] | Frame:
        try:
            return self._server.handler(self._peer, frame)
        except Exception as error:  # whatever a handler does wrong ends here
            return self._fail(frame, error)

    async def _answer_later(self, frame: Frame, pending: Awaitable[Frame]) -> None:
        try:
            reply = await pending
        except asyncio.CancelledError:
            self.abort()  # the client has gone, or we are going
            raise
        except Exception as error:  # whatever a handler does wrong ends here
            reply = self._fail(frame, error)
        self._task = None
        if self._send(frame, reply):
            self._answer_ready()

    def _fail(self, frame: Frame, error: Exception) -> Frame:
        self._server.counters["handler_errors"] += 1
        text = f"unable to answer call {frame.number} of {self._peer}"
        self._server.loop.call_exception_handler({"message": text, "exception": error})
        return refusal(frame, errno.EIO)

    def _send(self, request: Frame, reply: Frame) -> bool:
        """Send a reply. True when the next one may follow at once."""
        if self._transport.is_closing():
            return False
        # The handler needs not know request ids: what it answers is what was asked.
        answer = Frame(request.number, request.request_id, reply.payload, reply.result)
        try:
            data = encode_frame(answer)
        except WireError as error:
            data = encode_frame(self._fail(request, error))
        self._transport.write(data)
        return self._unsent is None and not self._transport.is_closing()


def refusal(frame: Frame, errno_: int, payload: bytes = b"") -> Frame:
    """Return the reply that says no by errno."""
    return Frame(frame.number, frame.request_id, payload, -errno_)


def over_rate(peer: Peer, frame: Frame) -> Frame:
    """Return the reply to a request over the rate: try again."""
    return refusal(frame, errno.EAGAIN)
