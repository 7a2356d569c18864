"""The log drain on real pipes and real files: bytes, lines, files, runs, threads."""

import errno
import fcntl
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from supervisord_asm.core.logline import MESSAGE_BYTES_MAX, Stream, parse_chunk, rebuild
from supervisord_asm.kernel.logdrain import LogCounters, LogDrainError
from tests.kernel.logdrain_rig import (
    AGENT,
    GROUP_ID,
    MIB,
    Fleet,
    close,
    status_field,
    threads,
    wait_for,
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.drain.close()


def test_both_streams_come_back_byte_for_byte(fleet: Fleet) -> None:
    run, out, error = fleet.agent()
    written = b"first\n\nsecond \x00\xff\r\nno newline at the end"
    os.write(out, written)
    os.write(error, b"oops\n")
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    records = fleet.records()
    assert rebuild(records, Stream.STDOUT) == written
    assert rebuild(records, Stream.STDERR) == b"oops\n"
    assert abs(records[0].realtime_ns - time.time_ns()) < 60 * 10**9
    assert not select.select([fleet.drain.fileno()], [], [], 0)[0]


def test_a_run_is_finished_only_at_the_end_of_both_pipes(fleet: Fleet) -> None:
    run, out, error = fleet.agent()
    os.close(out)
    os.write(error, b"still here\n")
    wait_for(lambda: len(fleet.records()) == 1, "the line")
    assert fleet.drain.finished() == []
    os.close(error)
    assert fleet.wait_finished() == [(AGENT, run)]
    assert fleet.drain.counters(AGENT).open_runs == 0


def test_many_ended_runs_are_all_reported_once(fleet: Fleet) -> None:
    expected = []
    for agent_id in range(1, 151):
        run, out, error = fleet.agent(agent_id, f"agent{agent_id}")
        expected.append((agent_id, run))
        close(out, error)
    seen: list[tuple[int, int]] = []
    while len(seen) < len(expected):
        seen += fleet.wait_finished()
    assert sorted(seen) == expected


def test_silence_ends_a_partial_line_and_not_before(fleet: Fleet) -> None:
    _, out, error = fleet.agent()
    begin = time.monotonic()
    os.write(out, b"prompt> ")
    wait_for(lambda: fleet.records() != [], "the partial line")
    assert time.monotonic() - begin >= 0.1
    assert [(line.is_full, line.message) for line in fleet.records()] == [(False, b"prompt> ")]
    os.write(out, b"answer\n")
    wait_for(lambda: len(fleet.records()) == 2, "the rest")
    assert rebuild(fleet.records(), Stream.STDOUT) == b"prompt> answer\n"
    close(out, error)


def test_a_dribbling_line_is_seen_within_two_seconds(fleet: Fleet) -> None:
    _, out, error = fleet.agent()
    begin = time.monotonic()
    while not fleet.records():
        assert time.monotonic() - begin < 2.0
        os.write(out, b".")
        time.sleep(0.03)
    assert not fleet.records()[0].is_full
    close(out, error)


def test_a_line_past_16_kib_is_cut_there(fleet: Fleet) -> None:
    run, out, error = fleet.agent()
    written = b"x" * (2 * MESSAGE_BYTES_MAX) + b"tail\n" + b"y" * MESSAGE_BYTES_MAX + b"\n"

    def write() -> None:
        os.write(out, written)
        close(out, error)

    writer = threading.Thread(target=write)
    writer.start()
    assert fleet.wait_finished() == [(AGENT, run)]
    writer.join()
    records = fleet.records()
    assert rebuild(records, Stream.STDOUT) == written
    assert [line.is_full for line in records] == [False, False, True, True]


def test_rotation_keeps_the_newest_and_loses_no_line_between_files(fleet: Fleet) -> None:
    run, out, error = fleet.agent(max_bytes=8192, files=3)
    for number in range(2000):
        os.write(out, b"line %06d\n" % number)
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    names = sorted(path.name for path in fleet.directory.iterdir())
    assert names == ["probe.log", "probe.log.1", "probe.log.2"]
    assert all(path.stat().st_size <= 8192 for path in fleet.directory.iterdir())
    numbers = [int(line.message.split()[1]) for line in fleet.records()]
    assert numbers == list(range(numbers[0], 2000))
    counters = fleet.drain.counters(AGENT)
    # The oldest file was full when it was renamed: less than a record was left of it.
    assert len(numbers) * 52 > 2 * (8192 - 52)
    assert counters.rotations >= 2000 * 52 // 8192 - 1
    assert counters.file_bytes == (fleet.directory / "probe.log").stat().st_size


def test_one_file_is_emptied_instead_of_renamed(fleet: Fleet) -> None:
    run, out, error = fleet.agent(max_bytes=4096, files=1)
    for number in range(300):
        os.write(out, b"%d\n" % number)
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    assert [path.name for path in fleet.directory.iterdir()] == ["probe.log"]
    assert fleet.records()[-1].message == b"299"


def test_files_beyond_the_number_to_keep_are_removed(fleet: Fleet) -> None:
    for index in (1, 2, 3):
        (fleet.directory / f"probe.log.{index}").write_bytes(b"")
    _, out, error = fleet.agent(files=2)
    fleet.drain.offset(AGENT)
    names = sorted(path.name for path in fleet.directory.iterdir())
    assert names == ["probe.log", "probe.log.1"]
    close(out, error)


def test_a_second_drain_appends_and_reads_what_the_first_left(tmp_path: Path) -> None:
    read_end, out = os.pipe()
    keeper_end = os.dup(read_end)
    first = Fleet(tmp_path)
    first.drain.add(AGENT, 1, "probe", read_end, None, MIB, 2)
    os.write(out, b"before, no newline")
    wait_for(lambda: first.drain.counters(AGENT).bytes_in > 0, "the first bytes")
    first.drain.close()
    os.write(out, b" and between\n")
    second = Fleet(tmp_path)
    second.drain.add(AGENT, 1, "probe", keeper_end, None, MIB, 2)
    before = len(b"2026-11-21T11:13:48.123456789Z stdout P before, no newline\n")
    assert second.drain.run_offset(AGENT) == before
    os.close(out)
    assert second.wait_finished() == [(AGENT, 1)]
    assert rebuild(second.records(), Stream.STDOUT) == b"before, no newline and between\n"
    second.drain.close()


def test_runs_of_one_agent_share_a_file_and_the_offset_tells_them_apart(fleet: Fleet) -> None:
    first_run, out, error = fleet.agent()
    os.write(out, b"first run\n")
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, first_run)]
    offset = fleet.drain.offset(AGENT)
    assert offset == len(fleet.raw())
    _, out, error = fleet.agent()
    os.write(out, b"second run\n")
    wait_for(lambda: fleet.drain.offset(AGENT) > offset, "the second run's output")
    assert fleet.drain.run_offset(AGENT) == offset
    close(out, error)
    fleet.wait_finished()
    lines, _ = parse_chunk(fleet.raw()[offset:])
    assert rebuild(lines, Stream.STDOUT) == b"second run\n"


