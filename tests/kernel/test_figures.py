"""Figures from files against the truth: memory, CPU, threads, blocks, sockets, pressure.

With and without the controllers: each host has one kind, and the VMs have the other. What a nested
cgroup holds counts for the agent in all of them, so the loads are in nested ones throughout.
"""

import os
import select
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.sampler import Row, Sampler
from tests.kernel.counting_rig import SLOTS_MAX, Load, Rig, make_rig
from tests.kernel.disk import Disk

SLOT = 5
MIB = 1 << 20
WRITTEN = 8 * MIB


class Watched:
    """An agent, its sampler, and a nested cgroup for its loads."""

    def __init__(self, rig: Rig, sampler: Sampler) -> None:
        self.rig, self.sampler = rig, sampler
        self.agent = rig.agent()
        rig.agent("agent/tool")
        self.inner = rig.agent("agent/tool/inner")
        sampler.add(SLOT, 105, self.agent.fd)

    def load(self, name: str = "figures_load") -> Load:
        """Start a load in the nested cgroup."""
        return self.rig.load(self.inner, name)

    def row(self) -> Row:
        """Measure everything now."""
        self.sampler.sample_now(SLOT)
        return self.sampler.row(SLOT)

    def after_a_pass(self) -> Row:
        """Return what the next whole second's pass shows."""
        self.sampler.acknowledge()
        assert select.select([self.sampler], [], [], 10)[0], "no pass came"
        return self.sampler.row(SLOT)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Give an agent that is sampled."""
    with make_rig() as rig, closing(Sampler(None, SLOTS_MAX)) as sampler:
        sampler.start()
        yield Watched(rig, sampler)
        assert sampler.figures().failures == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk with blocks: the host's own, or one of ours where that is memory."""
    if os.major(os.stat("/var/tmp").st_dev):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="asm-test-") as folder:
            yield Path(folder)
        return
    made = Disk(tmp_path)
    try:
        made.mount_ext4("64M")
        yield made.path
    finally:
        made.remove()


def known(figure: int | None) -> int:
    """Return a figure that must be there."""
    assert figure is not None
    return figure


def memory_kinds(row: Row) -> tuple[int, int, int]:
    """Return anonymous, shmem and file bytes."""
    return (
        known(row.memory_anon_bytes),
        known(row.memory_shmem_bytes),
        known(row.memory_file_bytes),
    )


def has_controller(cgroup: Cgroup, file: str) -> bool:
    """Whether the host's kernel keeps this file, and so measures for us."""
    return cgroup.read(file) is not None


def test_an_allocation_of_200_mib_is_shown_within_two_percent(watched: Watched) -> None:
    load = watched.load("counting_load")
    empty = watched.row()
    load.order("memory", 200 * MIB)
    full = watched.row()
    assert known(full.memory_bytes) - known(empty.memory_bytes) == pytest.approx(
        200 * MIB, rel=0.02
    )
    assert memory_kinds(full)[0] - memory_kinds(empty)[0] == pytest.approx(200 * MIB, rel=0.02)
    assert known(full.peak_memory_bytes) >= known(full.memory_bytes)


def test_ten_forked_workers_hold_their_shared_memory_once(watched: Watched) -> None:
    load = watched.load()
    load.order("workers", 200 * MIB, 10)
    row = watched.row()
    assert row.process_count == 11
    anonymous, shmem, _ = memory_kinds(row)
    assert anonymous == pytest.approx(200 * MIB, rel=0.02)
    assert shmem < MIB
    assert known(row.memory_bytes) == pytest.approx(200 * MIB, rel=0.05)
    # And a second later, when the sum is scaled and not measured again.
    again = watched.after_a_pass()
    assert known(again.memory_anon_bytes) == pytest.approx(200 * MIB, rel=0.02)


def test_shmem_is_told_from_anonymous_memory_and_counts_once(watched: Watched) -> None:
    load = watched.load("counting_load")
    load.order("share", 100 * MIB, 9)
    anonymous, shmem, _ = memory_kinds(watched.row())
    assert shmem == pytest.approx(100 * MIB, rel=0.02)
    assert anonymous < 8 * MIB


