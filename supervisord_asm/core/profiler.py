"""How long operations take: the last 100 samples of each, per agent, and their statistics. Pure.

The profiler of the guide (section 17): `start_operation` and `end_operation`, a guard that does
both, percentiles, success rates, and sums over all agents, which are made of the real samples and
not of averages. The clock is injected; every duration is in whole microseconds.

Bounds: 100 samples per operation, OPERATIONS_MAX operations per agent, so an agent is at most
51 KB. A sample of one operation more is refused and counted (`refused_count`).

Rules (shared/spec/asm.md 1.11):

- No samples give zeros; an operation that nobody knows gives None.
- A percentile is a sample and no interpolation: p95 of n is number floor(0.95 n) from 0, at most
  the last; the median is number floor(n / 2).
- A clock that went back gives 0 and no negative duration.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

SAMPLES_MAX = 100
OPERATIONS_MAX = 64
NAME_LENGTH_MAX = 64
DURATION_MAX_US = (1 << 62) - 1
"""146,000 years: what one word holds beside the flag of success. Longer ones are shown as this."""

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class OperationStats:
    """What the retained samples of one operation say. All zeros without samples."""

    operation: str
    sample_count: int = 0
    success_count: int = 0
    min_duration_us: int = 0
    max_duration_us: int = 0
    avg_duration_us: int = 0
    """Rounded down."""
    median_duration_us: int = 0
    p95_duration_us: int = 0
    p99_duration_us: int = 0

    @property
    def failure_count(self) -> int:
        """The retained samples that failed."""
        return self.sample_count - self.success_count

    @property
    def success_permille(self) -> int:
        """The success rate in thousandths, rounded down: only all of them are 1000; 0 of none."""
        return self.success_count * 1000 // self.sample_count if self.sample_count else 0


def statistics(operation: str, samples: Iterable[tuple[int, bool]]) -> OperationStats:
    """Return the statistics of (duration_us, success) pairs, in any order."""
    return _statistics(operation, [duration << 1 | success for duration, success in samples])


def _statistics(operation: str, samples: Iterable[int]) -> OperationStats:
    # Packed samples sort as their durations do, so one sort serves.
    ordered = sorted(samples)
    count = len(ordered)
    if not count:
        return OperationStats(operation)
    success_count = sum(sample & 1 for sample in ordered)
    return OperationStats(
        operation=operation,
        sample_count=count,
        success_count=success_count,
        min_duration_us=ordered[0] >> 1,
        max_duration_us=ordered[-1] >> 1,
        avg_duration_us=(sum(ordered) - success_count) // 2 // count,
        median_duration_us=ordered[count // 2] >> 1,
        p95_duration_us=ordered[min(count * 95 // 100, count - 1)] >> 1,
        p99_duration_us=ordered[min(count * 99 // 100, count - 1)] >> 1,
    )


def is_operation_name(name: str) -> bool:
    """Whether this can name an operation: 1 to 64 printable ASCII characters, none a space."""
    return 0 < len(name) <= NAME_LENGTH_MAX and all("!" <= letter <= "~" for letter in name)


class _Ring:
    """The last samples of one operation, packed: duration, then a bit for success."""

    __slots__ = ("next", "samples")

    def __init__(self) -> None:
        self.samples = array("q")
        self.next = 0

    def add(self, sample: int) -> None:
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(sample)
        else:
            self.samples[self.next] = sample
            self.next = (self.next + 1) % SAMPLES_MAX


class AgentProfiler:
    """The operations of one agent.

    `changes` rises with each sample and reset: equal numbers mean equal statistics.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin without samples. `clock` returns microseconds of any clock that does not jump."""
        self._clock = clock
        self._rings: dict[str, _Ring] = {}
        self.changes = 0
        self.refused_count = 0

    def start_operation(self, operation: str) -> int:
        """Return the time at which the operation begins, for `end_operation`; keeps nothing."""
        del operation  # the guide's signature: one who reads the code sees what begins
        return self._clock()

    def end_operation(self, operation: str, start: int, success: bool) -> bool:
        """Keep a sample that began at `start` and ends now. False: refused, see `record`."""
        return self.record(operation, self._clock() - start, success)

    def record(self, operation: str, duration_us: int, success: bool) -> bool:
        """Keep a sample that was measured elsewhere.

        False, and counted, when it is of a new operation and OPERATIONS_MAX are known. Raises
        ValueError for a name that `is_operation_name` refuses.
        """
        ring = self._rings.get(operation)
        if ring is None:
            if not is_operation_name(operation):
                raise ValueError(f"{operation!r} is no name of an operation")
            if len(self._rings) >= OPERATIONS_MAX:
                self.refused_count += 1
                return False
            ring = self._rings[operation] = _Ring()
        duration_us = min(max(duration_us, 0), DURATION_MAX_US)
        ring.add(duration_us << 1 | bool(success))
        self.changes += 1
        return True

    def guard(self, operation: str) -> "ProfileGuard":
        """Return a context manager that records its block as one sample."""
        return ProfileGuard(self, operation)

    def operations(self) -> list[str]:
        """Return the names of all operations, in alphabetical order."""
        return sorted(self._rings)

    def get_stats(self, operation: str) -> OperationStats | None:
        """Return one operation's statistics; None for one that was never recorded."""
        ring = self._rings.get(operation)
        return None if ring is None else _statistics(operation, ring.samples)

    def get_all_stats(self) -> list[OperationStats]:
        """Return every operation's statistics, in alphabetical order."""
        return [_statistics(name, self._rings[name].samples) for name in self.operations()]

    def samples(self, operation: str) -> list[tuple[int, bool]]:
        """Return the retained (duration_us, success) pairs, oldest first; none if unknown."""
        ring = self._rings.get(operation)
        if ring is None:
            return []
        oldest_first = ring.samples[ring.next :] + ring.samples[: ring.next]
        return [(sample >> 1, bool(sample & 1)) for sample in oldest_first]

    def packed(self, operation: str) -> "array[int]":
        """Return the retained samples as they are kept, for whoever merges them. Not a copy."""
        ring = self._rings.get(operation)
        return array("q") if ring is None else ring.samples

    def reset(self) -> None:
        """Drop all samples; the operations stay known, and are zeros."""
        for name in self._rings:
            self._rings[name] = _Ring()
        self.refused_count = 0
        self.changes += 1


