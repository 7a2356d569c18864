"""The profiler: the sources' percentile table and example, the guard, its bounds."""

import contextlib

import pytest

from supervisord_asm.core.profiler import (
    DURATION_MAX_US,
    OPERATIONS_MAX,
    SUMMED_MAX,
    AgentProfiler,
    OperationStats,
    ProfileGuard,
    SystemProfiler,
    is_operation_name,
    statistics,
)
from tests.profiler_model import Clock


@pytest.mark.parametrize(
    ("count", "median", "p95", "p99"),
    [(1, 0, 0, 0), (2, 1, 1, 1), (10, 5, 9, 9), (20, 10, 19, 19), (100, 50, 95, 99)],
)
def test_percentiles_are_the_samples_that_the_sources_name(
    count: int, median: int, p95: int, p99: int
) -> None:
    stats = statistics("x", [(number, True) for number in range(count)])
    shown = (stats.median_duration_us, stats.p95_duration_us, stats.p99_duration_us)
    assert shown == (median, p95, p99)


def test_the_guides_example() -> None:
    clock = Clock()
    system = SystemProfiler(clock)
    profiler = system.add_agent(100)
    for number in range(10):
        start = profiler.start_operation("process_request")
        clock.now_us += 100 + number
        assert profiler.end_operation("process_request", start, number % 10 < 7)
    stats = profiler.get_stats("process_request")
    assert stats == OperationStats("process_request", 10, 7, 100, 109, 104, 105, 109, 109)
    assert stats.success_permille == 700
    assert profiler.operations() == ["process_request"]
    assert profiler.get_all_stats() == [stats]
    assert system.aggregate_stats("process_request") == stats
    assert profiler.get_stats("llm_request") is None
    assert system.aggregate_stats("llm_request") is None
    assert system.get_agent(101) is None


def test_without_samples_all_is_zero() -> None:
    profiler = AgentProfiler(Clock())
    profiler.record("spawn", 5, True)
    profiler.reset()
    assert profiler.get_stats("spawn") == OperationStats("spawn")
    assert OperationStats("spawn").success_permille == 0
    assert profiler.get_stats("never") is None


def test_a_guard_records_success_failure_and_exceptions() -> None:
    clock = Clock()
    profiler = AgentProfiler(clock)
    with profiler.guard("fine"):
        clock.now_us += 7
    with ProfileGuard(profiler, "failed") as guard:
        clock.now_us += 8
        guard.set_failed()
    with contextlib.suppress(KeyError), profiler.guard("raised"):
        clock.now_us += 9
        raise KeyError
    assert profiler.samples("fine") == [(7, True)]
    assert profiler.samples("failed") == [(8, False)]
    assert profiler.samples("raised") == [(9, False)]


def test_durations_saturate() -> None:
    clock = Clock()
    profiler = AgentProfiler(clock)
    profiler.end_operation("back", clock() + 500, True)
    profiler.record("long", 1 << 70, False)
    assert profiler.samples("back") == [(0, True)]
    assert profiler.samples("long") == [(DURATION_MAX_US, False)]


def test_operations_are_bounded_and_the_refused_are_counted() -> None:
    profiler = AgentProfiler(Clock())
    names = [f"operation-{number}" for number in range(OPERATIONS_MAX + 5)]
    kept = [profiler.record(name, 1, True) for name in names]
    assert kept == [True] * OPERATIONS_MAX + [False] * 5
    assert profiler.record(names[0], 2, True), "a known one is kept"
    assert profiler.refused_count == 5
    assert len(profiler.operations()) == OPERATIONS_MAX


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a\x1b[31m", "ä", "x" * 65])
def test_names_that_would_break_a_table_are_refused(name: str) -> None:
    assert not is_operation_name(name)
    with pytest.raises(ValueError, match="no name of an operation"):
        AgentProfiler(Clock()).record(name, 1, True)


def test_adding_an_agent_again_begins_anew_and_removing_drops() -> None:
    system = SystemProfiler(Clock())
    system.add_agent(1).record("spawn", 1, True)
    assert system.add_agent(1).operations() == []
    assert system.remove_agent(1)
    assert not system.remove_agent(1)
    assert system.operations() == []


def test_an_aggregate_is_of_the_real_samples_and_not_of_averages() -> None:
    system = SystemProfiler(Clock())
    for duration in range(100):
        system.add_agent(duration).record("spawn", duration * 1_000, duration != 50)
    stats = system.aggregate_stats("spawn")
    assert stats is not None
    assert (stats.min_duration_us, stats.max_duration_us) == (0, 99_000)
    assert (stats.p95_duration_us, stats.success_permille) == (95_000, 990)


def test_aggregates_are_of_a_bounded_number_of_operations_and_ours_have_their_room() -> None:
    system = SystemProfiler(Clock())
    system.reserve(["spawn", "exec"])
    agents = [system.add_agent(number) for number in range(5)]
    for agent in agents:
        for number in range(OPERATIONS_MAX):
            agent.record(f"{agents.index(agent)}-{number}", 1, True)
    assert len(system.aggregate_all()) == SUMMED_MAX - 2
    assert system.refused_count == 5 * OPERATIONS_MAX - (SUMMED_MAX - 2)
    assert system.aggregate_stats("spawn") is None
    system.remove_agent(0)
    agents[0].record("late", 1, True)
    assert system.aggregate_stats("late") is None, "who has left adds nothing"
    late = system.add_agent(6)
    late.record("spawn", 7, False)
    late.record("own", 7, True)
    for name in ("spawn", "own"):
        stats = system.aggregate_stats(name)
        assert stats is not None
        assert stats.sample_count == 1
