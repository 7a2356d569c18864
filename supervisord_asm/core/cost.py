"""What we ourselves cost the host: two readings, and what lies between them. Pure arithmetic.

kernel/bpf_cost.py and kernel/process_cost.py read; `cost_between` subtracts. Shares of a CPU are
thousandths of a percent of one core, as everywhere (100000: one core). A program's time is None
when the kernel does not keep it here, and then `statistics_trouble` says why: unknown is not 0.

The kernel's clock is read twice per run while it keeps the statistics, and a part of that is in the
time it gives. Not in it is what the hook costs before a program runs, which every task on the host
pays (bench/syscall_cost.py measures that against nothing attached).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NS_PER_S = 1_000_000_000
MILLI_PERCENT = 100_000


@dataclass(frozen=True, slots=True)
class ProgramReading:
    """A BPF program's counters since it was loaded. `memory_bytes`: of its code."""

    program_id: int
    name: str
    run_time_ns: int
    run_count: int
    recursion_misses: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class MapReading:
    """A BPF map's size. `memory_bytes` as the kernel charges it."""

    name: str
    entries_max: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """The CPU time of all threads that a process ever had, and its memory; None: unreadable."""

    cpu_ns: int
    pss_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one instant. `at_ns` on any clock that only grows."""

    at_ns: int
    programs: tuple[ProgramReading, ...] = ()
    maps: tuple[MapReading, ...] = ()
    processes: Mapping[str, ProcessReading] = field(default_factory=dict)
    sampler_cpu_us: int = 0


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """One program, or all of them, over the interval. None: the kernel does not keep it."""

    name: str
    run_count: int | None
    run_time_ns: int | None
    runs_per_second: int | None
    ns_per_run_milli: int | None
    """Thousandths of a nanosecond. None also when it did not run."""
    cpu_percent_milli: int | None
    host_percent_milli: int | None
    """The same share, of all CPUs together."""
    recursion_misses: int
    """Since it was loaded: runs that were left out, so each is a gap in what is counted."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """One of our processes, or the sampler's thread of one; its memory is the process's."""

    name: str
    cpu_ns: int
    cpu_percent_milli: int
    pss_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """The whole answer of `asmctl doctor --cost`."""

    interval_ns: int
    cpus: int
    statistics_trouble: str | None
    programs: tuple[ProgramCost, ...]
    programs_sum: ProgramCost
    processes: tuple[ProcessCost, ...]
    maps: tuple[MapReading, ...]
    maps_memory_bytes: int


def cost_between(
    before: Reading, after: Reading, cpus: int, statistics_trouble: str | None = None
) -> Cost:
    """Return what lies between two readings of the same boot.

    What is only in `after` has begun in between and counts from nothing; what is only in `before`
    is left out.

    Args:
        before: the first reading.
        after: the second, later by any time.
        cpus: how many CPUs the host has, at least 1.
        statistics_trouble: why the kernel kept no times in between; None when it did.
    """
    interval_ns = max(after.at_ns - before.at_ns, 1)
    earlier = {program.program_id: program for program in before.programs}
    is_known = statistics_trouble is None

    def cost(name: str, count: int, time_ns: int, misses: int, memory: int) -> ProgramCost:
        if not is_known:
            return ProgramCost(name, None, None, None, None, None, None, misses, memory)
        share = time_ns * MILLI_PERCENT // interval_ns
        return ProgramCost(
            name=name,
            run_count=count,
            run_time_ns=time_ns,
            runs_per_second=count * NS_PER_S // interval_ns,
            ns_per_run_milli=time_ns * 1000 // count if count else None,
            cpu_percent_milli=share,
            host_percent_milli=time_ns * MILLI_PERCENT // (interval_ns * cpus),
            recursion_misses=misses,
            memory_bytes=memory,
        )

    programs = []
    count_sum = time_sum_ns = 0
    for program in after.programs:
        past = earlier.get(program.program_id)
        count = program.run_count - (past.run_count if past else 0)
        time_ns = program.run_time_ns - (past.run_time_ns if past else 0)
        count_sum += count
        time_sum_ns += time_ns
        programs.append(
            cost(program.name, count, time_ns, program.recursion_misses, program.memory_bytes)
        )
    return Cost(
        interval_ns=interval_ns,
        cpus=cpus,
        statistics_trouble=statistics_trouble,
        programs=tuple(programs),
        programs_sum=cost(
            "all", count_sum, time_sum_ns,
            sum(program.recursion_misses for program in after.programs),
            sum(program.memory_bytes for program in after.programs),
        ),
        processes=_processes(before, after, interval_ns),
        maps=after.maps,
        maps_memory_bytes=sum(item.memory_bytes for item in after.maps),
    )  # fmt: skip


def _processes(before: Reading, after: Reading, interval_ns: int) -> tuple[ProcessCost, ...]:
    """Our processes, and after asmd the thread of it that samples."""
    found = []
    for name, now in after.processes.items():
        past = before.processes.get(name)
        # A process that was replaced in between has less than the one before it.
        spent_ns = now.cpu_ns - (past.cpu_ns if past and past.cpu_ns <= now.cpu_ns else 0)
        found.append(_process(name, spent_ns, interval_ns, now.pss_bytes))
        if name == "asmd":
            sampler_ns = (after.sampler_cpu_us - before.sampler_cpu_us) * 1000
            found.append(_process("asmd/sampler", sampler_ns, interval_ns, None))
    return tuple(found)


def _process(name: str, cpu_ns: int, interval_ns: int, pss_bytes: int | None) -> ProcessCost:
    return ProcessCost(name, cpu_ns, cpu_ns * MILLI_PERCENT // interval_ns, pss_bytes)