class TakesOperations(Protocol):
    """Whatever a guard can tell of its block: a profiler here, or one behind a socket."""

    def start_operation(self, operation: str) -> int:
        """Return the time at which the operation begins."""

    def end_operation(self, operation: str, start: int, success: bool) -> object:
        """Keep a sample that began at `start` and ends now."""


class ProfileGuard:
    """Records its block as one sample: a success unless `set_failed` or an exception."""

    def __init__(self, profiler: TakesOperations, operation: str) -> None:
        self._profiler = profiler
        self._operation = operation
        self._is_success = True
        self._start = 0

    def __enter__(self) -> "ProfileGuard":
        self._start = self._profiler.start_operation(self._operation)
        return self

    def set_failed(self) -> None:
        """Say that the block failed although it raises nothing."""
        self._is_success = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        success = self._is_success and kind is None
        self._profiler.end_operation(self._operation, self._start, success)


class SystemProfiler:
    """All agents' profilers. Agent 0 stands for the system itself."""

    def __init__(self, clock: Clock) -> None:
        """Begin without agents. `clock` is theirs too."""
        self._clock = clock
        self._agents: dict[int, AgentProfiler] = {}

    def add_agent(self, agent_id: int) -> AgentProfiler:
        """Take an agent in and return its profiler; one that is known begins anew."""
        profiler = self._agents[agent_id] = AgentProfiler(self._clock)
        return profiler

    def remove_agent(self, agent_id: int) -> bool:
        """Drop an agent and its samples. False: it is not known."""
        return self._agents.pop(agent_id, None) is not None

    def get_agent(self, agent_id: int) -> AgentProfiler | None:
        """Return an agent's profiler; None: it is not known."""
        return self._agents.get(agent_id)

    def operations(self) -> list[str]:
        """Return the names of all agents' operations, in alphabetical order."""
        return sorted(set().union(*(agent.operations() for agent in self._agents.values())))

    def aggregate_stats(self, operation: str) -> OperationStats | None:
        """Return the statistics of all agents' samples together; None without any."""
        merged: array[int] = array("q")
        for agent in self._agents.values():
            merged += agent.packed(operation)
        return _statistics(operation, merged) if merged else None

    def aggregate_all(self) -> list[OperationStats]:
        """Return every operation that has samples, over all agents, in alphabetical order."""
        found = map(self.aggregate_stats, self.operations())
        return [stats for stats in found if stats is not None]

    @property
    def changes(self) -> int:
        """A number that differs whenever any statistics may have changed, and agents stay."""
        return sum(agent.changes for agent in self._agents.values())

    @property
    def refused_count(self) -> int:
        """Samples that were refused because their agent had too many operations."""
        return sum(agent.refused_count for agent in self._agents.values())

    def reset(self) -> None:
        """Drop every agent's samples."""
        for agent in self._agents.values():
            agent.reset()