def test_files_belong_to_root_and_the_group_and_to_nobody_else(fleet: Fleet) -> None:
    before = os.umask(0)
    try:
        _, out, error = fleet.agent()
        fleet.drain.offset(AGENT)
    finally:
        os.umask(before)
    status = (fleet.directory / "probe.log").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 0, GROUP_ID)
    close(out, error)


def test_a_link_in_place_of_the_file_is_not_followed(fleet: Fleet, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious\n")
    (fleet.directory / "probe.log").symlink_to(target)
    run, out, error = fleet.agent()
    os.write(out, b"hello\n")
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    assert target.read_bytes() == b"precious\n"
    counters = fleet.drain.counters(AGENT)
    assert (counters.error, counters.dropped_bytes) == (errno.ELOOP, 6)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".", "..", ".hidden", "n" * 64])
def test_a_bad_name_is_refused_and_the_fds_are_closed(fleet: Fleet, name: str) -> None:
    out_read, out = os.pipe()
    error_read, error = os.pipe()
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.add(AGENT, 1, name, out_read, error_read, MIB, 2)
    assert caught.value.errno == errno.EINVAL
    for write_end in (out, error):
        with pytest.raises(BrokenPipeError):
            os.write(write_end, b"x")
    close(out, error)


@pytest.mark.parametrize(("max_bytes", "files"), [(4095, 2), (MIB, 0), (MIB, 101)])
def test_a_bad_bound_is_refused(fleet: Fleet, max_bytes: int, files: int) -> None:
    with pytest.raises(LogDrainError) as caught:
        fleet.agent(max_bytes=max_bytes, files=files)
    assert caught.value.errno == errno.EINVAL


