"""The door that is a socket, for asyncio: a few connections, shared by all tasks of one loop.

asmd answers one connection's requests in their order, so more than one call at a time means more
than one connection; beyond CONNECTIONS_MAX calls wait for each other. A call that is cancelled
closes its connection.
"""

import asyncio
import contextlib
import errno
import itertools

from supervisord_asm.api.wire import Decoder, Frame, WireError, encode_frame
from supervisord_asm.client.doors import CONNECTIONS_MAX
from supervisord_asm.client.request import Request
from supervisord_asm.client.socket_door import Lost, checked

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncSocketDoor:
    """Makes calls over one socket. Belongs to the loop in which it is first used."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._kept: list[Peer] = []
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._ids = itertools.count(1)

    async def call(self, request: Request) -> tuple[int, bytes]:
        """Return (result or -errno, answer). ENOENT, ECONNREFUSED, EACCES: nobody listens."""
        frame = Frame(request.call.number, next(self._ids), request.frame_payload())
        try:
            data = encode_frame(frame)
        except WireError:
            return -errno.EINVAL, b""
        async with self._places:
            for is_second in (False, True):
                try:
                    async with asyncio.timeout(self._timeout_s):
                        peer, is_kept = await self._take(is_fresh=is_second)
                except TimeoutError:
                    return -errno.ETIMEDOUT, b""
                except OSError as error:
                    return -(error.errno or errno.EIO), b""
                result = await self._attempt(peer, request, frame, data)
                if result is not None:
                    return result
                if not is_kept:
                    break
        return -errno.EAGAIN, b""

    async def _attempt(
        self, peer: Peer, request: Request, frame: Frame, data: bytes
    ) -> tuple[int, bytes] | None:
        """Return what came of it; None when it may be tried again."""
        try:
            return await self._exchange(peer, request, frame, data)
        except Lost as lost:
            _close(peer)
            return (-errno.ECONNRESET, b"") if lost.args and request.call.has_effect else None
        except TimeoutError:
            _close(peer)
            return -errno.ETIMEDOUT, b""
        except (OSError, WireError) as error:
            _close(peer)
            return -(getattr(error, "errno", None) or errno.EPROTO), b""
        except BaseException:  # cancelled: the answer would be the next call's
            _close(peer)
            raise

    async def close(self) -> None:
        """Close what is kept. A call after it connects anew."""
        while self._kept:
            peer = self._kept.pop()
            _close(peer)
            with contextlib.suppress(OSError):
                await peer[1].wait_closed()

    async def _take(self, is_fresh: bool) -> tuple[Peer, bool]:
        while self._kept:
            peer = self._kept.pop()
            if not is_fresh and not peer[0].at_eof() and not peer[1].is_closing():
                return peer, True
            _close(peer)
        while True:
            try:
                return await asyncio.open_unix_connection(self._path), False
            except BlockingIOError:  # the queue is full, and asyncio's sockets do not wait for room
                await asyncio.sleep(0.01)

    async def _exchange(
        self, peer: Peer, request: Request, frame: Frame, data: bytes
    ) -> tuple[int, bytes]:
        """Raises Lost (with an argument once all was sent), TimeoutError, OSError, WireError."""
        reader, writer = peer
        try:
            writer.write(data)
            async with asyncio.timeout(self._timeout_s):
                await writer.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Lost("perhaps sent") from error
        decoder = Decoder()
        patience_s = None if request.call.is_patient else self._timeout_s
        async with asyncio.timeout(patience_s) as patience:
            while True:
                try:
                    part = await reader.read(1 << 16)
                except ConnectionResetError as error:
                    raise Lost("after it was sent") from error
                if not part:
                    raise Lost("after it was sent")
                if patience.when() is None:  # what has begun comes to its end, or never does
                    patience.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
                for reply in decoder.feed(part):
                    if (reply.request_id, reply.number) != (frame.request_id, frame.number):
                        raise WireError("an answer to something else")
                    self._kept.append(peer)
                    return checked(request, reply)


def _close(peer: Peer) -> None:
    peer[1].transport.abort()
