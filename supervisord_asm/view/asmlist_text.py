"""What `asmlist` and `asmctl list` print: one row per agent, as the guide prints them.

No cell holds a space and none is empty, so `awk '{print $5}'` is always the restarts. `Restarts` is
the lifetime count: the limiter's own counter decays, and "restarted 7 times" should not.
"""

from collections.abc import Sequence

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import Paint, cell, joined, plain, state_meaning

# spec/asm.md 1.14. A name may have 63 characters; the full one is in asminfo and --json.
NAME_WIDTH_MAX = 18

_COLUMNS = (
    Column("ID", 4),
    Column("PID", 4),
    Column("Name", 16),
    Column("Capabilities", 18),
    Column("Restarts", 8),
)
_STATE = Column("State", 9)


def asmlist_text(
    agents: Sequence[AgentView], paint: Paint = plain, *, with_state: bool = False
) -> str:
    """Return the list, sorted as given; `with_state` adds a last column."""
    rows = [_row(view, with_state) for view in agents]
    meanings = None if paint is plain else [_meanings(view, with_state) for view in agents]
    columns = (*_COLUMNS, _STATE) if with_state else _COLUMNS
    lines = ["", paint("Active Agents:", "title"), *table_lines(columns, rows, paint, meanings), ""]
    return "\n".join(lines)


def _row(view: AgentView, with_state: bool) -> tuple[str, ...]:
    row = (
        str(view.agent_id),
        cell(view.pid),
        view.name[:NAME_WIDTH_MAX],
        joined(view.capabilities),
        str(view.total_restarts),
    )
    return (*row, view.state) if with_state else row


def _meanings(view: AgentView, with_state: bool) -> tuple[str, ...]:
    meaning = state_meaning(view.state)
    row = ("", "", meaning, "", "warn" if view.total_restarts else "")
    return (*row, meaning) if with_state else row
