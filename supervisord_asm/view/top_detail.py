"""One agent in `asmctl top`: every figure of it, its last minute, its last events. Pure.

The figures are found by the view's own fields and not listed here: a new one is shown as soon as
there is one, under its name and in the unit that its name ends in.
"""

from collections.abc import Callable, Sequence

from supervisord_asm.core.events import Event, describe
from supervisord_asm.core.resources import WINDOWS_MAX, Window, cpu_percent_milli
from supervisord_asm.core.snapshot import AGENT_FIELDS, AgentView
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.limit import limit_rows
from supervisord_asm.view.short_figure import short_bytes, short_count, short_percent
from supervisord_asm.view.sparkline import sparkline
from supervisord_asm.view.value import age, auto_restart, last_exit

UNKNOWN = "unknown"

# Fields that are no figures; the first and the last lines show them in words.
TOLD_IN_WORDS = frozenset(
    {
        "agent_id", "name", "state", "pid", "capabilities", "auto_restart", "max_restarts",
        "last_exit_code", "last_exit_signal", "last_exit_cause", "cgroup", "user", "uid",
        "log_path", "mechanisms", "limits", "ended", "run", "drops",
    }
)  # fmt: skip
FIGURES = tuple(name for name in AGENT_FIELDS if name not in TOLD_IN_WORDS)
# When something was, against the fields in "_us" that tell how long something took.
_INSTANTS = frozenset({"started_us", "last_activity_us"})

_LABEL_WIDTH = 21
_VALUE_WIDTH = 15
_PAIR_WIDTH = _LABEL_WIDTH + _VALUE_WIDTH + 2


def detail_lines(
    view: AgentView, windows: Sequence[Window], events: Sequence[Event], now_us: int, width: int
) -> list[str]:
    """Return the panel's lines, for a terminal of `width` characters.

    Args:
        view: the agent, whole (asmd's INFO and not its LIST).
        windows: its last minute, oldest first; empty while it does not run.
        events: what happened to it, newest first.
        now_us: CLOCK_BOOTTIME, as the view's own times are.
        width: of the terminal; no line but those of paths and events needs more.
    """
    lines = [*_headline(view), "", *_minute(windows), "", *_figures(view, now_us, width)]
    lines += ["", "Last events (UTC)"]
    lines += [f"  {_time_of_day(event)}  {escaped(describe(event))}" for event in events]
    if not events:
        lines.append("  none at hand; all ever are in asmctl journal show")
    return [*lines, "", *_settings(view)]


def figure_text(name: str, value: int | None, now_us: int) -> str:
    """Return a figure as its name says that it is to be read; "unknown" for None."""
    if value is None:
        return UNKNOWN
    if name in _INSTANTS:
        return age(now_us - value)
    if name == "cpu_percent_milli":
        return f"{short_percent(value)}%"
    if name.endswith("_rate"):
        return f"{value:,}/s"
    if name.endswith("_bytes"):
        return short_bytes(value)
    if name.endswith("_us"):
        return f"{value // 1_000_000:,}.{value % 1_000_000 // 1000:03d} s"
    return f"{value:,}"


def figure_label(name: str) -> str:
    """Return a field's name as words: "memory anon" and, of a count, "context switches"."""
    if name == "cpu_percent_milli":
        return "cpu"
    if name.endswith("_count"):
        name = name.removesuffix("_count")
        name += "es" if name.endswith(("s", "h")) else "s"
    return name.removesuffix("_bytes").removesuffix("_us").replace("_", " ")


def _headline(view: AgentView) -> list[str]:
    user = f"{escaped(view.user)} (uid {view.uid})" if view.user else UNKNOWN
    pid = "none" if view.pid is None else str(view.pid)
    return [
        f"{view.agent_id} {escaped(view.name)}: {escaped(view.state)}, pid {pid}, user {user}",
        f"auto-restart {auto_restart(view)}, last exit {escaped(last_exit(view) or 'none')}",
    ]


def _settings(view: AgentView) -> list[str]:
    lines = [
        f"capabilities {', '.join(map(escaped, view.capabilities)) or 'none'}",
        f"cgroup {escaped(view.cgroup or UNKNOWN)}",
        f"log {escaped(view.log_path or UNKNOWN)}",
    ]
    limits = [row for row in limit_rows(view) if row[2]]
    lines += [f"limit {name} {value}: {how}" for name, value, how in limits]
    return lines


def _figures(view: AgentView, now_us: int, width: int) -> list[str]:
    pairs = [
        f"{figure_label(name):<{_LABEL_WIDTH}}"
        f"{figure_text(name, getattr(view, name), now_us):>{_VALUE_WIDTH}}"
        for name in FIGURES
    ]
    per_line = max(width // _PAIR_WIDTH, 1)
    # Downwards first, as people read a list that is folded.
    height = -(-len(pairs) // per_line)
    return ["  ".join(pairs[row::height]) for row in range(height)]


def _minute(windows: Sequence[Window]) -> list[str]:
    if not windows:
        return ["No window of a second has been closed since it was started."]
    lines = [f"Last {len(windows)} s, one bar a second"]
    for label, figure_of, text_of in _SPARKS:
        figures = [figure_of(window) for window in windows]
        known = [figure for figure in figures if figure is not None]
        if not known:
            lines.append(f"{label}: {UNKNOWN}")
            continue
        last = UNKNOWN if figures[-1] is None else text_of(figures[-1])
        lines.append(f"{label}: {last}, at most {text_of(max(known))}")
        lines.append(sparkline(figures[-WINDOWS_MAX:]))
    return lines


_SPARKS: tuple[tuple[str, Callable[[Window], int | None], Callable[[int | None], str]], ...] = (
    ("CPU", lambda window: cpu_percent_milli([window], 1), lambda n: f"{short_percent(n)}%"),
    ("Memory", lambda window: window.memory_bytes, short_bytes),
    ("Syscalls", lambda window: window.syscall_count, lambda n: f"{short_count(n)}/s"),
    ("Network", lambda window: window.network_bytes, lambda n: f"{short_bytes(n)}/s"),
)


def _time_of_day(event: Event) -> str:
    text = event.to_json().get("time")
    return str(text)[11:19] if text else "--:--:--"
