"""The resource monitor against a model that keeps every second of a week."""

from collections import defaultdict
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.core.resource_monitor import AgentMonitor
from supervisord_asm.core.resources import Window
from tests.unit.test_resource_monitor import SECOND_US, Clock

WEEK_US = 7 * 24 * 3600 * SECOND_US
# Steps of a life: mostly within a few windows, now and then hours of silence.
PAUSES_US = st.one_of(
    st.integers(0, 3 * SECOND_US), st.integers(0, 100 * SECOND_US), st.integers(0, WEEK_US // 20)
)


class Model:
    """Every second that ever was, in a dictionary."""

    def __init__(self, now_us: int) -> None:
        self.first = now_us // SECOND_US
        self.amounts: dict[str, dict[int, int]] = {
            kind: defaultdict(int) for kind in ("cpu", "syscalls", "io")
        }
        self.memory: list[tuple[int, int]] = []

    def windows(self, now_us: int) -> list[Window]:
        """Return the last 60 closed seconds, each found anew."""
        end = now_us // SECOND_US
        return [
            Window(
                second * SECOND_US, self.amounts["cpu"][second],
                next((said for at, said in reversed(self.memory) if at <= second), 0),
                self.amounts["syscalls"][second], self.amounts["io"][second],
            )
            for second in range(max(self.first, end - 60), end)
        ]  # fmt: skip


RECORDS = st.tuples(
    PAUSES_US, st.sampled_from(["cpu", "syscalls", "io", "memory", "look"]), st.integers(0, 10**6)
)


@given(st.integers(0, 10**12), st.lists(RECORDS, max_size=60), st.integers(1, 70))
def test_windows_are_those_of_a_model_that_forgets_nothing(
    begun_us: int, records: list[tuple[int, str, int]], last: int
) -> None:
    clock, model = Clock(begun_us), Model(begun_us)
    agent = AgentMonitor(clock)
    calls: dict[str, Callable[[int], None]] = {
        "cpu": agent.record_cpu, "syscalls": agent.record_syscall, "io": agent.record_io,
    }  # fmt: skip
    for pause_us, kind, amount in records:
        clock.now_us += pause_us
        second = clock.now_us // SECOND_US
        if kind == "look":
            assert agent.history() == model.windows(clock.now_us)
        elif kind == "memory":
            agent.update_memory(amount)
            model.memory.append((second, amount))
        else:
            calls[kind](amount)
            model.amounts[kind][second] += amount
    clock.now_us += SECOND_US
    windows = model.windows(clock.now_us)
    assert agent.history() == windows
    chosen = windows[-last:]
    summed_us = sum(window.cpu_time_us for window in chosen)
    assert agent.cpu_usage_rate(last) == summed_us // (10 * len(chosen))
    assert agent.lifetime_stats() == tuple(
        sum(model.amounts[kind].values()) for kind in ("cpu", "syscalls", "io")
    )
    assert agent.peak_memory() == max((said for _, said in model.memory), default=0)


def test_a_week_of_seconds() -> None:
    """604,800 windows pass, most of them idle; the last 60 remain and the sums are exact."""
    clock = Clock(0)
    agent = AgentMonitor(clock)
    busy = range(0, 7 * 24 * 3600, 7)
    for second in busy:
        clock.now_us = second * SECOND_US + second % SECOND_US
        agent.record_cpu(second % 1000)
    clock.now_us = WEEK_US
    windows = agent.history()
    assert [window.timestamp_us for window in windows] == [
        WEEK_US - number * SECOND_US for number in range(60, 0, -1)
    ]
    assert [window.cpu_time_us for window in windows] == [
        second % 1000 if second % 7 == 0 else 0 for second in range(604_740, 604_800)
    ]
    assert agent.lifetime_stats()[0] == sum(second % 1000 for second in busy)
    clock.now_us += WEEK_US
    assert agent.cpu_usage_rate(60) == 0
    assert len(agent.history()) == 60
