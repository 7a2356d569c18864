"""Windows and rates: what an agent used per second, over the last n seconds, and in sum. Pure.

The sampler closes one window per whole second; here are the window as a value and the arithmetic of
those who show it: rates over several windows, sums over agents. Whole numbers only, rounded down.

Rules (shared/spec/DECISIONS.md, Telemetry):

- A rate divides by the windows that exist, never by the seconds that were asked for.
- An idle second is a window of zeros and counts as a window.
- None is not 0: a figure that some window has not is not known for the span.
- CPU is in thousandths of a percent of one core: 100,000 is one core, fully used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WINDOWS_MAX = 60
"""Windows that are kept per agent; SASM_WINDOWS of native/sampler.h."""
WINDOW_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """One second of an agent, from timestamp_us on (CLOCK_BOOTTIME, a whole second)."""

    timestamp_us: int
    cpu_time_us: int
    memory_bytes: int | None
    """At its end."""
    syscall_count: int | None
    io_ops: int | None
    network_bytes: int | None = None
    """Received and sent."""


class Span(NamedTuple):
    """Sums over the last windows: of `seconds` that were asked for, the `windows` that exist."""

    seconds: int
    windows: int
    cpu_time_us: int
    syscall_count: int | None
    io_ops: int | None
    network_bytes: int | None = None
    """Received and sent."""

    @property
    def cpu_percent_milli(self) -> int | None:
        """CPU use; None without windows."""
        return self.cpu_time_us * 100_000 // (self.windows * WINDOW_US) if self.windows else None

    @property
    def syscall_rate(self) -> int | None:
        """Syscalls per second; None when they are not counted or there is no window."""
        return self._rate(self.syscall_count)

    @property
    def io_rate(self) -> int | None:
        """Read and write calls per second; None when not counted or without windows."""
        return self._rate(self.io_ops)

    @property
    def network_rate(self) -> int | None:
        """Bytes per second; None when not counted or without windows."""
        return self._rate(self.network_bytes)

    def rates(self) -> "Rates":
        """Return all rates as one value."""
        return Rates(
            self.seconds, self.windows, self.cpu_percent_milli, self.syscall_rate, self.io_rate,
            self.network_rate,
        )  # fmt: skip

    def _rate(self, amount: int | None) -> int | None:
        return None if amount is None or not self.windows else amount // self.windows


class Rates(NamedTuple):
    """Rates over the last windows; None: no window, or no source. Whole numbers, rounded down."""

    seconds: int
    windows: int = 0
    cpu_percent_milli: int | None = None
    syscall_rate: int | None = None
    io_rate: int | None = None
    network_rate: int | None = None


def sum_rates(seconds: int, agents: Sequence[Rates]) -> Rates:
    """Return the sums of what is known; `windows` is the longest history among the agents."""
    return Rates(
        seconds,
        max((rates.windows for rates in agents), default=0),
        sum_known(rates.cpu_percent_milli for rates in agents),
        sum_known(rates.syscall_rate for rates in agents),
        sum_known(rates.io_rate for rates in agents),
        sum_known(rates.network_rate for rates in agents),
    )


def span_of(windows: Sequence[Window], seconds: int) -> Span:
    """Return the sums over the last windows. Raises ValueError for less than one second."""
    chosen = _last(windows, seconds)
    return Span(
        seconds,
        len(chosen),
        sum(window.cpu_time_us for window in chosen),
        _sum_if_all_known([window.syscall_count for window in chosen]),
        _sum_if_all_known([window.io_ops for window in chosen]),
        _sum_if_all_known([window.network_bytes for window in chosen]),
    )


def cpu_percent_milli(windows: Sequence[Window], last: int) -> int | None:
    """Return the CPU use over the last windows; None when there is none. May exceed one core."""
    chosen = _last(windows, last)
    if not chosen:
        return None
    used_us = sum(window.cpu_time_us for window in chosen)
    return used_us * 100_000 // (len(chosen) * WINDOW_US)


def syscall_rate(windows: Sequence[Window], last: int) -> int | None:
    """Return syscalls per second over the last windows; None when they are not counted."""
    return _per_second([window.syscall_count for window in _last(windows, last)])


def io_rate(windows: Sequence[Window], last: int) -> int | None:
    """Return read and write calls per second over the last windows; None: not counted."""
    return _per_second([window.io_ops for window in _last(windows, last)])


def peak_cpu_percent_milli(windows: Sequence[Window]) -> int | None:
    """Return the busiest window's CPU use; None when there is none."""
    return max((cpu_percent_milli([window], 1) or 0 for window in windows), default=None)


def sum_known(figures: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None when nothing is: no figure is not the figure 0."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def _last(windows: Sequence[Window], last: int) -> Sequence[Window]:
    if last < 1:
        raise ValueError(f"a rate is over at least one window, not {last}")
    return windows[-last:]


def _per_second(amounts: Sequence[int | None]) -> int | None:
    total = _sum_if_all_known(amounts)
    return None if total is None else total * 1_000_000 // (len(amounts) * WINDOW_US)


def _sum_if_all_known(amounts: Sequence[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known and len(known) == len(amounts) else None
