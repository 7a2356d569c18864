"""The derived tables: the history's totals and rows, as they lie in the database.

What core/history.py folds is written by the writer in the same transaction as the events it follows
from, and read when the journal is opened, so that opening does not fold a million of them. No rule
lives here, only the columns.
"""

import json
import sqlite3
from collections.abc import Iterable
from operator import attrgetter

from supervisord_asm.core.agent_history import AGENT_FIELDS, AgentHistory, agent_from_record
from supervisord_asm.core.canonical import canonical_json
from supervisord_asm.core.history import History
from supervisord_asm.core.history_record import TOTAL_FIELDS, restore_history, total_values
from supervisord_asm.store.chain import Head

assert AGENT_FIELDS[-1] == "recent_faults", "agent_row writes it last, as text"

_plain_values = attrgetter(*AGENT_FIELDS[:-1])
_FLAGS = ("alive", "retired", "transient")  # booleans, which SQLite keeps as 0 and 1
_SAVE_AGENT = f"REPLACE INTO agent VALUES ({', '.join('?' * len(AGENT_FIELDS))})"
_SAVE_TOTALS = (
    f"UPDATE system SET {', '.join(f'{name} = ?' for name in TOTAL_FIELDS)}, "
    "last_seq = ?, last_hash = ?"
)


def faults_text(agent: AgentHistory) -> str:
    """Return the column recent_faults: a list of events in their JSON form, oldest first."""
    return canonical_json([fault.to_json() for fault in agent.recent_faults])


def save_agents(connection: sqlite3.Connection, rows: Iterable[tuple[AgentHistory, str]]) -> None:
    """Write rows, each with its faults_text."""
    values = [(*_plain_values(agent), faults) for agent, faults in rows]
    connection.executemany(_SAVE_AGENT, values)


def delete_agents(connection: sqlite3.Connection, agent_ids: Iterable[int]) -> None:
    """Remove the rows that a compaction has forgotten."""
    connection.executemany("DELETE FROM agent WHERE agent_id = ?", [(one,) for one in agent_ids])


def save_totals(connection: sqlite3.Connection, history: History, head: Head) -> None:
    """Write the totals, and up to which event they and the rows have been folded."""
    connection.execute(_SAVE_TOTALS, (*total_values(history), *head))


def load_head(connection: sqlite3.Connection) -> Head:
    """Return up to which event the derived tables have been folded."""
    return Head(*connection.execute("SELECT last_seq, last_hash FROM system").fetchone())


def load_history(connection: sqlite3.Connection) -> History:
    """Return the history as the derived tables have it; its ring is empty.

    Raises ValueError, KeyError or TypeError when a row cannot have been written by us.
    """
    query = f"SELECT {', '.join(TOTAL_FIELDS)} FROM system"
    totals = dict(zip(TOTAL_FIELDS, connection.execute(query).fetchone(), strict=True))
    query = f"SELECT {', '.join(AGENT_FIELDS)} FROM agent ORDER BY agent_id"
    return restore_history(totals, [_agent(row) for row in connection.execute(query)])


def _agent(row: tuple[object, ...]) -> AgentHistory:
    record = dict(zip(AGENT_FIELDS, row, strict=True))
    for name in _FLAGS:
        record[name] = bool(record[name])
    record["recent_faults"] = json.loads(str(record["recent_faults"]))
    return agent_from_record(record)
