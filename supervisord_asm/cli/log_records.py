"""Chunks of a log file turned back into records, and records into the agent's exact bytes. Pure.

The format is core/logline.py's: a header of fixed length, then the message; an F record stands for
its message and a newline, a P record for its message alone, so joining one stream's records gives
that stream byte for byte, binary or not. That module reads a record into a value with a time, at
5 µs each; a reader that follows a busy agent has 200,000 of them a second, so this one cuts at the
header's fixed places and leaves the time as it stands. tests/unit holds the two against each other.

A line that is no record (an operator's `echo >>`) has an empty `stream`.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from supervisord_asm.core.logline import HEADER_BYTES, RECORD_BYTES_MAX

_STAMP_END = 30
_STREAM_END = _STAMP_END + 1 + len(b"stdout")
_TAG_AT = _STREAM_END + 1
_STREAMS = frozenset({b"stdout", b"stderr"})

assert _TAG_AT + 2 == HEADER_BYTES

_HEADER = itemgetter(slice(_STAMP_END - 1, HEADER_BYTES))
_MESSAGE = itemgetter(slice(HEADER_BYTES, None))
_FULL_LINE_HEADERS = {b"Z " + stream + b" F ": stream for stream in _STREAMS}


class LogRecord(NamedTuple):
    """One record: its time as text, its stream, and what of the agent's bytes it holds."""

    stamp: bytes
    stream: bytes
    is_full: bool
    message: bytes


class RecordSplitter:
    """Takes chunks of a log, gives whole records. One per log that is read."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[LogRecord]:
        """Yield each record that `data` completes."""
        return map(_record, self._whole_lines(data))

    def feed_bytes(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return what agent_bytes makes of the records that `data` completes.

        Of full lines of one stream, which is what an agent that writes very much writes, nine
        million a second: no more is done than to look at each header and cut it off.
        """
        lines = self._whole_lines(data)
        headers = set(map(_HEADER, lines))
        stream = _FULL_LINE_HEADERS.get(headers.pop()) if len(headers) == 1 else None
        if stream is None:
            return agent_bytes(map(_record, lines))
        return [(stream, b"\n".join((*map(_MESSAGE, lines), b"")))]

    def _whole_lines(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        # Longer than any record, so no record of ours and never one: not worth keeping.
        self._rest = rest if len(rest) <= RECORD_BYTES_MAX else b""
        return lines


def _record(line: bytes) -> LogRecord:
    stream = line[_STAMP_END + 1 : _STREAM_END]
    tag = line[_TAG_AT : _TAG_AT + 1]
    if stream not in _STREAMS or tag not in (b"F", b"P") or line[_STAMP_END - 1 : 31] != b"Z ":
        return LogRecord(b"", b"", True, line)
    return LogRecord(line[:_STAMP_END], stream, tag == b"F", line[HEADER_BYTES:])


def agent_bytes(records: Iterable[LogRecord]) -> list[tuple[bytes, bytes]]:
    """Return (stream, bytes) in order, neighbours of one stream joined; foreign lines left out."""
    pieces: list[tuple[bytes, bytes]] = []
    current = b""
    joined: list[bytes] = []
    for _, stream, is_full, message in records:
        if not stream:
            continue
        if stream != current and joined:
            pieces.append((current, b"".join(joined)))
            joined = []
        current = stream
        joined.append(message)
        if is_full:
            joined.append(b"\n")
    if joined:
        pieces.append((current, b"".join(joined)))
    return pieces
