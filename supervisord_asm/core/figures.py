"""An agent's counters as one row of numbers: over all its cgroups, and since its run began. Pure.

An agent's cgroup is replaced now and then and counts from zero again; a restart in the same cgroup
counts on. So what the kernel says is neither the agent's lifetime nor its present run:

    lifetime = what earlier cgroups counted + what the present one says
    run      = lifetime now - lifetime when the run began

Rules: None means that the figure has no source, and is nothing to add, never 0. Lifetimes and runs
only grow; where a count was lost (the probes' maps were), the run shows 0 and not less.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

COUNTERS = (
    "cpu_time_us", "syscall_count", "io_ops", "fork_count", "exec_count", "process_exit_count",
    "block_read_bytes", "block_write_bytes", "network_receive_bytes", "network_transmit_bytes",
    "page_fault_count", "major_fault_count", "context_switch_count", "cpu_pressure_us",
    "memory_pressure_us", "io_pressure_us",
)  # fmt: skip
"""The order is stored (SPAWN, STOPPED and FAILED in the journal): new ones come at the end."""

Figures = tuple[int | None, ...]
"""One number for each of COUNTERS."""

ZERO: Figures = (0,) * len(COUNTERS)
"""Of an agent that never ran."""
UNKNOWN: Figures = (None,) * len(COUNTERS)

counters_of = attrgetter(*COUNTERS)
"""The counters of anything that has them under these names, as Figures."""


def added(earlier: Figures, now: Figures) -> Figures:
    """Return the sums. Without a source now, a figure is what was counted earlier, if anything."""
    return tuple(
        (then or None) if here is None else (then or 0) + here
        for then, here in zip(earlier, now, strict=True)
    )


def since(base: Figures, now: Figures) -> Figures:
    """Return what was counted since."""
    return tuple(
        None if here is None else max(here - (then or 0), 0)
        for then, here in zip(base, now, strict=True)
    )


def raised(known: Figures, further: Figures) -> Figures:
    """Return the larger of each two; what is missing takes nothing away."""
    return tuple(
        then if here is None else max(then or 0, here)
        for then, here in zip(known, further, strict=True)
    )


def named(figures: Figures) -> Mapping[str, int | None]:
    """Return the figures under their names."""
    return dict(zip(COUNTERS, figures, strict=True))


def restored(stored: Sequence[object]) -> Figures | None:
    """Read a stored list, perhaps of a version that had fewer; None when it is none of ours."""
    known: list[int | None] = []
    for figure in stored[: len(COUNTERS)]:
        if figure is not None and type(figure) is not int:
            return None
        known.append(figure)
    figures = (*known, *UNKNOWN[len(known) :])
    # One object for all that never ran before: there may be very many of them in a history.
    return ZERO if figures == ZERO else figures
