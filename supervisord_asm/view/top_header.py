"""The head of `asmctl top`: the whole system in four lines. Pure."""

from collections import Counter
from collections.abc import Callable, Sequence

from supervisord_asm.core.resources import sum_known
from supervisord_asm.core.snapshot import STATES, SystemView
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.short_figure import short_bytes, short_count, short_percent
from supervisord_asm.view.top_columns import TopRow


def header_lines(system: SystemView, rows: Sequence[TopRow], clock: str) -> list[str]:
    """Return the lines, of any length.

    Args:
        system: the totals.
        rows: every agent. A sum is over those whose figure is known; "unknown" where none is.
        clock: the time of day, as it is to be shown.
    """
    views = [row.view for row in rows]
    cpu = sum_known(view.cpu_percent_milli for view in views)
    memory = sum_known(view.memory_bytes for view in views)
    syscalls = sum_known(view.syscall_rate for view in views)
    network = sum_known(row.network_rate for row in rows)
    sums = (
        f"CPU {_sum(cpu, short_percent, '%')}",
        f"memory {_sum(memory, short_bytes)}",
        f"syscalls {_sum(syscalls, short_count, '/s')}",
        f"network {_sum(network, short_bytes, '/s')}",
        f"drops {_drops(system)}",
    )
    return [
        f"asmd {escaped(system.version)}  {clock}  {_agents(rows)}",
        "  ".join(sums),
        _tier(system),
        f"degraded: {_degraded(system)}",
    ]


def is_alarming(system: SystemView) -> bool:
    """Tell whether something is worse than it should be, or was lost."""
    return bool(system.degraded) or any(system.drops.values())


def _sum(figure: int | None, text_of: Callable[[int | None], str], unit: str = "") -> str:
    return "unknown" if figure is None else f"{text_of(figure)}{unit}"


def _agents(rows: Sequence[TopRow]) -> str:
    counts = Counter(row.view.state for row in rows)
    # Known states in their usual order; what a newer asmd may say comes after them.
    order = [*STATES, *sorted(counts.keys() - set(STATES))]
    parts = [f"{counts[state]} {escaped(state)}" for state in order if counts[state]]
    return f"agents {len(rows)}" + (f": {', '.join(parts)}" if parts else "")


def _tier(system: SystemView) -> str:
    return "  ".join(f"{escaped(key)}: {escaped(value)}" for key, value in system.tier.items())


def _drops(system: SystemView) -> str:
    lost = [(where, count) for where, count in system.drops.items() if count]
    return ", ".join(f"{escaped(where)} {count}" for where, count in lost) or "none"


def _degraded(system: SystemView) -> str:
    if not system.degraded:
        return "nothing"
    more = len(system.degraded) - 1
    first = escaped(system.degraded[0])
    return f"{first} (and {more} more: asmctl doctor)" if more else first
