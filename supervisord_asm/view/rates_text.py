"""Rates over several spans of windows, as a table that goes into the files and commands. Pure.

One row per span, like a load average with its parts: the last closed windows, of which young agents
have fewer than were asked for.
"""

from collections.abc import Sequence

from supervisord_asm.core.resources import Rates
from supervisord_asm.view.value import Paint, cell, core_percent, plain

_FORMAT = "  {:>7}  {:>10}  {:>12}  {:>12}  {:>14}"
_TITLES = ("Seconds", "CPU", "Syscalls/sec", "IO calls/sec", "Network(B/sec)")
_RULE = tuple("-" * width for width in (7, 10, 12, 12, 14))


def rates_lines(title: str, rates: Sequence[Rates], paint: Paint = plain) -> list[str]:
    """Return the table under its title, without newlines; what is not known is a dash."""
    return [
        f"{title}:",
        paint(_FORMAT.format(*_TITLES), "title"),
        paint(_FORMAT.format(*_RULE), "rule"),
        *map(_row, rates),
    ]


def _row(rates: Rates) -> str:
    return _FORMAT.format(
        rates.seconds,
        core_percent(rates.cpu_percent_milli),
        cell(rates.syscall_rate),
        cell(rates.io_rate),
        cell(rates.network_rate),
    )
