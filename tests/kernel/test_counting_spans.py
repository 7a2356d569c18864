"""Sums over the sampler's windows: the native ones are those of the windows themselves."""

import select
from collections.abc import Iterator

import pytest

from supervisord_asm.core.resources import Span, span_of
from supervisord_asm.kernel.sampler import Sampler
from tests.kernel.counting_rig import SLOTS_MAX, Rig, bind, make_rig, open_probes

SECONDS = (1, 2, 5, 60, 4_000_000_000)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Give an agents' root."""
    with make_rig() as made:
        yield made


@pytest.fixture(params=["bpf", "files"])
def sampler(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Sampler]:
    """Give a running sampler, with probes and without."""
    probes = open_probes(rig) if request.param == "bpf" else None
    made = Sampler(probes, SLOTS_MAX)
    try:
        made.start()
        yield made
    finally:
        made.close()
        if probes is not None:
            probes.close()


def await_pass(sampler: Sampler) -> None:
    """Return when a further pass is over."""
    sampler.acknowledge()
    assert select.select([sampler], [], [], 10)[0], "no pass came"
    sampler.acknowledge()


def test_spans_are_the_sums_of_the_windows(rig: Rig, sampler: Sampler) -> None:
    busy, idle = rig.agent("busy"), rig.agent("idle")
    load = rig.load(busy)
    for slot, cgroup in ((3, busy), (5, idle)):
        if sampler.probes is not None:
            bind(sampler.probes, slot, cgroup)
        sampler.add(slot, 100 + slot, cgroup.fd)
    empty = Span(5, 0, 0, None, None)
    assert sampler.spans([3, 40], [5]) == [(empty,), (empty,)], "no window is closed yet"
    for _ in range(3):
        load.order("spin", 150, 1)
        load.order("calls", 2000)
        await_pass(sampler)
    # Nothing runs in between: no window is closed while we compare.
    await_pass(sampler)
    ran, rested, free = sampler.spans([3, 5, 40], SECONDS)
    windows = sampler.windows(3)
    assert len(windows) >= 4
    assert list(ran) == [span_of(windows, seconds) for seconds in SECONDS]
    assert ran[-1].cpu_time_us >= 450_000
    assert (ran[-1].syscall_count is None) == (sampler.probes is None)
    assert [span.cpu_time_us for span in rested] == [0] * len(SECONDS)
    assert [span.windows for span in free] == [0] * len(SECONDS)
    assert sampler.spans([], [5]) == []
