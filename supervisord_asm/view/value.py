"""One figure as people read it: absent ones, flags, ages, exits, the paint hook.

Only forms that more than one renderer needs. A table cell is never empty and holds no space, so
that the guide's awk one-liners can count columns: what is absent is a dash.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a verb that shows no agent saves the 7 ms that this import takes
    from supervisord_asm.core.snapshot import AgentView

ABSENT = "-"

# Colour is the terminal's business: a renderer names the meaning of a piece of text, after padding
# it, and the caller decides what that looks like. Meanings: "title", "rule", "good", "warn", "bad",
# "faint".
Paint = Callable[[str, str], str]

_STATE_MEANINGS = {
    "active": "good",
    "starting": "warn",
    "throttled": "warn",
    "frozen": "warn",
    "stopping": "warn",
    "backoff": "warn",
    "failed": "bad",
    "stopped": "faint",
}

_AGE_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def plain(text: str, meaning: str) -> str:
    """Paint nothing: the Paint of files, pipes and tests."""
    del meaning
    return text


def state_meaning(state: str) -> str:
    """Return the meaning of a state for a Paint; an unknown state means a warning."""
    return _STATE_MEANINGS.get(state, "warn")


def cell(value: int | str | None) -> str:
    """Return a table cell: the value, or a dash where there is none."""
    return ABSENT if value is None or value == "" else str(value)


def joined(names: tuple[str, ...]) -> str:
    """Return names as one cell without a space inside."""
    return ",".join(names) or ABSENT


def quantity(value: int | None, unit: str) -> str:
    """Return "125000 μs"; an absent value is said to be, without a unit."""
    return "unknown" if value is None else f"{value} {unit}"


def yes_no(flag: bool) -> str:
    """Return "Yes" or "No"."""
    return "Yes" if flag else "No"


def auto_restart(view: "AgentView") -> str:
    """Return "Yes (max 3)" or "No"."""
    return f"Yes (max {view.max_restarts})" if view.auto_restart else "No"


def core_percent(cpu_percent_milli: int | None) -> str:
    """Return "12.345%" of one core. Integer arithmetic: 99.9999 never shows as 100.000."""
    if cpu_percent_milli is None:
        return ABSENT
    return f"{cpu_percent_milli // 1000}.{cpu_percent_milli % 1000:03d}%"


def age(elapsed_us: int) -> str:
    """Return "2 seconds ago", in the largest unit of which at least two have passed.

    A negative age (the clock was read before the event) is "0 seconds ago".
    """
    seconds = max(elapsed_us, 0) // 1_000_000
    for unit_seconds, name in _AGE_UNITS:
        if seconds >= 2 * unit_seconds:
            return f"{seconds // unit_seconds} {name}s ago"
    return "1 second ago" if seconds == 1 else f"{seconds} seconds ago"


def last_exit(view: "AgentView") -> str | None:
    """Return "code 1 (error)" or "signal 9 (oom-agent)"; None when the agent never exited."""
    if view.last_exit_signal is not None:
        what = f"signal {view.last_exit_signal}"
    elif view.last_exit_code is not None:
        what = f"code {view.last_exit_code}"
    elif view.last_exit_cause is not None:
        return view.last_exit_cause
    else:
        return None
    return f"{what} ({view.last_exit_cause})" if view.last_exit_cause else what
