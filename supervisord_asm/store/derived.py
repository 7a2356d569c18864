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
from supervisord_asm.core.figures import Figures
from supervisord_asm.core.history import History
from supervisord_asm.core.history_record import TOTAL_FIELDS, restore_history, total_values
from supervisord_asm.store.bulk import BulkInsert
from supervisord_asm.store.chain import Head
from supervisord_asm.store.errors import UnreadableRow
from supervisord_asm.store.schema import NULLABLE_FIELDS, TEXT_FIELDS

_LISTS = ("counters", "run_base", "recent_faults")
assert AGENT_FIELDS[-len(_LISTS) :] == _LISTS, "save_agents writes them last, as text"

_plain_values = attrgetter(*AGENT_FIELDS[: -len(_LISTS)])
_FLAGS = ("alive", "retired", "transient")  # booleans, which SQLite keeps as 0 and 1
_SAVE_AGENTS = BulkInsert("REPLACE INTO agent", len(AGENT_FIELDS))
_SAVE_TOTALS = (
    f"UPDATE system SET {', '.join(f'{name} = ?' for name in TOTAL_FIELDS)}, "
    "last_seq = ?, last_hash = ?"
)


def _stored_types(name: str) -> tuple[type, ...]:
    kind: type = str if name in TEXT_FIELDS else int
    return (kind, type(None)) if name in NULLABLE_FIELDS else (kind,)


_AGENT_TYPES = {name: _stored_types(name) for name in AGENT_FIELDS}


def faults_text(agent: AgentHistory) -> str:
    """Return the column recent_faults: a list of events in their JSON form, oldest first."""
    return canonical_json([fault.to_json() for fault in agent.recent_faults])


def _list_text(figures: Figures) -> str:
    return json.dumps(figures, separators=(",", ":"))


def save_agents(connection: sqlite3.Connection, rows: Iterable[tuple[AgentHistory, str]]) -> None:
    """Write rows, each with its faults_text."""
    values = [
        (*_plain_values(agent), _list_text(agent.counters), _list_text(agent.run_base), faults)
        for agent, faults in rows
    ]
    _SAVE_AGENTS.run(connection, values)


def delete_agents(connection: sqlite3.Connection, agent_ids: Iterable[int]) -> None:
    """Remove the rows that a compaction has forgotten."""
    connection.executemany("DELETE FROM agent WHERE agent_id = ?", [(one,) for one in agent_ids])


def save_totals(connection: sqlite3.Connection, history: History, head: Head) -> None:
    """Write the totals, and up to which event they and the rows have been folded."""
    connection.execute(_SAVE_TOTALS, (*total_values(history), *head))


def load_head(connection: sqlite3.Connection) -> Head:
    """Return up to which event the derived tables have been folded. Raises UnreadableRow."""
    values = connection.execute("SELECT last_seq, last_hash FROM system").fetchone()
    if values is None or tuple(map(type, values)) != (int, bytes):
        raise UnreadableRow("the table of totals cannot be read")
    return Head(*values)


def load_history(connection: sqlite3.Connection) -> History:
    """Return the history as the derived tables have it; its ring is empty.

    Raises ValueError (UnreadableRow is one), KeyError or TypeError when a row cannot be ours.
    """
    query = f"SELECT {', '.join(TOTAL_FIELDS)} FROM system"
    values = connection.execute(query).fetchone()
    if values is None or set(map(type, values)) != {int}:
        raise UnreadableRow("the table of totals cannot be read")
    totals = dict(zip(TOTAL_FIELDS, values, strict=True))
    query = f"SELECT {', '.join(AGENT_FIELDS)} FROM agent ORDER BY agent_id"
    return restore_history(totals, [_agent(row) for row in connection.execute(query)])


def _agent(row: tuple[object, ...]) -> AgentHistory:
    record = dict(zip(AGENT_FIELDS, row, strict=True))
    for name, value in record.items():
        if type(value) not in _AGENT_TYPES[name]:
            raise UnreadableRow(f"agent {row[0]}'s {name} cannot be read")
    for name in _FLAGS:
        record[name] = bool(record[name])
    for name in _LISTS:
        record[name] = json.loads(str(record[name]))
    return agent_from_record(record)
