"""The log drain on a disk that is full, and on one that hangs."""

import errno
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.logline import Stream, rebuild
from tests.kernel.logdrain_rig import AGENT, MIB, Fleet, close, status_field, threads, wait_for

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h, _IOWR('X', 119 and 120, int)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Mount something, as mount(8) is told, and drain into it; closed and unmounted after."""
    path = tmp_path / f"asm-test-{os.getpid()}-log"
    path.mkdir()
    fleets = []

    def mount(*arguments: str) -> Fleet:
        subprocess.run(["mount", *arguments, str(path)], check=True, capture_output=True)
        fleets.append(Fleet(path))
        return fleets[0]

    yield mount
    for fleet in fleets:
        fleet.drain.close()
    subprocess.run(["umount", str(path)], check=True, capture_output=True)


def test_a_full_disk_drops_and_counts_and_is_left_when_space_returns(
    mounted: Callable[..., Fleet],
) -> None:
    fleet = mounted("-t", "tmpfs", "-o", "size=128k", "asm-test")
    ballast = fleet.directory / "ballast"
    ballast.write_bytes(b"b" * 65536)
    _, out, error = fleet.agent()
    _, other, other_error = fleet.agent(AGENT + 1, "other")
    total = 0
    for number in range(3000):
        total += os.write(out, b"line %06d of a full disk\n" % number)
    assert fleet.drain.flush()
    counters = fleet.drain.counters(AGENT)
    kept = rebuild(fleet.records(), Stream.STDOUT)
    assert counters.error == errno.ENOSPC
    assert counters.dropped_bytes > 0
    assert counters.bytes_in == total == len(kept) + counters.dropped_bytes
    assert counters.lines == 3000 == kept.count(b"\n") + counters.dropped_lines
    os.write(other, b"x\n")
    wait_for(lambda: fleet.drain.counters(AGENT + 1).bytes_in == 2, "the other agent's bytes")

    ballast.unlink()
    time.sleep(0.3)  # the drain leaves a failing disk alone for a quarter of a second
    os.write(out, b"there is room again\n")
    close(out, error, other, other_error)
    fleet.wait_finished()
    wait_for(lambda: fleet.drain.counters(AGENT).open_runs == 0, "the end")
    assert fleet.records()[-1].message == b"there is room again"
    assert fleet.drain.counters(AGENT).error == 0


def test_a_full_disk_does_not_make_the_drain_spin(mounted: Callable[..., Fleet]) -> None:
    fleet = mounted("-t", "tmpfs", "-o", "size=32k", "asm-test")
    _, out, error = fleet.agent()
    os.write(out, b"x" * 60_000 + b"\n")
    wait_for(lambda: fleet.drain.counters(AGENT).error == errno.ENOSPC, "the error")
    time.sleep(0.2)
    before = status_field(threads()["asm-logdrain"], "voluntary_ctxt_switches")
    time.sleep(0.5)
    assert status_field(threads()["asm-logdrain"], "voluntary_ctxt_switches") == before
    close(out, error)


def test_a_hanging_disk_blocks_no_agent_for_long(
    mounted: Callable[..., Fleet], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\0" * (16 * MIB))
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    fleet = mounted("-o", "loop", str(image))
    _, out, error = fleet.agent()
    _, other, other_error = fleet.agent(AGENT + 1, "other")
    third_run, third, third_error = fleet.agent(AGENT + 2, "third")
    os.write(out, b"before\n")
    wait_for(lambda: len(fleet.records()) == 1, "the first line")
    frozen = os.open(fleet.directory, os.O_RDONLY)

    def write_several_pipes_full() -> None:
        for _ in range(100):
            os.write(other, b"y" * 9_999 + b"\n")

    fcntl.ioctl(frozen, FIFREEZE, 0)
    try:
        os.write(out, b"this write hangs\n")
        # A thread: without somebody who drains it would block until the disk is thawed.
        writer = threading.Thread(target=write_several_pipes_full, daemon=True)
        writer.start()
        writer.join(timeout=3.0)
        assert not writer.is_alive(), "a hanging disk blocks an agent"
        close(third, third_error)
        counters = fleet.drain.counters(AGENT + 1)
        assert counters.dropped_bytes > 500_000
        # No call waits for the disk either.
        begin = time.monotonic()
        assert not fleet.drain.flush(50)
        assert fleet.drain.counters(AGENT).error == 0
        assert time.monotonic() - begin < 0.5
    finally:
        fcntl.ioctl(frozen, FITHAW, 0)
        os.close(frozen)
    assert fleet.wait_finished() == [(AGENT + 2, third_run)]
    os.write(out, b"after\n")
    close(out, error, other, other_error)
    wait_for(lambda: fleet.drain.counters(AGENT).open_runs == 0, "the end")
    assert rebuild(fleet.records(), Stream.STDOUT) == b"before\nthis write hangs\nafter\n"
    wait_for(lambda: fleet.drain.counters(AGENT + 1).open_runs == 0, "the other's end")
    counters = fleet.drain.counters(AGENT + 1)
    kept = rebuild(fleet.records("other"), Stream.STDOUT)
    assert counters.bytes_in == 1_000_000
    # A line cut short by the hole ends there, with a newline of ours.
    assert 0 <= len(kept) + counters.dropped_bytes - counters.bytes_in <= 1
