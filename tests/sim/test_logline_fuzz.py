"""Any bytes, cut into any reads: the C splitter's records are well-formed and rebuild the bytes.

The reference is a splitter in six lines over the whole input: where a record ends may depend on
the bytes only, not on the reads.
"""

import itertools
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm._native import ffi, lib
from supervisord_asm.core.logline import (
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    RECORD_BYTES_MAX,
    LogLine,
    Stream,
    format_line,
    format_time,
    parse_chunk,
    parse_line,
    rebuild,
)

# Nanoseconds in 64 bits end in the year 2554.
REALTIME_NS_MAX = (1 << 64) - 1

# Newlines often, and lengths on both sides of the longest message.
BYTES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\n", b"\n\n", b"F stdout P\n", b"\x00"]),
        st.sampled_from([-2, -1, 0, 1, 2, MESSAGE_BYTES_MAX]).map(
            lambda extra: b"x" * (MESSAGE_BYTES_MAX + extra)
        ),
    ),
    max_size=8,
).map(b"".join)
TIMES = st.integers(min_value=0, max_value=REALTIME_NS_MAX)


def expected(data: bytes, realtime_ns: int, stream: Stream) -> list[LogLine]:
    """Split the whole input at once; what has no newline ends as a partial record."""
    records = []
    pattern = rb"([^\n]{0,%d})\n|([^\n]{%d})|([^\n]+)" % (MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
    for match in re.finditer(pattern, data):
        full, cut, tail = match.groups()
        message = next(part for part in (full, cut, tail) if part is not None)
        records.append(LogLine(realtime_ns, stream, full is not None, message))
    return records


def split(data: bytes, cuts: list[int], realtime_ns: int, stream: Stream, room: int) -> bytes:
    """Feed the input to the C splitter in pieces, with `room` bytes for records at a time."""
    line: Any = ffi.new("struct sasm_logline *")
    lib.sasm_logline_init(line, stream is Stream.STDERR)
    stamp = ffi.new("char[]", lib.SASM_LOGLINE_STAMP_BYTES)
    lib.sasm_logline_stamp(realtime_ns, stamp)
    output = ffi.new("char[]", room)
    consumed: Any = ffi.new("size_t *")
    result: bytes = b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        while begin < end:
            piece = ffi.new("char[]", data[begin:end])
            used = lib.sasm_logline_split(line, stamp, piece, end - begin, consumed, output, room)
            assert used <= room
            assert used or consumed[0], "no progress"
            result += ffi.buffer(output, used)[:]
            begin += consumed[0]
    used = lib.sasm_logline_cut(line, stamp, b"P", output)
    result += ffi.buffer(output, used)[:]
    return result


@given(
    data=BYTES,
    cuts=st.lists(st.integers(min_value=0, max_value=10**6), max_size=6),
    realtime_ns=TIMES,
    stream=st.sampled_from(list(Stream)),
    room=st.sampled_from([RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 4 * RECORD_BYTES_MAX]),
)
def test_records_do_not_depend_on_the_reads(
    data: bytes, cuts: list[int], realtime_ns: int, stream: Stream, room: int
) -> None:
    raw = split(data, cuts, realtime_ns, stream, room)
    lines, rest = parse_chunk(raw)
    assert rest == b""
    assert lines == expected(data, realtime_ns, stream)
    assert rebuild(lines, stream) == data


@given(data=BYTES, stream=st.sampled_from(list(Stream)))
def test_measuring_records_gives_the_agents_bytes_and_lines(data: bytes, stream: Stream) -> None:
    raw = split(data, [], 0, stream, 4 * RECORD_BYTES_MAX)
    payload: Any = ffi.new("uint64_t *")
    lines: Any = ffi.new("uint64_t *")
    lib.sasm_logline_measure(raw, len(raw), payload, lines)
    assert (payload[0], lines[0]) == (len(data), data.count(b"\n"))


@given(realtime_ns=TIMES)
def test_both_languages_write_the_same_time(realtime_ns: int) -> None:
    stamp = ffi.new("char[]", lib.SASM_LOGLINE_STAMP_BYTES)
    lib.sasm_logline_stamp(realtime_ns, stamp)
    assert ffi.buffer(stamp)[:].decode() == format_time(realtime_ns)


@given(
    realtime_ns=TIMES,
    stream=st.sampled_from(list(Stream)),
    is_full=st.booleans(),
    message=st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")),
)
def test_what_python_writes_it_reads(
    realtime_ns: int, stream: Stream, is_full: bool, message: bytes
) -> None:
    line = LogLine(realtime_ns, stream, is_full, message)
    assert parse_line(format_line(line)[:-1]) == line


@given(data=st.binary(max_size=300))
def test_any_file_is_read_without_an_error(data: bytes) -> None:
    lines, rest = parse_chunk(data)
    assert len(lines) == data.count(b"\n")
    assert b"\n" not in rest


def test_the_bounds_are_the_same_in_both_languages() -> None:
    assert lib.SASM_LOGLINE_MAX_BYTES == MESSAGE_BYTES_MAX
    assert lib.SASM_LOGLINE_HEADER_BYTES == HEADER_BYTES
    assert lib.SASM_LOGLINE_RECORD_BYTES == RECORD_BYTES_MAX
