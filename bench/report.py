"""How figures are summed up, printed and kept. Measures nothing."""

import json
import math
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "build" / "bench"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of the values do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99, least and most, and of how many."""
    return {
        "p50": round(statistics.median(values), 3),
        "p99": round(percentile(values, 99), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "n": len(values),
    }


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return where the median of what was sampled lies with a confidence of at least 95 %.

    Two of the values, by their rank (the binomial of the signs): nothing is assumed about how
    they are distributed. With fewer than six values that is the least and the most.
    """
    ordered = sorted(values)
    count = len(ordered)
    chance, below = 0.5**count, 0
    # The largest rank such that both tails together keep within 5 %.
    while below + 1 <= count // 2 and 2 * chance <= 0.05:
        below += 1
        chance += math.comb(count, below) * 0.5**count
    rank = max(below - 1, 0)
    return ordered[rank], ordered[count - 1 - rank]


def show(value: Any) -> str:
    """Return a figure with three significant digits; a dash for what there is none of."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table; the first column is text, the others are figures."""
    cells = [[str(columns[0]), *columns[1:]], *([row[0], *map(show, row[1:])] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [title]
    for row in cells:
        figures = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join((row[0].ljust(widths[0]), *figures)).rstrip())
    return "\n".join(lines) + "\n"


def conditions() -> dict[str, Any]:
    """Return under what the figures were taken; a busy machine makes all of them worse."""
    return {
        "kernel": os.uname().release,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def keep(name: str, figures: dict[str, Any]) -> Path:
    """Write build/bench/<name>.json; return its path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return path
