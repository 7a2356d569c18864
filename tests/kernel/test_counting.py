"""The counting programs on the real kernel: exact counts, of the right agent, and of nobody else.

A count is taken as the difference of two runs of one order, so that what the order itself costs
falls out, and compared for equality: one syscall too few fails.
"""

import os
import time
from collections.abc import Iterator

import pytest

from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.probes import ProbeError, Probes
from tests.kernel.counting_rig import (
    BACKENDS,
    NAME,
    Load,
    Rig,
    bind,
    difference,
    make_rig,
    open_probes,
)

MILLION = 1_000_000
SLOT = 5


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


@pytest.fixture
def probes(rig: Rig) -> Iterator[Probes]:
    """Give running programs; nothing may have been dropped when the test is over."""
    with open_probes(rig) as opened:
        yield opened
        drops = {name: lost for name, lost in opened.drops().items() if lost}
        # A mark that the kernel could not make on a crowded machine; the test that meets it allows
        # for as many exits told twice as are counted here.
        drops.pop("exit_claim_failed", None)
        drops.pop("exec_ring_full", None)  # nobody reads what ran here
        assert drops == {}


def measure(probes: Probes, load: Load, *order: object, slot: int = SLOT) -> dict[str, int]:
    """Return what one order adds to the slot."""
    before = probes.counts(slot)
    load.order(*order)
    return difference(probes.counts(slot), before)


def processes_in(seconds: float, load: Load, most: int) -> int:
    """Return how many processes to start: `most`, fewer on a machine that is much slower."""
    begun = time.monotonic()
    load.order("exec", 10, 0)
    return max(20, min(most, int(10 * seconds / (time.monotonic() - begun))))


