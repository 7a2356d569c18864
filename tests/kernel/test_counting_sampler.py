"""The sampler on the real kernel: figures against the cgroup's own, windows, memory, tiers."""

import contextlib
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.resources import Window
from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import MEMORY_SOURCES, Row, Sampler, SamplerError
from tests.kernel.counting_rig import BACKENDS, SLOTS_MAX, Load, Rig, bind, make_rig, open_probes

SLOT = 9
AGENT_ID = 109
MIB = 1 << 20


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


@pytest.fixture
def probes(rig: Rig) -> Iterator[Probes]:
    """Give running programs."""
    with open_probes(rig) as opened:
        yield opened


@pytest.fixture(params=["bpf", "files"])
def sampler(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Sampler]:
    """Give a running sampler, with probes and without; the agent must be added by the test."""
    probes = open_probes(rig) if request.param == "bpf" else None
    made = Sampler(probes, SLOTS_MAX)
    try:
        made.start()
        yield made
        assert made.figures().failures == 0
    finally:
        made.close()
        if probes is not None:
            probes.close()


def add(sampler: Sampler, cgroup: Cgroup, slot: int = SLOT) -> None:
    """Bind and watch the cgroup."""
    if sampler.probes is not None:
        bind(sampler.probes, slot, cgroup)
    sampler.add(slot, AGENT_ID, cgroup.fd)


def fresh(sampler: Sampler) -> Row:
    """Measure and return the row."""
    sampler.sample_now(SLOT)
    return sampler.row(SLOT)


def await_pass(sampler: Sampler, passes: int = 1) -> None:
    """Return when so many further passes are over."""
    sampler.acknowledge()
    for _ in range(passes):
        assert select.select([sampler], [], [], 10)[0], "no pass came"
        sampler.acknowledge()


def usage_us(cgroup: Cgroup) -> int:
    """Return what the kernel charged the cgroup."""
    text = cgroup.read("cpu.stat") or ""
    return int(text.split()[1])


def totals(windows: list[Window]) -> tuple[int, int]:
    """Return the sums of CPU time and syscalls."""
    return (
        sum(window.cpu_time_us for window in windows),
        sum(window.syscall_count or 0 for window in windows),
    )


