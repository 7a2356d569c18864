"""What `asmstatus` prints: the totals and the last ten events, as the guide prints them.

Sections that the guide does not know (what is degraded, what was dropped) come after it and only
where there is something to say.
"""

from collections.abc import Sequence

from supervisord_asm.core.events import Event
from supervisord_asm.core.snapshot import SystemView
from supervisord_asm.view.event_line import event_line
from supervisord_asm.view.status_text import condition_lines
from supervisord_asm.view.value import Paint, cell, plain

TITLE = "Agent Supervision Module - System Status"
EVENTS_MAX = 10


def asmstatus_text(system: SystemView, recent_events: Sequence[Event], paint: Paint = plain) -> str:
    """Return the text. `recent_events` is newest first; at most ten are shown."""
    lines = [
        "",
        paint(TITLE, "title"),
        paint("=" * len(TITLE), "rule"),
        "",
        paint("System Metrics:", "title"),
        f"  Total Spawns:     {system.total_spawns}",
        f"  Total Exits:      {system.total_exits}",
        f"  Total Crashes:    {_alarming(system.total_crashes, paint)}",
        f"  Total Faults:     {_alarming(system.total_faults, paint)}",
        f"  Total Restarts:   {system.total_restarts}",
        f"  Active Agents:    {system.active_agents}",
        f"  Total Syscalls:   {cell(system.total_syscalls)}",
        "",
        paint(f"Recent Events (last {EVENTS_MAX}):", "title"),
        *(f"  {event_line(event)}" for event in recent_events[:EVENTS_MAX]),
        *condition_lines(system),
        "",
    ]
    return "\n".join(lines)


def _alarming(count: int, paint: Paint) -> str:
    return paint(str(count), "warn") if count else str(count)
