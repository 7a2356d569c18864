"""The log line format: what is read is what was written, and nothing else is read."""

import pytest

from supervisord_asm.core.logline import (
    HEADER_BYTES,
    ForeignLine,
    LogLine,
    LogLineError,
    Stream,
    format_line,
    format_time,
    parse_chunk,
    parse_line,
    rebuild,
)

# 2026-11-21T11:13:48.123456789Z
REALTIME_NS = 1_795_259_628_123_456_789
EXAMPLE = b"2026-11-21T11:13:48.123456789Z stdout F message\n"


def test_the_example_of_the_contract_is_written_and_read() -> None:
    line = LogLine(REALTIME_NS, Stream.STDOUT, is_full=True, message=b"message")
    assert format_line(line) == EXAMPLE
    assert parse_line(EXAMPLE[:-1]) == line


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize("is_full", [True, False])
@pytest.mark.parametrize("message", [b"", b" ", b"a b  c", b"\x00\xff\r", b"F stdout P"])
def test_every_stream_tag_and_byte_comes_back(
    stream: Stream, is_full: bool, message: bytes
) -> None:
    line = LogLine(REALTIME_NS, stream, is_full, message)
    raw = format_line(line)
    assert len(raw) == HEADER_BYTES + len(message) + 1
    assert parse_line(raw[:-1]) == line


@pytest.mark.parametrize(
    ("realtime_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
        (REALTIME_NS, "2026-11-21T11:13:48.123456789Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_keep_their_nanoseconds(realtime_ns: int, text: str) -> None:
    assert format_time(realtime_ns) == text
    assert parse_line(f"{text} stderr P x".encode()).realtime_ns == realtime_ns


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        EXAMPLE,  # with its newline
        EXAMPLE[: HEADER_BYTES - 1],  # no message field, not even an empty one
        b"2026-11-21T11:13:48.12345678Z stdout F message",  # eight decimals
        b"2026-13-21T11:13:48.123456789Z stdout F message",  # no such month
        b"2026-11-21T11:13:48.123456789Z stdin F message",
        b"2026-11-21T11:13:48.123456789Z stdout f message",
        b"2026-11-21T11:13:48.123456789+01:00 stdout F message",
        b" 2026-11-21T11:13:48.123456789Z stdout F message",
    ],
)
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(LogLineError, match="unable to parse log line"):
        parse_line(raw)


def test_a_chunk_keeps_the_unfinished_line_for_later() -> None:
    lines, rest = parse_chunk(EXAMPLE + EXAMPLE[:20])
    assert lines == [LogLine(REALTIME_NS, Stream.STDOUT, True, b"message")]
    assert rest == EXAMPLE[:20]
    lines, rest = parse_chunk(rest + EXAMPLE[20:])
    assert len(lines) == 1
    assert rest == b""


def test_a_foreign_line_is_passed_on_and_ends_nothing() -> None:
    lines, rest = parse_chunk(b"rotated by hand\n" + EXAMPLE)
    assert lines[0] == ForeignLine(b"rotated by hand")
    assert isinstance(lines[1], LogLine)
    assert rest == b""


def test_payloads_joined_are_what_the_agent_wrote() -> None:
    lines: list[LogLine | ForeignLine] = [
        LogLine(1, Stream.STDOUT, False, b"no new"),
        LogLine(2, Stream.STDERR, True, b"meanwhile"),
        ForeignLine(b"noise"),
        LogLine(3, Stream.STDOUT, True, b"line"),
        LogLine(4, Stream.STDOUT, True, b""),
        LogLine(5, Stream.STDOUT, False, b"tail"),
    ]
    assert rebuild(lines, Stream.STDOUT) == b"no newline\n\ntail"
    assert rebuild(lines, Stream.STDERR) == b"meanwhile\n"