@pytest.mark.parametrize("threads", [1, 8])
def test_cpu_time_is_the_processs_own_within_a_percent(watched: Watched, threads: int) -> None:
    """Against its CPU clock, which has the running slices: while it runs and at its end."""
    load = watched.load("counting_load")
    clock = ~load.process.pid << 3 | 2  # clock_getcpuclockid(3)
    started_ns = time.clock_gettime_ns(clock)
    base_us = known(watched.row().cpu_time_us)
    load.begin("spin", 2000 // threads, threads)
    compared = 0
    while (before_ns := time.clock_gettime_ns(clock) - started_ns) < 1_900_000_000:
        shown_us = known(watched.row().cpu_time_us) - base_us
        after_ns = time.clock_gettime_ns(clock) - started_ns
        if before_ns > 1_000_000_000:
            assert 0.99 * before_ns <= shown_us * 1000 <= 1.01 * after_ns
            compared += 1
        time.sleep(0.05)
    assert compared > 0
    load.finish()
    time.sleep(0.1)  # a thread that ends is charged its last slice a moment after it was joined
    shown_us = known(watched.row().cpu_time_us) - base_us
    assert shown_us * 1000 == pytest.approx(time.clock_gettime_ns(clock) - started_ns, rel=0.01)


def test_threads_are_counted_over_all_processes(watched: Watched) -> None:
    assert watched.row().thread_count == 0
    first, second = watched.load(), watched.load()
    first.order("threads", 7)
    second.order("threads", 2)
    row = watched.row()
    assert (row.process_count, row.thread_count) == (2, 11)
    first.close()
    assert watched.row().thread_count == 3


def test_sockets_are_counted_once_however_many_share_them(watched: Watched) -> None:
    load = watched.load()
    assert watched.row().socket_count == 0
    load.order("sockets", 5)
    row = watched.row()
    assert (row.process_count, row.socket_count) == (2, 7)
    watched.load().order("sockets", 1)
    assert watched.row().socket_count == 10


def test_bytes_that_reach_and_leave_the_disk_are_counted(watched: Watched, disk: Path) -> None:
    load = watched.load()
    before = watched.row()
    load.order("write", WRITTEN, disk / "file")
    written = watched.row()
    load.order("read", WRITTEN, disk / "file")
    both = watched.row()
    for figure, least, rise in (
        ("written", WRITTEN, known(written.block_write_bytes) - known(before.block_write_bytes)),
        ("read", WRITTEN, known(both.block_read_bytes) - known(written.block_read_bytes)),
    ):
        assert least <= rise < least + MIB, figure


def test_bytes_stay_counted_when_processes_end(watched: Watched, disk: Path) -> None:
    """Whoever waits for them, and once: as zombies, waited for, orphaned, and at the very end."""
    load = watched.load()
    total = known(watched.row().block_write_bytes)

    def rose(by: int) -> None:
        nonlocal total
        shown = known(watched.row().block_write_bytes)
        assert by <= shown - total < by + MIB, (total, shown)
        total = shown

    load.order("child", WRITTEN, disk / "a")
    rose(WRITTEN)
    load.order("end", 0)
    rose(0)  # a zombie, in no list of processes
    load.order("reap")
    rose(0)  # in its parent's counter now
    load.order("child", WRITTEN, disk / "b")
    load.order("end", 0)
    load.order("reap")  # all of it between two readings
    rose(WRITTEN)
    load.order("orphan", WRITTEN, disk / "c")
    rose(WRITTEN)
    load.order("end", 0)
    rose(0)
    load.close()
    rose(0)
    assert watched.sampler.remove(SLOT).block_write_bytes == total


def test_pressure_is_the_kernels_own_or_absent(watched: Watched) -> None:
    load = watched.load("counting_load")
    load.order("spin", 50, 4)  # on fewer CPUs than threads somebody waits
    for name in ("cpu", "memory", "io"):
        before = pressure_us(watched.agent, name)
        shown = getattr(watched.row(), f"{name}_pressure_us")
        after = pressure_us(watched.agent, name)
        if before is None:
            assert shown is None
        else:
            assert before <= shown <= known(after)
    if os.cpu_count() in (1, 2, 3) and pressure_us(watched.agent, "cpu") is not None:
        assert known(watched.row().cpu_pressure_us) > 0


def pressure_us(cgroup: Cgroup, name: str) -> int | None:
    """Return what the cgroup's own file says, None without one."""
    text = cgroup.read(f"{name}.pressure")
    return None if text is None else int(text.split("total=")[1].split()[0])


def test_an_agent_at_rest_shows_what_it_had_when_it_came_to_rest(watched: Watched) -> None:
    """What is read seldom is read once more then; passes see to it, and nobody asks."""
    load = watched.load("counting_load")
    load.order("spin", 50, 4)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        row = watched.after_a_pass()
        if row.cpu_percent_milli == 0 and row.cpu_pressure_us == pressure_us(watched.agent, "cpu"):
            return
    pytest.fail("the pressure of its last second was never read")


def test_the_kinds_are_the_controllers_where_there_is_one(watched: Watched) -> None:
    """A guard: which of the two ways this host takes is known and not left to chance."""
    watched.load("counting_load").order("memory", 20 * MIB)
    row = watched.row()
    if has_controller(watched.agent, "memory.stat"):
        stat = dict(line.split() for line in (watched.agent.read("memory.stat") or "").splitlines())
        assert memory_kinds(row)[0] == pytest.approx(int(stat["anon"]), abs=MIB)
    else:
        assert known(row.memory_bytes) == sum(memory_kinds(row)[:2])
