"""The resource monitor: the sources' cases. Against a model: tests/sim."""

import pytest

from supervisord_asm.core.resource_monitor import AgentMonitor, Monitor, ResourceMonitor, Usage
from supervisord_asm.core.resources import Rates, Span, Window, span_of, sum_rates

SECOND_US = 1_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us: int = 10 * SECOND_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


def test_the_sources_cases() -> None:
    clock = Clock()
    system = ResourceMonitor(clock)
    agent = system.add_agent(100)
    agent.record_cpu(100_000)
    for _ in range(50):
        agent.record_syscall()
    agent.record_io(3)
    agent.update_memory(1024)
    agent.update_memory(2048)
    agent.update_memory(1024)
    assert agent.lifetime_stats() == (100_000, 50, 3)
    assert (agent.current_memory(), agent.peak_memory()) == (1024, 2048)
    assert agent.cpu_usage_rate(10) == 0, "the open window is not in a rate"
    assert agent.syscall_rate(10) == agent.io_rate(10) == 0
    clock.now_us += SECOND_US
    assert agent.cpu_usage_rate(10) == 10_000
    assert agent.syscall_rate(10) == 50, "by the one window that exists, not by ten"
    assert agent.io_rate(1) == 3
    assert agent.history() == [Window(10 * SECOND_US, 100_000, 1024, 50, 3)]
    clock.now_us += SECOND_US
    assert agent.cpu_usage_rate(10) == 5_000, "an idle second is a window of zeros"
    assert agent.cpu_usage_rate(1) == 0
    assert agent.history()[-1] == Window(11 * SECOND_US, 0, 1024, 0, 0)


def test_a_rate_may_exceed_one_core() -> None:
    clock = Clock()
    agent = AgentMonitor(clock)
    agent.record_cpu(3_500_000)
    clock.now_us += SECOND_US
    assert agent.cpu_usage_rate(5) == 350_000


def test_the_system_is_the_sum_of_its_agents() -> None:
    clock = Clock()
    system = ResourceMonitor(clock)
    assert (system.system_memory_usage(), system.system_cpu_usage(10)) == (0, 0)
    for number in (1, 2, 3):
        system.add_agent(number).update_memory(number << 20)
        agent = system.get_agent(number)
        assert agent is not None
        agent.record_cpu(number * 100_000)
    clock.now_us += SECOND_US
    assert system.system_memory_usage() == 6 << 20
    assert system.system_cpu_usage(10) == 60_000


def test_adding_again_resets_and_removing_drops() -> None:
    system = ResourceMonitor(Clock())
    system.add_agent(1).record_cpu(5)
    assert system.add_agent(1).lifetime_stats() == (0, 0, 0)
    assert system.remove_agent(1)
    assert not system.remove_agent(1)
    assert system.get_agent(1) is None
    assert system.all_agents() == []


def test_amounts_and_spans_are_checked() -> None:
    agent = AgentMonitor(Clock())
    for record in (agent.record_cpu, agent.record_syscall, agent.record_io, agent.update_memory):
        with pytest.raises(ValueError, match="at least 0"):
            record(-1)
    with pytest.raises(ValueError, match="at least one window"):
        agent.cpu_usage_rate(0)


class Unknown(Usage):
    """An agent whose syscalls nobody counts."""

    def history(self) -> list[Window]:
        return [Window(0, 250_000, None, None, None)]

    def current_memory(self) -> int | None:
        return None

    def peak_memory(self) -> int | None:
        return None

    def lifetime_stats(self) -> tuple[int | None, int | None, int | None]:
        return 250_000, None, None


def test_what_has_no_source_is_unknown_and_not_zero() -> None:
    class Unknowns(Monitor[Unknown]):
        def get_agent(self, agent_id: int) -> Unknown | None:
            return Unknown()

        def all_agents(self) -> list[Unknown]:
            return [Unknown()]

    agent = Unknown()
    assert agent.cpu_usage_rate(5) == 25_000
    assert agent.syscall_rate(5) is None
    assert agent.io_rate(5) is None
    assert Unknowns().system_memory_usage() is None
    assert Unknowns().system_cpu_usage(5) == 25_000


def test_a_span_sums_what_exists() -> None:
    windows = [Window(n * SECOND_US, 500_000, 10, n, 2 * n, 100 * n) for n in range(1, 5)]
    assert span_of(windows, 3) == Span(3, 3, 1_500_000, 9, 18, 900)
    whole = span_of(windows, 60)
    assert whole == Span(60, 4, 2_000_000, 10, 20, 1000)
    assert (whole.cpu_percent_milli, whole.syscall_rate, whole.io_rate) == (50_000, 2, 5)
    assert whole.network_rate == 250
    assert span_of([], 5) == Span(5, 0, 0, None, None, None)
    assert span_of([], 5).cpu_percent_milli is None
    assert span_of([], 5).syscall_rate is None


def test_rates_are_a_spans_and_add_up() -> None:
    rates = Span(10, 4, 2_000_000, 10, None, 1000).rates()
    assert rates == Rates(10, 4, 50_000, 2, None, 250)
    assert Span(10, 0, 0, None, None).rates() == Rates(10)
    assert sum_rates(10, [rates, Rates(10), rates._replace(windows=9, io_rate=7)]) == Rates(
        10, 9, 100_000, 4, 7, 500
    )
    assert sum_rates(5, []) == Rates(5)