@pytest.mark.parametrize("threads", [1, 8])
def test_cpu_time_is_what_the_kernel_charged(rig: Rig, sampler: Sampler, threads: int) -> None:
    """Also while it runs: between two readings of the cgroup's own file."""
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.begin("spin", 400 // threads, threads)
    for _ in range(5):
        time.sleep(0.03)
        before = usage_us(agent)
        shown = fresh(sampler).cpu_time_us
        assert shown is not None
        assert before <= shown <= usage_us(agent)
    load.finish()
    time.sleep(0.1)  # a thread that ends is charged its last slice a moment after it was joined
    shown = fresh(sampler).cpu_time_us
    assert shown == usage_us(agent)
    assert shown >= 400_000


def test_windows_are_whole_seconds_and_add_up(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    load = rig.load(agent)
    add(sampler, agent)
    begun = sampler.row(SLOT)
    await_pass(sampler)
    load.order("spin", 200, 1)
    load.order("calls", 5000)
    time.sleep(2.2)
    await_pass(sampler, 2)
    windows = sampler.windows(SLOT)
    ended = sampler.row(SLOT)
    first = windows[0].timestamp_us
    assert [window.timestamp_us for window in windows] == [
        first + number * 1_000_000 for number in range(len(windows))
    ]
    assert first % 1_000_000 == 0
    assert first <= begun.timestamp_us < first + 1_000_000
    assert ended.cpu_time_us is not None
    assert begun.cpu_time_us is not None
    cpu_us, syscalls = totals(windows)
    assert cpu_us == ended.cpu_time_us - begun.cpu_time_us
    assert any(window.cpu_time_us == 0 for window in windows), "no idle second has a window"
    if sampler.probes is None:
        assert {window.syscall_count for window in windows} == {None}
        assert {window.io_ops for window in windows} == {None}
    else:
        assert ended.syscall_count is not None
        assert begun.syscall_count is not None
        assert syscalls == ended.syscall_count - begun.syscall_count > 5000


def test_without_probes_counts_are_absent_and_not_zero(rig: Rig) -> None:
    agent = rig.agent()
    with contextlib.closing(Sampler(None, SLOTS_MAX)) as sampler:
        sampler.add(SLOT, AGENT_ID, agent.fd)
        rig.load(agent).order("fork", 3, 0)
        row = fresh(sampler)
    assert row.cpu_time_us is not None
    assert row.cpu_time_us > 0
    assert row.process_count == 1
    for figure in (row.syscall_count, row.io_ops, row.fork_count, row.exec_count,
                   row.process_exit_count, row.last_exit_pid, row.syscall_rate):  # fmt: skip
        assert figure is None


def test_counts_reach_the_row(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    with contextlib.closing(Sampler(probes, SLOTS_MAX)) as sampler:
        bind(probes, SLOT, agent)
        sampler.add(SLOT, AGENT_ID, agent.fd)
        load = rig.load(agent)
        load.order("fork", 3, 5)
        load.order("kill", 2)
        load.order("exec", 4, 0)
        row = fresh(sampler)
        counts = probes.counts(SLOT)
    assert (row.slot, row.agent_id) == (SLOT, AGENT_ID)
    assert (row.fork_count, row.exec_count, row.process_exit_count) == (9, 4, 9)
    assert (row.error_exit_count, row.signal_exit_count) == (3, 2)
    assert row.syscall_count == counts.syscalls
    assert row.io_ops == counts.io_calls
    assert row.last_exit_status == 0
    assert row.last_exit_us == counts.last_exit_us


def test_memory_is_what_the_processes_hold(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    empty = fresh(sampler)
    load.order("memory", 64 * MIB)
    full = fresh(sampler)
    load.order("memory", 4096)
    after = fresh(sampler)
    assert None not in (empty.memory_bytes, full.memory_bytes, after.memory_bytes)
    assert empty.memory_bytes is not None
    assert full.memory_bytes is not None
    assert after.memory_bytes is not None
    assert abs(full.memory_bytes - empty.memory_bytes - 64 * MIB) < MIB
    assert after.memory_bytes < 8 * MIB
    assert after.peak_memory_bytes is not None
    assert after.peak_memory_bytes >= full.memory_bytes
    if agent.read("memory.current") is None:
        assert MEMORY_SOURCES[full.memory_source] == "rss"
    else:
        assert MEMORY_SOURCES[full.memory_source] == "cgroup"


def test_shared_pages_count_once(rig: Rig, sampler: Sampler) -> None:
    """Five processes that have all touched the same 48 MiB hold 48 MiB, not 240."""
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.order("share", 48 * MIB, 4)
    row = fresh(sampler)
    assert row.process_count == 5
    assert row.memory_bytes is not None
    assert abs(row.memory_bytes - 48 * MIB) < 4 * MIB
    if agent.read("memory.current") is None:
        assert MEMORY_SOURCES[row.memory_source] == "pss"


def test_processes_of_nested_cgroups_belong_to_the_agent(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    rig.load(agent)
    rig.agent("agent/tool")
    rig.load(rig.agent("agent/tool/inner"))
    assert fresh(sampler).process_count == 2


def test_an_agent_that_wakes_without_a_call_is_seen(rig: Rig, sampler: Sampler) -> None:
    """A pass notices CPU time that no syscall announces."""
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.order("pool", 1)  # a thread that spins and makes no call
    await_pass(sampler, 3)
    busy = sampler.row(SLOT)
    load.order("pool", 0)
    assert busy.cpu_percent_milli is not None
    assert busy.cpu_percent_milli > 10_000
    assert busy.timestamp_us - (busy.last_activity_us or 0) < 1_000_000
    assert all(window.cpu_time_us for window in sampler.windows(SLOT)[-2:])


def test_only_what_changed_is_reported(rig: Rig, sampler: Sampler) -> None:
    busy, idle = rig.agent("busy"), rig.agent("idle")
    add(sampler, busy, 1)
    add(sampler, idle, 2)
    load = rig.load(busy)
    rig.load(idle)
    await_pass(sampler, 2)
    sampler.changed()
    load.order("calls", 100)
    await_pass(sampler)
    assert [row.slot for row in sampler.changed()] == [1]
    assert sampler.changed() == []
    await_pass(sampler)
    (settled,) = sampler.changed()  # its rates went back to zero
    assert (settled.slot, settled.cpu_percent_milli) == (1, 0)
    assert settled.syscall_rate in (0, None)
    await_pass(sampler)
    assert sampler.changed() == []
    assert [row.slot for row in sampler.rows()] == [1, 2]


def test_the_final_row_is_measured_at_the_removal(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.order("spin", 50, 1)
    load.close()
    time.sleep(0.1)  # the last slice is charged a moment after the process was reaped
    final = sampler.remove(SLOT)
    assert final.cpu_time_us == usage_us(agent)
    assert final.process_count == 0
    if sampler.probes is not None:
        assert final.process_exit_count == 1
    for call in (sampler.row, sampler.windows, sampler.remove, sampler.sample_now):
        with pytest.raises(SamplerError) as caught:
            call(SLOT)
        assert caught.value.errno == 3
    assert sampler.rows() == []


def test_a_removed_cgroup_keeps_its_last_figures(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.order("spin", 20, 1)
    load.close()
    last = fresh(sampler)
    while agent.is_populated():
        time.sleep(0.001)
    agent.remove_tree()
    after = fresh(sampler)
    assert after.cpu_time_us == last.cpu_time_us
    assert after.syscall_count == last.syscall_count
    assert (after.memory_bytes, after.process_count) == (0, 0)


def test_slots_are_taken_once(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    with pytest.raises(SamplerError) as caught:
        sampler.add(SLOT, 1, agent.fd)
    assert caught.value.errno == 17
    with pytest.raises(SamplerError) as caught:
        sampler.add(SLOTS_MAX, 1, agent.fd)
    assert caught.value.errno == 22


def test_counts_go_on_over_a_restart_in_the_same_cgroup(rig: Rig, sampler: Sampler) -> None:
    agent = rig.agent()
    add(sampler, agent)
    load = rig.load(agent)
    load.order("spin", 30, 1)
    load.close()
    first = fresh(sampler)
    rig.load(agent).order("spin", 30, 1)
    second = fresh(sampler)
    assert second.cpu_time_us is not None
    assert first.cpu_time_us is not None
    assert second.cpu_time_us >= first.cpu_time_us + 30_000
    if sampler.probes is not None:
        assert second.syscall_count is not None
        assert first.syscall_count is not None
        assert second.syscall_count > first.syscall_count > 0


def test_adding_and_removing_during_passes_leaks_no_descriptor(rig: Rig, sampler: Sampler) -> None:
    agents = [rig.agent(f"a{number}") for number in range(20)]
    for agent in agents:
        Load(agent.path).close()
    before = len(os.listdir("/proc/self/fd"))
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        for slot, agent in enumerate(agents):
            sampler.add(slot, slot, agent.fd)
        sampler.sample_now()
        for slot in range(len(agents)):
            sampler.remove(slot)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_sampler_says_so() -> None:
    sampler = Sampler(None, 1)
    sampler.close()
    sampler.close()
    with pytest.raises(ValueError, match="closed"):
        sampler.rows()


def test_the_threads_name_tells_what_it_is(sampler: Sampler) -> None:
    await_pass(sampler)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert "asm-sampler" in names
