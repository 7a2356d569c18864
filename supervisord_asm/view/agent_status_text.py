"""The file `agents/<id>/status`: one agent's identity, state and counters. Cacheable by view.

No time relative to now stands here: the file is rendered when something changed and read whenever.
Where asminfo says "2 seconds ago", this file gives the instant, in microseconds since boot.
"""

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.value import auto_restart, cell, last_exit, quantity


def agent_status_text(view: AgentView) -> str:
    """Return the file."""
    title = f"Agent {view.agent_id}:"
    uid = "" if view.uid is None else f" (uid {view.uid})"
    rows = (
        ("Agent ID", str(view.agent_id)),
        ("PID", cell(view.pid)),
        ("Name", view.name),
        ("State", view.state),
        ("User", f"{escaped(cell(view.user))}{uid}"),
        ("Capabilities", ", ".join(view.capabilities) or "none"),
        ("Auto-Restart", auto_restart(view)),
        ("Restart Count", str(view.restart_count)),
        ("Total Restarts", str(view.total_restarts)),
        ("Spawn Count", str(view.spawn_count)),
        ("Exit Count", str(view.exit_count)),
        ("Crash Count", str(view.crash_count)),
        ("Fault Count", str(view.fault_count)),
        ("Processes", cell(view.process_count)),
        ("Last Exit", last_exit(view) or "none"),
        ("Last Activity", quantity(view.last_activity_us, "μs since boot")),
        ("Started", quantity(view.started_us, "μs since boot")),
        ("Cgroup", escaped(cell(view.cgroup))),
        ("Log", escaped(cell(view.log_path))),
    )
    lines = ["", title, "=" * len(title), *(f"{name + ':':<16} {text}" for name, text in rows)]
    return "\n".join([*lines, *drop_lines(view.drops, is_agents=True), ""])
