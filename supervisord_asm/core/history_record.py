"""The history as JSON and back: totals and rows, without the ring of recent events. Pure.

This is the form of the journal's derived tables and of the base that a compaction leaves behind.
What is not written because it follows from the rest: the name index (from the rows that are not
retired) and the ring (from the newest events).
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from supervisord_asm.core.agent_history import AgentHistory, agent_from_record, agent_to_record
from supervisord_asm.core.history import History

TOTAL_FIELDS = (
    "total_spawns", "total_exits", "total_crashes", "total_faults", "total_restarts",
    "events_total", "next_agent_id", "syscalls_forgotten",
)  # fmt: skip
total_values = attrgetter(*TOTAL_FIELDS)
SINCE_VERSION_3 = ("syscalls_forgotten",)


def restore_history(totals: Mapping[str, int], agents: Iterable[AgentHistory]) -> History:
    """Return the history with these totals and rows, and an empty ring."""
    history = History()
    for name in TOTAL_FIELDS:
        # A base of version 1 or 2 does not have the last of them.
        setattr(history, name, totals.get(name, 0) if name in SINCE_VERSION_3 else totals[name])
    for agent in agents:
        history.agents[agent.agent_id] = agent
        history.retired_rows += agent.retired
        if agent.name and not agent.retired:
            history.ids_by_name[agent.name] = agent.agent_id
    return history


def history_to_record(history: History) -> dict[str, Any]:
    """Return totals and rows as JSON, rows by rising id."""
    rows = sorted(history.agents.items())
    return {
        "totals": dict(zip(TOTAL_FIELDS, total_values(history), strict=True)),
        "agents": [agent_to_record(agent) for _, agent in rows],
    }


def history_from_record(record: Mapping[str, Any]) -> History:
    """Read what history_to_record made. Raises KeyError, TypeError or EventFormatError."""
    return restore_history(record["totals"], map(agent_from_record, record["agents"]))