def test_a_million_syscalls_are_counted_to_the_last(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    idle = measure(probes, load, "calls", 0)
    assert measure(probes, load, "calls", 0) == idle
    busy = measure(probes, load, "calls", MILLION)
    assert busy["syscalls"] - idle["syscalls"] == MILLION


def test_a_grandchild_in_its_own_session_is_counted_to_the_last(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    measure(probes, load, "orphan", 0)
    idle = measure(probes, load, "orphan", 0)
    busy = measure(probes, load, "orphan", MILLION)
    assert busy["syscalls"] - idle["syscalls"] == MILLION
    assert busy["forks"] == busy["exits"] == 2


def test_eight_threads_are_counted_to_the_last(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    load.order("pool", 8)
    load.order("run", 1)
    idle = measure(probes, load, "run", 0)
    busy = measure(probes, load, "run", MILLION // 8)
    load.order("pool", 0)
    assert busy["syscalls"] - idle["syscalls"] == MILLION


def test_a_nested_cgroup_counts_for_its_agent(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    bind(probes, SLOT, agent)
    rig.agent("agent/inner")
    load = rig.load(rig.agent("agent/inner/deeper"))
    idle = measure(probes, load, "calls", 0)
    busy = measure(probes, load, "calls", MILLION)
    assert busy["syscalls"] - idle["syscalls"] == MILLION


def test_io_calls_are_a_part_of_the_syscalls(rig: Rig, probes: Probes) -> None:
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    idle = measure(probes, load, "write", 0)
    busy = measure(probes, load, "write", 1000)
    assert busy["io_calls"] - idle["io_calls"] == 1000
    assert busy["syscalls"] - idle["syscalls"] == 1000


@pytest.mark.parametrize(
    ("order", "execs", "error", "signal", "status"),
    [
        (("fork", 0), 0, 0, 0, 0),
        (("fork", 3), 0, 1, 0, 3 << 8),
        (("kill", 0), 0, 0, 1, 9),
        (("exec", 0), 1, 0, 0, 0),
        (("exec", 7), 1, 1, 0, 7 << 8),
    ],
)
def test_short_processes_are_counted_exactly(
    rig: Rig, probes: Probes, order: tuple[str, int], execs: int, error: int, signal: int,
    status: int,
) -> None:  # fmt: skip
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    count = processes_in(4, load, 2000)
    risen = measure(probes, load, order[0], count, order[1])
    risen.pop("syscalls")
    risen.pop("io_calls")
    expected = {
        "forks": count, "execs": count * execs, "exits": count,
        "exits_error": count * error, "exits_signal": count * signal,
    }  # fmt: skip
    assert risen == {name: number for name, number in expected.items() if number}
    counts = probes.counts(SLOT)
    assert counts.last_exit_status == status
    assert counts.last_exit_pid is not None
    assert counts.last_exit_us is not None
    assert (
        0 <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 - counts.last_exit_us < 60_000_000
    )


@pytest.mark.parametrize(
    ("order", "execs"), [(("crowd", 8), 0), (("group", 8), 0), (("threadexec", 0), 1)]
)
def test_a_process_of_many_threads_ends_once(
    rig: Rig, probes: Probes, order: tuple[str, int], execs: int
) -> None:
    """Threads that end together, a leader that is killed by another thread's exec."""
    agent = rig.agent()
    bind(probes, SLOT, agent)
    load = rig.load(agent)
    count = processes_in(2, load, 500)
    risen = measure(probes, load, order[0], count, order[1])
    assert risen["forks"] == count
    assert count <= risen["exits"] <= count + probes.drops().get("exit_claim_failed", 0)
    assert risen.get("execs", 0) == count * execs
    assert "exits_error" not in risen
    assert "exits_signal" not in risen


def test_strangers_are_not_counted(rig: Rig, probes: Probes) -> None:
    """Neither those in the root, nor beside the agents' root, nor in an unbound sibling."""
    agent = rig.agent()
    bind(probes, SLOT, agent)
    root = find_cgroup2_root()
    beside = Cgroup.make(root / f"{NAME}-beside")
    inside = Cgroup.make(beside.path / "inside")
    try:
        # The load must be gone before its cgroup, hence no rig.load here.
        for place in (root, inside.path, rig.root.path, rig.agent("unbound").path):
            before = probes.counts(SLOT)
            load = Load(place)
            load.order("calls", 10_000)
            load.order("fork", 3, 1)
            load.close()
            assert difference(probes.counts(SLOT), before) == {}, f"counted from {place}"
    finally:
        inside.close()
        beside.remove_tree()
        beside.close()


def test_a_slot_that_is_bound_again_begins_at_zero(rig: Rig, probes: Probes) -> None:
    """A process of the slot's former agent, still running, counts for nobody."""
    first, second = rig.agent("first"), rig.agent("second")
    bind(probes, SLOT, first)
    old = rig.load(first)
    old.order("calls", 1000)
    assert probes.counts(SLOT).syscalls > 1000
    probes.unbind(SLOT)
    assert probes.counts(SLOT).syscalls == 0
    bind(probes, SLOT, second)
    old.order("calls", 1000)
    old.order("fork", 3, 1)
    assert probes.counts(SLOT) == probes.counts(SLOT + 1)
    new = rig.load(second)
    assert measure(probes, new, "calls", 1000)["syscalls"] > 1000
    assert measure(probes, old, "calls", 1000) == {}


def test_a_process_that_has_just_joined_is_counted_from_there(rig: Rig, probes: Probes) -> None:
    """It was running all the while, so no switch tells that it belongs to the agent now."""
    agent = rig.agent()
    bind(probes, SLOT, agent)
    rig.load(agent)
    assert probes.counts(SLOT).syscalls == 3  # close, write of "done", read


def test_a_running_thread_is_counted_from_the_binding_on(rig: Rig, probes: Probes) -> None:
    """And no more from the unbinding on, although nothing else has run on its CPU meanwhile."""
    agent, other = rig.agent(), rig.agent("other")
    load = rig.load(agent)
    make_unpreemptible(load)
    load.begin("calls", MILLION)
    time.sleep(0.02)
    bind(probes, SLOT, agent)
    time.sleep(0.02)
    counted = probes.counts(SLOT).syscalls
    probes.unbind(SLOT)
    bind(probes, SLOT, other)
    load.finish()
    assert counted > 0
    assert probes.counts(SLOT).syscalls == 0


def make_unpreemptible(load: Load) -> None:
    """Let nothing but the kernel's own threads run on the load's CPU while it runs."""
    try:
        os.sched_setscheduler(load.process.pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass  # no real-time share in a v1 cpu cgroup: a switch may then come to the test's help


def test_agents_are_kept_apart(rig: Rig, probes: Probes) -> None:
    """Two loads that take turns on the same CPUs."""
    agents = [rig.agent(f"a{number}") for number in range(4)]
    loads = [rig.load(agent) for agent in agents]
    for slot, agent in enumerate(agents):
        bind(probes, slot, agent)
    before = []
    for slot, load in enumerate(loads):
        load.order("calls", 0)
        before.append(probes.counts(slot))
    for load in loads:
        load.begin("calls", 200_000)
    for load in loads:
        load.finish()
    risen = {
        difference(probes.counts(slot), counts)["syscalls"] for slot, counts in enumerate(before)
    }
    assert len(risen) == 1
    assert risen.pop() == 200_002  # and one write and one read of the protocol


def test_binding_says_what_is_wrong(rig: Rig, probes: Probes) -> None:
    first, second = rig.agent("first"), rig.agent("second")
    bind(probes, SLOT, first)
    bind(probes, SLOT, first)  # the same again is nothing new
    for slot, agent, errno in ((SLOT, second, 16), (SLOT + 1, first, 17), (64, second, 22)):
        with pytest.raises(ProbeError) as caught:
            bind(probes, slot, agent)
        assert caught.value.errno == errno
    with pytest.raises(ProbeError) as caught:
        probes.bind(SLOT + 1, first.fd, second.id)
    assert caught.value.errno == 116
    with pytest.raises(ProbeError) as caught:
        probes.unbind(SLOT + 1)
    assert caught.value.errno == 3
    assert probes.bound() == {SLOT: first.id}
