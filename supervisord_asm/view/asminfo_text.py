"""What `asminfo` prints: one agent in detail, as the guide prints it.

What the guide does not know comes after it and only where there is something to say: how the agent
last ended, which limits it has and what enforces them, that it runs as root, what was lost.
"""

from collections.abc import Sequence

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.limit import limit_rows
from supervisord_asm.view.value import (
    Paint,
    age,
    auto_restart,
    cell,
    last_exit,
    plain,
    quantity,
    state_meaning,
)

TITLE = "Agent Information:"


def asminfo_text(view: AgentView, now_us: int, paint: Paint = plain) -> str:
    """Return the text. `now_us` is CLOCK_BOOTTIME, as the view's own times are."""
    active = "unknown" if view.last_activity_us is None else age(now_us - view.last_activity_us)
    state = paint(view.state.capitalize(), state_meaning(view.state))
    lines = [
        "",
        paint(TITLE, "title"),
        paint("=" * len(TITLE), "rule"),
        f"Agent ID:        {view.agent_id}",
        f"PID:             {cell(view.pid)}",
        f"Name:            {view.name}",
        f"State:           {state}",
        f"Capabilities:    {', '.join(view.capabilities) or 'none'}",
        f"Auto-Restart:    {auto_restart(view)}",
        f"Restart Count:   {view.restart_count}",
        "",
        paint("Telemetry:", "title"),
        f"  Spawn Count:   {view.spawn_count}",
        f"  Exit Count:    {view.exit_count}",
        f"  Fault Count:   {view.fault_count}",
        f"  CPU Time:      {quantity(view.cpu_time_us, 'μs')}",
        f"  Memory:        {quantity(view.memory_bytes, 'bytes')}",
        "",
        f"Last Activity:   {active}",
        *_beyond_the_guide(view, paint),
        "",
    ]
    return "\n".join(lines)


def _beyond_the_guide(view: AgentView, paint: Paint) -> Sequence[str]:
    lines: list[str] = []
    exit_text = last_exit(view)
    if exit_text is not None:
        lines.append(f"Last Exit:       {exit_text}")
    if view.uid == 0:
        lines.append(f"User:            {paint('root', 'warn')}")
    limits = [row for row in limit_rows(view) if row[2]]
    if limits:
        lines += ["", paint("Limits:", "title")]
        lines += [f"  {name + ':':<14} {value} ({why})" for name, value, why in limits]
    return lines + drop_lines(view.drops, is_agents=True)
