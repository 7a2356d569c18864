"""The door that is a socket, for threads: a frame there, a frame back, on a kept connection.

Connections are kept in a deque, from which threads pop and to which they push without waiting; no
lock is held over I/O. A connection is its process's own: a child of fork closes what it finds. One
on which anything went wrong is closed, so a late answer is never taken for another call's.
"""

import errno
import itertools
import os
import select
import socket
import struct
import time
from collections import deque

from supervisord_asm.api.wire import Decoder, Frame, WireError, encode_frame
from supervisord_asm.client.doors import CONNECTIONS_MAX
from supervisord_asm.client.request import Request


class Lost(Exception):
    """The connection ended without an answer."""


class SocketDoor:
    """Makes calls over one socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._kept: deque[tuple[int, socket.socket]] = deque()
        self._ids = itertools.count(1)

    def call(self, request: Request) -> tuple[int, bytes]:
        """Return (result or -errno, answer). ENOENT, ECONNREFUSED, EACCES: nobody listens."""
        frame = Frame(request.call.number, next(self._ids), request.frame_payload())
        try:
            data = encode_frame(frame)
        except WireError:
            return -errno.EINVAL, b""
        for is_second in (False, True):
            try:
                peer, is_kept = self._take(is_fresh=is_second)
            except OSError as error:
                return -(error.errno or errno.EIO), b""
            try:
                return self._exchange(peer, request, frame, data)
            except Lost as lost:
                peer.close()
                is_sent = bool(lost.args)
                if is_sent and request.call.has_effect:
                    return -errno.ECONNRESET, b""
                if not is_kept:
                    break
            except TimeoutError:
                peer.close()
                return -errno.ETIMEDOUT, b""
            except (OSError, WireError) as error:
                peer.close()
                return -(getattr(error, "errno", None) or errno.EPROTO), b""
            except BaseException:  # Ctrl-C: the answer would be the next call's
                peer.close()
                raise
        return -errno.EAGAIN, b""

    def close(self) -> None:
        """Close what is kept. A call after it connects anew."""
        while self._kept:
            self._kept.pop()[1].close()

    def _take(self, is_fresh: bool) -> tuple[socket.socket, bool]:
        """Return a connection of ours alone, and whether it has served before. Raises OSError."""
        while True:
            try:
                pid, peer = self._kept.pop()
            except IndexError:
                return self._connect(), False
            if not is_fresh and pid == os.getpid() and _is_quiet(peer):
                return peer, True
            peer.close()

    def _give(self, peer: socket.socket) -> None:
        if len(self._kept) < CONNECTIONS_MAX:
            self._kept.append((os.getpid(), peer))
        else:
            peer.close()

    def _connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # With Python's own time-out connect(2) gives up at once when the queue is full.
        wait = struct.pack("@ll", *divmod(int(self._timeout_s * 1_000_000), 1_000_000))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        try:
            peer.connect(self._path)
        except BlockingIOError as error:
            peer.close()
            raise TimeoutError(errno.ETIMEDOUT, "no room to connect") from error
        except OSError:
            peer.close()
            raise
        return peer

    def _exchange(
        self, peer: socket.socket, request: Request, frame: Frame, data: bytes
    ) -> tuple[int, bytes]:
        """Raises Lost (with an argument once all was sent), TimeoutError, OSError, WireError."""
        peer.settimeout(self._timeout_s)
        try:
            peer.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Lost from error
        deadline = None if request.call.is_patient else time.monotonic() + self._timeout_s
        decoder = Decoder()
        while True:
            peer.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            try:
                part = peer.recv(1 << 16)
            except ConnectionResetError as error:
                raise Lost("after it was sent") from error
            if not part:
                raise Lost("after it was sent")
            if deadline is None:  # what has begun comes to its end, or never does
                deadline = time.monotonic() + self._timeout_s
            for reply in decoder.feed(part):
                if (reply.request_id, reply.number) != (frame.request_id, frame.number):
                    raise WireError("an answer to something else")
                self._give(peer)
                return checked(request, reply)


def checked(request: Request, reply: Frame) -> tuple[int, bytes]:
    """Return a reply's result and answer. Raises WireError when it is more than there is room."""
    if reply.result >= 0 and len(reply.payload) > request.room_bytes:
        raise WireError("the answer is larger than its room")
    return reply.result, reply.payload


def _is_quiet(peer: socket.socket) -> bool:
    """Whether nothing can be read: the end, or an answer that came too late."""
    poll = select.poll()
    try:
        poll.register(peer, select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)
    except (OSError, ValueError):  # somebody closed its descriptor
        return False
