"""The files `profiling` and `agents/<id>/profiling`, and what `asmctl profile` prints. Pure.

Operations stand in alphabetical order, one row each; the totals above them are over the retained
samples of all rows.
"""

from collections.abc import Sequence

from supervisord_asm.core.profiler import OperationStats
from supervisord_asm.view.value import Paint, plain

_RIGHT = "  {:>7}  {:>7}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}"
_TITLES = (
    "Samples", "Success", "Min(us)", "Avg(us)", "Median(us)", "p95(us)", "p99(us)", "Max(us)",
)  # fmt: skip
_RULE = tuple("-" * width for width in (7, 7, 10, 10, 10, 10, 10, 10))
_NAME_WIDTH = 16
SYSTEM_TITLE = "Agent Supervision Module - Performance Profile"


def agent_title(agent_id: int) -> str:
    """Return the title of one agent's profile; agent 0 is the system itself."""
    return f"Profile of Agent {agent_id}:" if agent_id else "Profile of asmd:"


def profile_text(
    title: str,
    stats: Sequence[OperationStats],
    refused_count: int = 0,
    paint: Paint = plain,
) -> str:
    """Return the whole text. `refused_count`: samples of operations beyond the bound."""
    lines = ["", paint(title, "title"), "=" * len(title), *_totals(stats, refused_count), ""]
    return "\n".join([*lines, *stats_lines("Operation", _named(stats), paint), ""])


def stats_lines(
    first_column: str, rows: Sequence[tuple[str, OperationStats]], paint: Paint = plain
) -> list[str]:
    """Return a table of statistics, each row named, without newlines."""
    width = max(_NAME_WIDTH, *(len(name) for name, _ in rows)) if rows else _NAME_WIDTH
    return [
        paint(f"  {first_column:<{width}}{_RIGHT.format(*_TITLES)}", "title"),
        paint(f"  {'-' * width}{_RIGHT.format(*_RULE)}", "rule"),
        *(f"  {name:<{width}}{_figures(stats, paint)}" for name, stats in rows),
    ]


def _percent(permille: int) -> str:
    return f"{permille // 10}.{permille % 10}%"


def _named(stats: Sequence[OperationStats]) -> list[tuple[str, OperationStats]]:
    return [(one.operation, one) for one in stats]


def _totals(stats: Sequence[OperationStats], refused_count: int) -> list[str]:
    samples = sum(one.sample_count for one in stats)
    successful = sum(one.success_count for one in stats)
    permille = successful * 1000 // samples if samples else 0
    summed_us = sum(one.avg_duration_us * one.sample_count for one in stats)
    rows = [
        ("Samples", str(samples)),
        ("Successful", f"{successful} ({_percent(permille)})"),
        ("Failed", str(samples - successful)),
        ("Avg Latency", f"{summed_us // samples if samples else 0} μs"),
        ("Peak Latency", f"{max((one.max_duration_us for one in stats), default=0)} μs"),
    ]
    if refused_count:
        rows.append(("Not Kept", f"{refused_count} (too many operations)"))
    return [f"{name + ':':<16} {text}" for name, text in rows]


def _figures(stats: OperationStats, paint: Paint) -> str:
    shown = _RIGHT.format(
        stats.sample_count, _percent(stats.success_permille), stats.min_duration_us,
        stats.avg_duration_us, stats.median_duration_us, stats.p95_duration_us,
        stats.p99_duration_us, stats.max_duration_us,
    )  # fmt: skip
    return paint(shown, "warn") if stats.failure_count else shown
