"""What ran, told by the real kernel: programs, processes, ends; and what is lost is counted."""

import time
from collections.abc import Iterator

import pytest

from supervisord_asm.kernel.probes import ExecEvent, Probes
from tests.kernel.counting_rig import BACKENDS, Rig, bind, make_rig, open_probes
from tests.kernel.deeds_rig import DeedsLoad, deeds_loads

SLOT = 6
TRUE, FALSE, SLEEP = "/bin/true", "/bin/false", "/bin/sleep"


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


@pytest.fixture
def load(rig: Rig, probes: Probes) -> Iterator[DeedsLoad]:
    """Give a load in a cgroup nested in an agent's, which is bound."""
    agent = rig.agent()
    bind(probes, SLOT, agent)
    with deeds_loads(rig.agent("agent/inner")) as (made,):
        yield made


def test_a_program_is_named_and_its_end_told(probes: Probes, load: DeedsLoad) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    load.order("exec", TRUE, 0)
    load.order("exec", FALSE, 0)
    after_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    events = probes.drain_execs()
    assert [(e.slot, e.path, e.comm, e.status) for e in events] == [
        (SLOT, TRUE, "true", None), (SLOT, None, "", 0),
        (SLOT, FALSE, "false", None), (SLOT, None, "", 1 << 8),
    ]  # fmt: skip
    assert events[0].pid == events[1].pid != events[2].pid == events[3].pid
    times = [event.time_us for event in events]
    assert [before_us, *times, after_us] == sorted([before_us, *times, after_us])
    assert probes.drain_execs() == []


def test_a_signal_is_told(rig: Rig, probes: Probes, load: DeedsLoad) -> None:
    load.begin("exec", SLEEP, 600)
    (started,) = await_events(probes, 1)
    assert started.path == SLEEP
    with (rig.root.path / "agent" / "inner" / "cgroup.procs").open() as procs:
        assert started.pid in map(int, procs)
    rig.root.kill()
    ended = {event.pid: event for event in await_events(probes, 1)}
    assert ended[started.pid].status == 9


def await_events(probes: Probes, count: int) -> list[ExecEvent]:
    """Return what was told, when it is as much as wanted."""
    events: list[ExecEvent] = []
    deadline = time.monotonic() + 10
    while len(events) < count:
        assert time.monotonic() < deadline
        events += probes.drain_execs()
    return events


def test_processes_that_start_no_program_are_not_told(probes: Probes, load: DeedsLoad) -> None:
    load.order("child", 1)
    load.order("calls", 2, 1)
    assert probes.drain_execs() == []


def test_a_long_path_is_cut(probes: Probes, load: DeedsLoad) -> None:
    path = "/" + "./" * 100 + "bin/true"
    load.order("exec", path, 0)
    (started, _) = probes.drain_execs()
    assert started.path == path[:127]
    assert started.comm == "true"


def test_a_full_ring_is_counted_and_nothing_else_suffers(probes: Probes, load: DeedsLoad) -> None:
    """2,000 programs while nobody reads: the figures are exact, the losses are told to the last."""
    before = probes.counts(SLOT)
    for _ in range(2000):
        load.order("exec", TRUE, 0)
    counts = probes.counts(SLOT)
    assert counts.execs - before.execs == 2000
    assert counts.exits - before.exits == 2000
    events = probes.drain_execs()
    lost = probes.drops()["exec_ring_full"]
    starts = {event.pid for event in events if event.path is not None}
    ends = {event.pid for event in events if event.path is None}
    # Of a start that found no room no end is told, so that none is taken for another's.
    assert ends <= starts
    assert 0 < lost == 2000 - len(ends)
    assert probes.drain_execs() == []
    load.order("exec", TRUE, 0)
    assert len(probes.drain_execs()) == 2


def test_what_a_former_agent_ran_is_not_its_successors(rig: Rig, probes: Probes) -> None:
    """A reader that comes when the slot has another agent."""
    first, second = rig.agent("first"), rig.agent("second")
    bind(probes, SLOT, first)
    with deeds_loads(first) as (load,):
        load.order("exec", TRUE, 0)
        probes.unbind(SLOT)
        bind(probes, SLOT, second)
        load.order("exec", TRUE, 0)  # in a cgroup that is nobody's
        assert probes.drain_execs() == []
    assert probes.drops()["exec_too_late"] == 2


def test_ten_thousand_short_processes_are_exact(probes: Probes, load: DeedsLoad) -> None:
    """Read like the daemon does: forks, execs, exits to the last one, and each start named."""
    before = probes.counts(SLOT)
    begun = time.monotonic()
    load.order("storm", 200, TRUE)
    each_s = (time.monotonic() - begun) / 200
    batch = 500
    batches = max(2, min(20, int(20 / each_s / batch)))  # 20 s at most, on whatever machine
    told = len(probes.drain_execs())
    for _ in range(batches):
        load.order("storm", batch, TRUE)
        told += len(probes.drain_execs())
    counts = probes.counts(SLOT)
    count = 200 + batch * batches
    assert counts.forks - before.forks == count
    assert counts.execs - before.execs == count
    assert counts.exits - before.exits == count
    assert counts.exits_error == counts.exits_signal == 0
    assert told == 2 * count - probes.drops()["exec_ring_full"]
    assert probes.drops()["exec_ring_full"] == 0
