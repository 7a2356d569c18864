"""The file `agents/<id>/limits`: each limit and what enforces it. Cacheable by view."""

from supervisord_asm.core.snapshot import LIMIT_MECHANISMS, AgentView
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.limit import limit_rows


def agent_limits_text(view: AgentView) -> str:
    """Return the file. Mechanisms that belong to no limit (accounting, doors) follow the limits."""
    title = f"Limits of Agent {view.agent_id}:"
    lines = ["", title, "=" * len(title)]
    for name, value, mechanism in limit_rows(view):
        lines.append(f"{name + ':':<16} {value}" + (f" ({mechanism})" if mechanism else ""))
    other = sorted(view.mechanisms.keys() - set(LIMIT_MECHANISMS.values()))
    if other:
        lines += ["", "Other Mechanisms:"]
        lines += [f"  {escaped(key)}: {escaped(view.mechanisms[key])}" for key in other]
    lines.append("")
    return "\n".join(lines)
