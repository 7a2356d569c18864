"""The frame codec of both sockets: bytes in, frames out. Sans-I/O; knows no socket and no clock.

A frame is a 32-byte little-endian header and a payload:

    offset  size  field
         0     4  magic       0x314D5341, the bytes "ASM1"
         4     2  version     1
         6     2  number      which call (numbers.py)
         8     4  flags       0; a set bit that the receiver does not know is an error
        12     8  request id  chosen by the client, echoed by the server
        20     4  length      of the payload, at most 1 MiB
        24     8  result      0 in requests; in replies >= 0 on success, else a negative errno

Door calls carry their four arguments as the first 32 bytes of the payload, so that one layout
serves the socket and the syscall door alike. The decoder is fed whatever a socket returned and
yields whole frames; it never holds more than one frame beyond what it was fed. A violation is a
`WireError`: the peer is at fault and the connection has no way back into step, so it is closed.

Source of the layout: ../shared/spec/CONTRACT.md, "Who is who".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0x314D5341
VERSION = 1
HEADER = struct.Struct("<IHHIQIq")
ARGUMENTS = struct.Struct("<4q")
# 1 MiB: a telemetry answer for 1,000 agents is 0.2 MiB; more is a mistake or an attack.
PAYLOAD_BYTES_MAX = 1 << 20

assert HEADER.size == 32
assert ARGUMENTS.size == 32


class WireError(Exception):
    """The peer broke the frame format. The text says how; the connection must be closed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One request or reply. `result` is 0 in requests, signed in replies (negative: -errno)."""

    number: int
    request_id: int
    payload: bytes = b""
    result: int = 0
    flags: int = 0


def encode_frame(frame: Frame) -> bytes:
    """Return the frame's bytes. Raises WireError when a field is out of its range."""
    if len(frame.payload) > PAYLOAD_BYTES_MAX:
        raise WireError(f"payload of {len(frame.payload)} bytes is over {PAYLOAD_BYTES_MAX}")
    try:
        header = HEADER.pack(
            MAGIC, VERSION, frame.number, frame.flags, frame.request_id,
            len(frame.payload), frame.result,
        )  # fmt: skip
    except struct.error as error:
        raise WireError(f"a header field is out of its range: {error}") from error
    return header + frame.payload


def encode_arguments(arguments: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Return a door call's payload: four signed 64-bit arguments, then bytes."""
    return ARGUMENTS.pack(*arguments) + data


def decode_arguments(payload: bytes) -> tuple[tuple[int, int, int, int], bytes]:
    """Split a door call's payload. Raises WireError when it is shorter than the arguments."""
    if len(payload) < ARGUMENTS.size:
        raise WireError(f"a door call needs {ARGUMENTS.size} bytes of arguments")
    a0, a1, a2, a3 = ARGUMENTS.unpack_from(payload)
    return (a0, a1, a2, a3), payload[ARGUMENTS.size :]


class Decoder:
    """Turns a byte stream into frames. One per connection and direction."""

    __slots__ = ("_buffer", "_payload_bytes_max")

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._payload_bytes_max = payload_bytes_max

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that has begun and not ended: what a slow client keeps us holding."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that `data` completes. Raises WireError at the first violation."""
        self._buffer += data
        while True:
            frame = self._next_frame()
            if frame is None:
                return
            yield frame

    def _next_frame(self) -> Frame | None:
        if len(self._buffer) < HEADER.size:
            self._refuse_wrong_start()
            return None
        magic, version, number, flags, request_id, length, result = HEADER.unpack_from(self._buffer)
        if magic != MAGIC:
            raise WireError(f"magic 0x{magic:08x} is not 0x{MAGIC:08x}: not an asm client")
        if version != VERSION:
            raise WireError(f"version {version} is not {VERSION}")
        if flags != 0:
            raise WireError(f"flags 0x{flags:x} are not known")
        if length > self._payload_bytes_max:
            raise WireError(f"payload of {length} bytes is over {self._payload_bytes_max}")
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return Frame(number, request_id, payload, result, flags)

    def _refuse_wrong_start(self) -> None:
        # A text client ("GET / …") would otherwise wait for ever for an answer that cannot come.
        start = bytes(self._buffer[:4])
        if start != MAGIC.to_bytes(4, "little")[: len(start)]:
            raise WireError("the first bytes are not the magic: not an asm client")
