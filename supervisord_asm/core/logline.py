"""The line format of an agent's log, read and written.

One record per line, the shape that container runtimes use (CRI, "logging format"):

    2026-11-21T11:13:48.123456789Z stdout F message

The time is UTC with nanoseconds, the time at which the daemon read the bytes. The tag says how to
rebuild what the agent wrote, byte for byte: F (full) stands for the message and a newline,
P (partial) for the message alone. So the payloads of one stream's records, joined, are the stream;
only what the drain's counters call dropped is missing. A message is any bytes but the newline;
it is not decoded here.

The daemon's records are written by native/logline.c; `format_line` is the same in Python, and
tests/sim holds the two against each other. Pure: no file, no clock. A log may hold lines that are
not ours (an operator's `echo >>`): those are returned as they are and end nobody's reading.

Source: kubernetes/design-proposals-archive, node/kubelet-cri-logging.md.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Equal to native/logline.h (a test compares them).
MESSAGE_BYTES_MAX = 16_384
HEADER_BYTES = 40
RECORD_BYTES_MAX = HEADER_BYTES + MESSAGE_BYTES_MAX + 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_SECOND = 1_000_000_000
_RECORD = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z (stdout|stderr) ([FP]) ([^\n]*)", re.DOTALL
)


class LogLineError(ValueError):
    """A line that is not a record of this format."""


class Stream(enum.Enum):
    """Which of an agent's two pipes a record came through."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record. `is_full`: a newline followed the message in what the agent wrote."""

    realtime_ns: int
    stream: Stream
    is_full: bool
    message: bytes

    @property
    def payload(self) -> bytes:
        """The agent's bytes that this record stands for."""
        return self.message + b"\n" if self.is_full else self.message


@dataclass(frozen=True, slots=True)
class ForeignLine:
    """A line of a log file that is no record; without its newline."""

    raw: bytes


def format_time(realtime_ns: int) -> str:
    """Write nanoseconds since the epoch as RFC 3339 in UTC with nine decimals."""
    seconds, nanoseconds = divmod(realtime_ns, _NS_PER_SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def format_line(line: LogLine) -> bytes:
    """Write a record, its newline included."""
    tag = "F" if line.is_full else "P"
    header = f"{format_time(line.realtime_ns)} {line.stream.value} {tag} ".encode("ascii")
    return header + line.message + b"\n"


def parse_line(raw: bytes) -> LogLine:
    """Read a record given without its newline. Raises LogLineError."""
    match = _RECORD.fullmatch(raw)
    if match is None:
        raise LogLineError(f"unable to parse log line: {raw[:60]!r} is no record")
    moment, nanoseconds, stream, tag, message = match.groups()
    try:
        seconds = datetime.fromisoformat(moment.decode("ascii")).replace(tzinfo=UTC) - _EPOCH
    except ValueError as error:
        raise LogLineError(f"unable to parse log line: {raw[:60]!r}: {error}") from error
    realtime_ns = (seconds.days * 86_400 + seconds.seconds) * _NS_PER_SECOND + int(nanoseconds)
    return LogLine(realtime_ns, Stream(stream.decode("ascii")), tag == b"F", message)


def parse_chunk(data: bytes) -> tuple[list[LogLine | ForeignLine], bytes]:
    """Read what of a log file has come so far.

    Returns the records in order and the rest behind the last newline, which the caller puts before
    the next chunk. A rest longer than RECORD_BYTES_MAX can never become a record.
    """
    *whole, rest = data.split(b"\n")
    lines: list[LogLine | ForeignLine] = []
    for raw in whole:
        try:
            lines.append(parse_line(raw))
        except LogLineError:
            lines.append(ForeignLine(raw))
    return lines, rest


def rebuild(lines: Iterable[LogLine | ForeignLine], stream: Stream) -> bytes:
    """Join what one stream of the agent wrote."""
    return b"".join(
        line.payload for line in lines if isinstance(line, LogLine) and line.stream is stream
    )
