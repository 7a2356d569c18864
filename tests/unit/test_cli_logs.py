"""Reading logs: exact bytes from records, none lost through rotations; `run --wait` as a whole."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.asmctl import dispatch
from supervisord_asm.cli.attached_run import AttachedRun, exit_code
from supervisord_asm.cli.log_records import RecordSplitter, agent_bytes
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.rotated_log import RotatedLog
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.logline import LogLine, Stream, format_line, parse_line, rebuild
from tests.fake_asmd import FakeAsmd

# Of the past wherever this runs: records of before the run that a test starts.
NS = 1_000_000_000_123_456_789
BINARY = bytes(byte for byte in range(256) if byte != 10)


def record(message: bytes, *, is_full: bool = True, stream: Stream = Stream.STDOUT) -> bytes:
    """Return one record as the daemon writes it."""
    return format_line(LogLine(NS, stream, is_full, message))


LOG = b"".join(
    (
        record(b"first"),
        record(BINARY, is_full=False),
        record(b"second", stream=Stream.STDERR),
        record(b"", is_full=True),
        record(b"\x1b[31mred", is_full=True),
        record(b"no newline at the end", is_full=False, stream=Stream.STDERR),
    )
)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 40, 41, 10_000])
def test_records_cut_anywhere_are_what_the_reference_reads(chunk_bytes: int) -> None:
    splitter = RecordSplitter()
    chunks = [LOG[at : at + chunk_bytes] for at in range(0, len(LOG), chunk_bytes)]
    records = [found for chunk in chunks for found in splitter.feed(chunk)]
    reference = [parse_line(line) for line in LOG.split(b"\n")[:-1]]
    assert [(r.stream.decode(), r.is_full, r.message) for r in records] == [
        (line.stream.value, line.is_full, line.message) for line in reference
    ]
    for stream in Stream:
        mine = b"".join(
            data for name, data in agent_bytes(records) if name.decode() == stream.value
        )
        assert mine == rebuild(reference, stream)


@pytest.mark.parametrize("stream", Stream)
def test_full_lines_of_one_stream_are_cut_as_any_other(stream: Stream) -> None:
    """The quick way of feed_bytes gives what the slow way gives."""
    data = b"".join(record(word, stream=stream) for word in (b"a", b"", BINARY, b"Z stdout F x"))
    slow = agent_bytes(RecordSplitter().feed(data))
    assert RecordSplitter().feed_bytes(data) == slow
    assert RecordSplitter().feed_bytes(data + LOG) == agent_bytes(RecordSplitter().feed(data + LOG))
    partial = data + record(b"p", is_full=False, stream=stream)
    assert RecordSplitter().feed_bytes(partial) == [(stream.value.encode(), slow[0][1] + b"p")]
    assert RecordSplitter().feed_bytes(b"") == []


def test_order_between_the_streams_is_kept() -> None:
    assert [name for name, _ in agent_bytes(RecordSplitter().feed(LOG))] == [
        b"stdout", b"stderr", b"stdout", b"stderr",
    ]  # fmt: skip


@pytest.mark.parametrize("line", [b"", b"hello", b"x" * 80, LOG[:38], LOG[1:60]])
def test_a_line_that_is_no_record_is_foreign_and_no_output_of_the_agent(line: bytes) -> None:
    (found,) = RecordSplitter().feed(line.replace(b"\n", b"") + b"\n")
    assert found.stream == b""
    assert agent_bytes([found]) == []


def read_all(log: RotatedLog) -> bytes:
    """Return everything that there is now."""
    return b"".join(iter(log.read, b""))


def rotate(path: Path) -> None:
    """Rotate as the writer does."""
    os.rename(path, f"{path}.1")
    path.write_bytes(b"")


def append(path: Path, data: bytes) -> None:
    """Write as the writer does."""
    with path.open("ab") as file:
        file.write(data)


def test_following_loses_nothing_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"before ")
    with RotatedLog(str(path)) as log:
        assert read_all(log) == b"before "
        append(path, b"last of the old ")
        rotate(path)
        append(path, b"first of the new ")
        assert read_all(log) == b"last of the old first of the new "
        append(path, b"more")
        assert read_all(log) == b"more"
        assert not log.is_gap


def test_a_slow_reader_that_looks_in_time_loses_nothing(tmp_path: Path) -> None:
    """It keeps the files open that the writer has long unlinked."""
    path = tmp_path / "a.log"
    path.write_bytes(b"0")
    with RotatedLog(str(path)) as log:
        for generation in range(1, 6):
            rotate(path)
            append(path, b"%d" % generation)
            log.notice_rotation()
        assert read_all(log) == b"012345"
        assert not log.is_gap


@pytest.mark.parametrize(
    ("rotations", "found", "is_gap"), [(1, b"01", False), (2, b"012", False), (3, b"023", True)]
)
def test_a_reader_that_looks_late_knows_whether_it_lost_something(
    rotations: int, found: bytes, is_gap: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"0")
    with RotatedLog(str(path)) as log:
        for generation in range(1, rotations + 1):
            time.sleep(0.01)  # no writer fills 10 MiB sooner
            rotate(path)
            append(path, b"%d" % generation)
        assert read_all(log) == found
        assert log.is_gap is is_gap


def test_a_file_that_is_rotated_between_two_opens_is_read_once(tmp_path: Path) -> None:
    """Current and rotated are then one file under two names."""
    path = tmp_path / "a.log"
    path.write_bytes(b"once")
    os.link(path, tmp_path / "a.log.1")
    with RotatedLog(str(path)) as log:
        assert read_all(log) == b"once"


BEFORE, BEGUN, DURING = b"2026-11-21T11:13:47 ", b"2026-11-21T11:13:48 ", b"2026-11-21T11:13:49 "


@pytest.mark.parametrize(
    ("rotated", "current", "offset_bytes", "found", "is_gap"),
    [
        (None, None, 0, b"", False),
        (None, b"", 0, b"", False),
        (None, DURING, 0, DURING, False),
        (None, BEFORE + DURING, len(BEFORE), DURING, False),
        (BEFORE * 3, BEFORE + DURING, len(BEFORE), DURING, False),
        (BEFORE * 3, BEFORE, len(BEFORE), b"", False),
        (BEFORE * 3, DURING, 0, DURING, False),
        # Rotated since the run began, once.
        (BEFORE + DURING, b"", len(BEFORE), DURING, False),
        (BEFORE + DURING, DURING * 5, len(BEFORE), DURING * 6, False),
        (DURING, DURING, 0, DURING * 2, False),
        (DURING, b"", 0, DURING, False),
        # Twice: the beginning is gone.
        (DURING * 5, DURING, len(BEFORE), DURING * 6, True),
    ],
)
def test_a_run_is_read_from_its_beginning_wherever_that_is_now(
    rotated: bytes | None,
    current: bytes | None,
    offset_bytes: int,
    found: bytes,
    is_gap: bool,
    tmp_path: Path,
) -> None:
    for name, content in (("a.log.1", rotated), ("a.log", current)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with RotatedLog.of_run(str(tmp_path / "a.log"), offset_bytes, BEGUN) as log:
        assert read_all(log) == found
        assert log.is_gap is is_gap


def test_a_run_that_finds_its_log_between_two_files_waits_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(BEFORE + DURING)
    thread = threading.Timer(0.05, path.write_bytes, (DURING * 5,))
    thread.start()
    with RotatedLog.of_run(str(path), len(BEFORE), BEGUN) as log:
        assert read_all(log) == DURING * 6
        assert not log.is_gap
    thread.join()


def test_a_log_that_comes_later_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with RotatedLog(str(path)) as log:
        assert log.read() == b""
        append(path, b"here")
        assert read_all(log) == b"here"
        assert not log.is_gap


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    with RotatedLog(str(path)) as log:
        rotate(path)
        read_all(log)
    assert len(os.listdir("/proc/self/fd")) == before


class LoggingAsmd:
    """An asmd with one agent whose log is a file of the test's."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.may_end = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()
        self.ending: dict[str, Any] = {"code": 0, "signal": None, "cause": "clean"}
        self.is_restarted = False

    def answer(self, verb: int, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Answer as asmd would."""
        match verb:
            case Control.INFO:
                view = {"agent_id": 7, "name": "a", "state": "active", "log_path": str(self.log)}
                return 0, {"agent": view, "events": []}
            case Control.RUN:
                self.may_start.wait(20)
                offset = self.log.stat().st_size
                append(self.log, LOG)
                return 0, {"agent_id": 7, "name": "a", "run": 1, "log_path": str(self.log),
                           "log_offset": offset}  # fmt: skip
            case Control.WAIT if not self.is_restarted:
                self.is_restarted = True
                raise ConnectionError
            case Control.WAIT:
                self.may_end.wait(20)
                return 0, self.ending
            case Control.STOP:
                append(self.log, record(b"bye"))
                self.ending = {"code": None, "signal": 15, "cause": "operator"}
                self.may_end.set()
                return 0, {"results": []}
            case _:
                raise ConnectionError


@pytest.fixture
def logging_asmd(tmp_path: Path) -> Iterator[tuple[LoggingAsmd, FakeAsmd]]:
    """An asmd and its socket."""
    path = tmp_path / "a.log"
    path.write_bytes(record(b"of an earlier run"))
    played = LoggingAsmd(path)
    with FakeAsmd(tmp_path / "control.sock", played.answer) as asmd:
        yield played, asmd


STDOUT = b"first\n" + BINARY + b"\n\x1b[31mred\n"
STDERR = b"second\nno newline at the end"


def started_run(asmd: FakeAsmd) -> "subprocess.Popen[bytes]":
    """Start `asmctl run --wait` as a program of its own."""
    line = [sys.executable, "-m", "supervisord_asm.cli.asmctl", "run", f"--socket={asmd.path}",
            "--wait", "--", "sh"]  # fmt: skip
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_run_wait_gives_exact_bytes_each_on_its_stream_and_the_exit_code(
    logging_asmd: tuple[LoggingAsmd, FakeAsmd],
) -> None:
    """Also over a restart of asmd: the first WAIT is hung up on."""
    played, asmd = logging_asmd
    played.ending["code"] = 37
    played.may_end.set()
    process = started_run(asmd)
    stdout, stderr = process.communicate(timeout=20)
    assert (stdout, stderr, process.returncode) == (STDOUT, STDERR, 37)


def test_ctrl_c_stops_the_agent_shows_its_last_words_and_gives_130(
    logging_asmd: tuple[LoggingAsmd, FakeAsmd],
) -> None:
    _, asmd = logging_asmd
    process = started_run(asmd)
    assert process.stdout is not None
    assert process.stdout.read(len(STDOUT)) == STDOUT
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=20)
    assert (stdout, process.returncode) == (b"bye\n", 130)
    stops = [request for verb, request in asmd.calls if verb == Control.STOP]
    assert stops == [{"agents": ["7"], "all": False, "wait": False}]


def test_ctrl_c_before_the_agent_is_born_stops_it_when_it_is(
    logging_asmd: tuple[LoggingAsmd, FakeAsmd],
) -> None:
    played, asmd = logging_asmd
    played.may_start.clear()
    process = started_run(asmd)
    while not asmd.calls:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    played.may_start.set()
    stdout, _ = process.communicate(timeout=20)
    assert (stdout, process.returncode) == (STDOUT + b"bye\n", 130)


class LateLog(RotatedLog):
    """A log whose last words come just after a read that found nothing, with the end."""

    words = iter((b"", record(b"bye"), b""))
    ended = threading.Event()

    def read(self) -> bytes:
        """Return the next words; the run ends with the first silence."""
        self.ended.set()
        return next(self.words)


def test_last_words_that_come_with_the_end_are_shown(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    run = AttachedRun(Parsed(), Terminal("test"))
    monkeypatch.setattr(run, "_ended", LateLog.ended)
    run._pass_output_on(LateLog(str(tmp_path / "x")))
    assert capfdbinary.readouterr().out == b"bye\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ({"code": 3, "signal": None}, 3),
        ({"code": 0, "signal": None}, 0),
        ({"code": None, "signal": 9}, 137),
        ({"code": None, "signal": None}, 1),
    ],
)
def test_exit_code_is_what_a_shell_gives(ending: dict[str, Any], code: int) -> None:
    assert exit_code(ending) == code


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], b"of an earlier run\nfirst\n" + BINARY + b"second\n\n\x1b[31mred\n"
             b"no newline at the end"),
        (["--stderr"], STDERR),
        (["--stdout", "-n", "2"], BINARY + b"\n\x1b[31mred\n"),
        (["-n", "1"], b"no newline at the end"),
        (["-n", "0"], b""),
        (["--timestamps", "--stdout", "-n", "1"],
         b"2001-09-09T01:46:40.123456789Z \x1b[31mred\n"),
    ],
)  # fmt: skip
def test_logs_shows_what_was_asked_for(
    options: list[str],
    expected: bytes,
    logging_asmd: tuple[LoggingAsmd, FakeAsmd],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    played, asmd = logging_asmd
    append(played.log, LOG)
    assert dispatch(["logs", f"--socket={asmd.path}", *options, "a"]) == 0
    assert capfdbinary.readouterr().out == expected


def test_logs_begins_with_the_rotated_file(
    logging_asmd: tuple[LoggingAsmd, FakeAsmd], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    played, asmd = logging_asmd
    rotate(played.log)
    append(played.log, record(b"new"))
    assert dispatch(["logs", f"--socket={asmd.path}", "a"]) == 0
    assert capfdbinary.readouterr().out == b"of an earlier run\nnew\n"
