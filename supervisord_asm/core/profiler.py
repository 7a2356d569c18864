"""How long operations take: the last 100 samples of each, per agent, and their statistics. Pure.

The profiler of the guide (section 17): `start_operation` and `end_operation`, a guard that does
both, percentiles, success rates, and sums over all agents, which are made of the real samples and
not of averages. The clock is injected; every duration is in whole microseconds.

Bounds: 100 samples per operation, OPERATIONS_MAX operations per agent, so an agent is at most
51 KB. A sample of one operation more is refused and counted (`refused_count`). Aggregates are made
of at most SUMMED_MAX operations; samples of further ones count for their agent alone.

Rules (shared/spec/asm.md 1.11):

- No samples give zeros; an operation that nobody knows gives None.
- A percentile is a sample and no interpolation: p95 of n is number floor(0.95 n) from 0, at most
  the last; the median is number floor(n / 2).
- A clock that went back gives 0 and no negative duration.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

SAMPLES_MAX = 100
OPERATIONS_MAX = 64
SUMMED_MAX = 256
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
    return _of_ordered(operation, ordered, sum(ordered), sum(sample & 1 for sample in ordered))


def _of_ordered(
    operation: str, ordered: Sequence[int], packed_sum: int, success_count: int
) -> OperationStats:
    count = len(ordered)
    if not count:
        return OperationStats(operation)
    return OperationStats(
        operation=operation,
        sample_count=count,
        success_count=success_count,
        min_duration_us=ordered[0] >> 1,
        max_duration_us=ordered[-1] >> 1,
        avg_duration_us=(packed_sum - success_count) // 2 // count,
        median_duration_us=ordered[count // 2] >> 1,
        p95_duration_us=ordered[min(count * 95 // 100, count - 1)] >> 1,
        p99_duration_us=ordered[min(count * 99 // 100, count - 1)] >> 1,
    )


def is_operation_name(name: str) -> bool:
    """Whether this can name an operation: 1 to 64 printable ASCII characters, none a space."""
    return 0 < len(name) <= NAME_LENGTH_MAX and all("!" <= letter <= "~" for letter in name)


class _Ring:
    """The last samples of one operation, packed: duration, then a bit for success."""

    __slots__ = ("is_summed", "next", "samples")

    def __init__(self) -> None:
        self.samples = array("q")
        self.next = 0
        self.is_summed = False

    def add(self, sample: int) -> int | None:
        """Keep a sample; return the one that gave way."""
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(sample)
            return None
        oldest = self.samples[self.next]
        self.samples[self.next] = sample
        self.next = (self.next + 1) % SAMPLES_MAX
        return oldest


class _Merged:
    """All agents' samples of one operation, in order: what aggregates are read from.

    Kept in order as samples come and go, 2 us each, or 40 us among the 100,000 of a thousand
    agents: to sort those when somebody looks would stop the caller for a tenth of a second.
    """

    __slots__ = ("ordered", "packed_sum", "success_count")

    def __init__(self) -> None:
        self.ordered = array("q")
        self.packed_sum = self.success_count = 0

    def add(self, sample: int) -> None:
        insort(self.ordered, sample)
        self.packed_sum += sample
        self.success_count += sample & 1

    def remove(self, sample: int) -> None:
        del self.ordered[bisect_left(self.ordered, sample)]
        self.packed_sum -= sample
        self.success_count -= sample & 1


class _Sums:
    """The merged samples by operation, for at most SUMMED_MAX of them."""

    def __init__(self) -> None:
        self._merged: dict[str, _Merged] = {}
        self._reserved: frozenset[str] = frozenset()

    def reserve(self, operations: Iterable[str]) -> None:
        self._reserved |= frozenset(operations)
        for operation in self._reserved:
            self._merged.setdefault(operation, _Merged())

    def may_add(self, operation: str) -> bool:
        """Whether there is room for samples of it; then there is until they are removed."""
        if operation not in self._merged:
            if len(self._merged) >= SUMMED_MAX:
                return False
            self._merged[operation] = _Merged()
        return True

    def replace(self, operation: str, gone: int | None, sample: int) -> None:
        merged = self._merged[operation]
        merged.add(sample)
        if gone is not None:
            merged.remove(gone)

    def remove(self, operation: str, samples: Iterable[int]) -> None:
        merged = self._merged[operation]
        for sample in samples:
            merged.remove(sample)
        if not merged.ordered and operation not in self._reserved:
            del self._merged[operation]

    def stats(self, operation: str) -> OperationStats | None:
        merged = self._merged.get(operation)
        if merged is None or not merged.ordered:
            return None
        return _of_ordered(operation, merged.ordered, merged.packed_sum, merged.success_count)

    def operations(self) -> list[str]:
        return sorted(self._merged)


class AgentProfiler:
    """The operations of one agent.

    `changes` rises with each sample and reset: equal numbers mean equal statistics.
    """

    def __init__(self, clock: Clock, sums: _Sums | None = None) -> None:
        """Begin without samples. `clock` returns microseconds of any clock that does not jump.

        `sums` is its system's, if it has one.
        """
        self._clock = clock
        self._sums = sums
        self._rings: dict[str, _Ring] = {}
        self.changes = 0
        self.refused_count = 0
        self.unsummed_count = 0

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
        sample = min(max(duration_us, 0), DURATION_MAX_US) << 1 | bool(success)
        if not ring.samples:
            ring.is_summed = self._sums is not None and self._sums.may_add(operation)
        oldest = ring.add(sample)
        if self._sums is not None:
            if ring.is_summed:
                self._sums.replace(operation, oldest, sample)
            else:
                self.unsummed_count += 1
        self.changes += 1
        return True

    def leave_system(self) -> None:
        """Have no part in the aggregates any more. Only without samples."""
        self._sums = None

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

    def reset(self) -> None:
        """Drop all samples; the operations stay known, and are zeros."""
        for name, ring in self._rings.items():
            if self._sums is not None and ring.is_summed and ring.samples:
                self._sums.remove(name, ring.samples)
            self._rings[name] = _Ring()
        self.refused_count = self.unsummed_count = 0
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
        self._sums = _Sums()

    def reserve(self, operations: Iterable[str]) -> None:
        """Keep room for these in the aggregates, whatever else agents report."""
        self._sums.reserve(operations)

    def add_agent(self, agent_id: int) -> AgentProfiler:
        """Take an agent in and return its profiler; one that is known begins anew."""
        self.remove_agent(agent_id)
        profiler = self._agents[agent_id] = AgentProfiler(self._clock, self._sums)
        return profiler

    def remove_agent(self, agent_id: int) -> bool:
        """Drop an agent and its samples. False: it is not known.

        A profiler of it that somebody still holds is reset.
        """
        profiler = self._agents.pop(agent_id, None)
        if profiler is not None:
            profiler.reset()
            profiler.leave_system()
        return profiler is not None

    def get_agent(self, agent_id: int) -> AgentProfiler | None:
        """Return an agent's profiler; None: it is not known."""
        return self._agents.get(agent_id)

    def operations(self) -> list[str]:
        """Return the names of all agents' operations, in alphabetical order."""
        return sorted(set().union(*(agent.operations() for agent in self._agents.values())))

    def aggregate_stats(self, operation: str) -> OperationStats | None:
        """Return the statistics of all agents' samples together; None without any.

        Also None for one beyond the SUMMED_MAX that are aggregated.
        """
        return self._sums.stats(operation)

    def aggregate_all(self) -> list[OperationStats]:
        """Return every operation that has samples, over all agents, in alphabetical order."""
        found = map(self.aggregate_stats, self._sums.operations())
        return [stats for stats in found if stats is not None]

    @property
    def refused_count(self) -> int:
        """Samples that are not in the aggregates, of any agent, because of too many operations."""
        agents = self._agents.values()
        return sum(agent.refused_count + agent.unsummed_count for agent in agents)

    def reset(self) -> None:
        """Drop every agent's samples."""
        for agent in self._agents.values():
            agent.reset()
