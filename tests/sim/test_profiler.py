"""The profiler against lists that keep everything."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from supervisord_asm.core.profiler import DURATION_MAX_US, SAMPLES_MAX, SystemProfiler, statistics
from tests.profiler_model import Clock, naive

OPERATIONS = ("process_request", "llm_request", "spawn")
DURATIONS = st.integers(0, 10**7) | st.integers(0, DURATION_MAX_US)


@given(st.lists(st.tuples(DURATIONS, st.booleans()), max_size=130))
def test_statistics_are_those_of_plain_lists(samples: list[tuple[int, bool]]) -> None:
    assert statistics("x", samples) == naive("x", samples)


class Model(RuleBasedStateMachine):
    """Every call against lists that keep everything and cut at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.system = SystemProfiler(self.clock)
        self.known: dict[int, dict[str, list[tuple[int, bool]]]] = {}
        self.changes = 0

    @rule(agent_id=st.integers(0, 3))
    def add(self, agent_id: int) -> None:
        self.system.add_agent(agent_id)
        self.known[agent_id] = defaultdict(list)

    @rule(agent_id=st.integers(0, 3))
    def remove(self, agent_id: int) -> None:
        assert self.system.remove_agent(agent_id) == (self.known.pop(agent_id, None) is not None)

    @rule(
        agent_id=st.integers(0, 3), operation=st.sampled_from(OPERATIONS),
        duration=st.integers(-5, 10**6), success=st.booleans(), times=st.integers(1, 60),
    )  # fmt: skip
    def record(
        self, agent_id: int, operation: str, duration: int, success: bool, times: int
    ) -> None:
        profiler = self.system.get_agent(agent_id)
        assert (profiler is None) == (agent_id not in self.known)
        if profiler is None:
            return
        for number in range(times):
            start = profiler.start_operation(operation)
            self.clock.now_us += duration + number
            profiler.end_operation(operation, start, success)
            self.known[agent_id][operation].append((max(duration + number, 0), success))

    @rule(agent_id=st.integers(0, 3))
    def reset(self, agent_id: int) -> None:
        profiler = self.system.get_agent(agent_id)
        if profiler is not None:
            profiler.reset()
            for samples in self.known[agent_id].values():
                samples.clear()

    @invariant()
    def agrees(self) -> None:
        merged: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for agent_id, operations in self.known.items():
            profiler = self.system.get_agent(agent_id)
            assert profiler is not None
            assert profiler.operations() == sorted(operations)
            for operation, samples in operations.items():
                retained = samples[-SAMPLES_MAX:]
                assert profiler.samples(operation) == retained
                assert profiler.get_stats(operation) == naive(operation, retained)
                merged[operation] += retained
        expected = [naive(name, merged[name]) for name in sorted(merged) if merged[name]]
        assert self.system.aggregate_all() == expected


TestModel = Model.TestCase
