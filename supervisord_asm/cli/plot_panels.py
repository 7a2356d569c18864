"""What `asmctl plot` draws, as numbers and words: one panel per metric. Pure; draws nothing.

Each window of a second becomes one value in a unit that the panel's largest value reads well in. A
second that asmd does not tell of, or whose figure is not known, is None and stays so: it is a gap
and never a 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisord_asm.core.resources import WINDOW_US, Window, cpu_percent_milli

# (how many of the figure's own unit, what that is called), smallest first.
_BYTES = ((1, "bytes"), (1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"))
_COUNT = ((1, ""), (1_000, "thousand"), (1_000_000, "million"))
_PERCENT = ((1_000, "%"),)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `label` is the axis' words, with {} where the unit stands."""

    label: str
    figure_of: Callable[[Window], int | None]
    units: tuple[tuple[int, str], ...]


METRICS = {
    "cpu": Metric("CPU ({} of one core)", lambda window: cpu_percent_milli([window], 1), _PERCENT),
    "memory": Metric("memory ({})", lambda window: window.memory_bytes, _BYTES),
    "syscalls": Metric("syscalls ({}/s)", lambda window: window.syscall_count, _COUNT),
    "network": Metric("network ({}/s)", lambda window: window.network_bytes, _BYTES),
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric's values, one per second from `first_s` on; the last ends at second 0."""

    label: str
    first_s: int
    """Minus how many seconds the panel goes back."""
    values: tuple[float | None, ...]

    @property
    def is_unknown(self) -> bool:
        """Whether no second's figure is known."""
        return all(value is None for value in self.values)

    def unknown_spans(self) -> list[tuple[int, int]]:
        """Return where the gaps are, as (from, to) in seconds; none where nothing is known."""
        spans: list[tuple[int, int]] = []
        for second, value in enumerate(self.values, self.first_s):
            if value is not None or self.is_unknown:
                continue
            if spans and spans[-1][1] == second:
                spans[-1] = (spans[-1][0], second + 1)
            else:
                spans.append((second, second + 1))
        return spans


def panel(metric: Metric, windows: Sequence[Window]) -> Panel:
    """Return a metric's panel over the windows, of which there is at least one, oldest first."""
    first_us, end_us = windows[0].timestamp_us, windows[-1].timestamp_us + WINDOW_US
    seconds = (end_us - first_us) // WINDOW_US
    figures: list[int | None] = [None] * seconds
    for window in windows:
        figures[(window.timestamp_us - first_us) // WINDOW_US] = metric.figure_of(window)
    factor, unit = _unit(figures, metric.units)
    values = tuple(None if figure is None else figure / factor for figure in figures)
    # Of a plain count nothing stands before the stroke: "syscalls (/s)" would be odd.
    label = metric.label.format(unit) if unit else metric.label.replace("({}/s)", "per second")
    return Panel(label, -seconds, values)


def _unit(figures: Sequence[int | None], units: Sequence[tuple[int, str]]) -> tuple[int, str]:
    """Return the largest unit of which the highest figure has at least two; else the smallest."""
    highest = max((figure for figure in figures if figure is not None), default=0)
    fitting = [unit for unit in units if highest >= 2 * unit[0]]
    return fitting[-1] if fitting else units[0]