def test_a_run_cannot_be_added_twice_nor_a_name_be_shared(fleet: Fleet) -> None:
    run, out, error = fleet.agent()
    read_end, unused = os.pipe()
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.add(AGENT, run, "probe", read_end, None, MIB, 2)
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(LogDrainError) as caught:
        fleet.agent(AGENT + 1, "probe")
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(LogDrainError) as caught:
        fleet.agent(AGENT, "other")
    assert caught.value.errno == errno.EBUSY
    close(out, error, unused)
    fleet.wait_finished()
    # Ended agents stand in nobody's way: `asmctl run` reuses a name under a new id.
    _, out, error = fleet.agent(AGENT + 1, "probe")
    os.write(out, b"new\n")
    wait_for(lambda: len(fleet.records()) == 1, "the new agent's line")
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.counters(AGENT)
    assert caught.value.errno == errno.ESRCH
    close(out, error)


def test_a_regular_file_is_no_pipe_and_leaves_no_trace(fleet: Fleet, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "plain", os.O_RDWR | os.O_CREAT)
    read_end, out = os.pipe()
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.add(AGENT, 1, "probe", read_end, fd, MIB, 2)
    assert caught.value.errno == errno.EPERM
    wait_for(lambda: fleet.drain.counters(AGENT).open_runs == 0, "the run to go")
    assert fleet.drain.finished() == []
    with pytest.raises(BrokenPipeError):
        os.write(out, b"x")
    os.close(out)


def test_counters_count_what_was_written(fleet: Fleet) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    run, out, error = fleet.agent()
    assert fleet.drain.counters(AGENT).last_output_us is None
    os.write(out, b"one\ntwo\nthree")
    os.write(error, b"four\n")
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    counters = fleet.drain.counters(AGENT)
    assert counters.last_output_us is not None
    assert before_us <= counters.last_output_us <= before_us + 10_000_000
    assert counters == LogCounters(
        bytes_in=18,
        lines=3,
        dropped_bytes=0,
        dropped_lines=0,
        last_output_us=counters.last_output_us,
        rotations=0,
        file_bytes=len(fleet.raw()),
        run_offset_bytes=0,
        error=0,
        open_runs=0,
    )


def test_flush_writes_all_that_was_readable(fleet: Fleet) -> None:
    ends = [fleet.agent(agent_id, f"agent{agent_id}") for agent_id in range(1, 21)]
    for _, out, _ in ends:
        os.write(out, b"a line\n" * 5000 + b"and a partial one")
    assert fleet.drain.flush()
    for agent_id, (_, out, error) in enumerate(ends, start=1):
        assert len(rebuild(fleet.records(f"agent{agent_id}"), Stream.STDOUT)) == 35_017
        close(out, error)


def test_a_removed_agent_is_drained_and_forgotten(fleet: Fleet) -> None:
    _, out, error = fleet.agent()
    fleet.drain.offset(AGENT)
    os.write(out, b"last words")
    fleet.drain.remove(AGENT)
    wait_for(lambda: fleet.raw() != b"", "the last words")
    assert rebuild(fleet.records(), Stream.STDOUT) == b"last words"
    for call in (fleet.drain.counters, fleet.drain.run_offset, fleet.drain.remove):
        with pytest.raises(LogDrainError) as caught:
            call(AGENT)
        assert caught.value.errno == errno.ESRCH
    assert fleet.drain.finished() == []
    close(out, error)


def test_a_stranger_with_the_pipe_does_not_keep_a_finished_run_open(fleet: Fleet) -> None:
    run, out, error = fleet.agent()
    os.write(out, b"said in time\n")
    fleet.drain.finish(AGENT, run)
    assert fleet.wait_finished() == [(AGENT, run)]
    assert rebuild(fleet.records(), Stream.STDOUT) == b"said in time\n"
    with pytest.raises(BrokenPipeError):
        os.write(out, b"too late\n")
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.finish(AGENT, run)
    assert caught.value.errno == errno.ESRCH
    close(out, error)


def test_runs_whose_pipes_stay_open_are_bounded(fleet: Fleet) -> None:
    ends = [fleet.agent() for _ in range(12)]
    oldest = [(AGENT, run) for run, _, _ in ends[:4]]
    seen: list[tuple[int, int]] = []
    while len(seen) < len(oldest):
        seen += fleet.wait_finished()
    assert seen == oldest
    assert fleet.drain.counters(AGENT).open_runs == 8
    for _, out, error in ends:
        close(out, error)


