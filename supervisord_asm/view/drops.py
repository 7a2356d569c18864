"""What was lost, by cause: the lines that stand beside every figure that may be too low for it.

Nothing is said where nothing was lost. Of an agent, its log lines are its own loss; the kernel does
not say whose the others are, so each agent that was counted meanwhile shows them.
"""

from collections.abc import Mapping

from supervisord_asm.view.escape import escaped

TITLE = "Dropped Records:"
_OWN = frozenset({"log_lines"})


def drop_lines(drops: Mapping[str, int], *, is_agents: bool = False) -> list[str]:
    """Return an empty line, the title and a line per cause; nothing without a loss.

    Args:
        drops: counts by cause; zeros are left out.
        is_agents: this is one agent's list, and causes that are not its alone are marked.
    """
    found = [(cause, count) for cause, count in drops.items() if count]
    if not found:
        return []
    lines = ["", TITLE]
    for cause, count in found:
        whose = " (of all agents)" if is_agents and cause not in _OWN else ""
        lines.append(f"  {escaped(cause)}: {count}{whose}")
    return lines