def test_a_file_removed_by_hand_is_made_anew_within_a_second(fleet: Fleet) -> None:
    _, out, error = fleet.agent()
    os.write(out, b"one\n")
    wait_for(lambda: len(fleet.records()) == 1, "the first line")
    (fleet.directory / "probe.log").unlink()

    def written_again() -> bool:
        os.write(out, b"more\n")
        return (fleet.directory / "probe.log").exists()

    wait_for(written_again, "a new file", timeout_s=2.0)
    close(out, error)


@pytest.mark.parametrize(
    ("torn", "kept"),
    [
        (b"2026-11-21T11:13:48.123456789Z stdout F whole\n2026-11-21T11", 46),
        (b"2026-11-21T11", 0),
        (b"x" * 20_000, 20_001),
    ],
)
def test_a_torn_tail_does_not_spoil_the_next_record(fleet: Fleet, torn: bytes, kept: int) -> None:
    (fleet.directory / "probe.log").write_bytes(torn)
    run, out, error = fleet.agent()
    assert fleet.drain.offset(AGENT) == kept
    os.write(out, b"next\n")
    close(out, error)
    assert fleet.wait_finished() == [(AGENT, run)]
    lines, _ = parse_chunk(fleet.raw()[kept:])
    assert rebuild(lines, Stream.STDOUT) == b"next\n"


def test_a_huge_writer_does_not_starve_a_small_one(fleet: Fleet) -> None:
    _, loud, loud_error = fleet.agent(1, "loud", max_bytes=MIB)
    _, quiet, quiet_error = fleet.agent(2, "quiet")
    fcntl.fcntl(loud, fcntl.F_SETPIPE_SZ, MIB)
    done = threading.Event()

    def flood() -> None:
        block = b"flood " * 20 + b"\n"
        while not done.is_set():
            os.write(loud, block * 500)

    def has_lines(count: int) -> bool:
        return len(fleet.records("quiet")) == count

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        wait_for(lambda: fleet.drain.counters(1).bytes_in > 4 * MIB, "the flood")
        for number in range(1, 11):
            os.write(quiet, b"quiet\n")
            wait_for(partial(has_lines, number), "the quiet agent's line", timeout_s=1.0)
    finally:
        done.set()
        writer.join()
    close(loud, loud_error, quiet, quiet_error)


def test_an_idle_drain_never_wakes_up(fleet: Fleet) -> None:
    _, out, error = fleet.agent()
    os.write(out, b"a line and a partial one\n...")
    wait_for(lambda: len(fleet.records()) == 2, "both")
    time.sleep(0.05)

    def switches() -> dict[str, str]:
        field = "voluntary_ctxt_switches"
        return {name: status_field(task, field) for name, task in threads().items()}

    before = switches()
    assert set(before) == {"asm-logdrain", "asm-logspill"}
    time.sleep(0.5)
    assert switches() == before
    close(out, error)


def test_the_threads_take_no_signals(fleet: Fleet) -> None:
    for task in threads().values():
        blocked = int(status_field(task, "SigBlk"), 16)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            assert blocked & (1 << (number - 1))


def test_closing_leaves_no_thread_and_no_fd(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    fleet = Fleet(tmp_path)
    _, out, error = fleet.agent()
    os.write(out, b"unfinished")
    wait_for(lambda: fleet.drain.counters(AGENT).bytes_in > 0, "the bytes")
    fleet.drain.close()
    fleet.drain.close()
    close(out, error)
    assert rebuild(fleet.records(), Stream.STDOUT) == b"unfinished"
    assert threads() == {}
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(LogDrainError) as caught:
        fleet.drain.fileno()
    assert caught.value.errno == errno.EBADF


def test_hundreds_of_agents_are_drained(fleet: Fleet) -> None:
    ends = [fleet.agent(agent_id, f"agent{agent_id}") for agent_id in range(1, 401)]
    for _, out, error in ends:
        os.write(out, b"out\n")
        os.write(error, b"error\n")
        close(out, error)
    seen = 0
    while seen < len(ends):
        seen += len(fleet.wait_finished())
    for agent_id in range(1, 401):
        records = fleet.records(f"agent{agent_id}")
        assert rebuild(records, Stream.STDOUT) == b"out\n"
        assert rebuild(records, Stream.STDERR) == b"error\n"
