"""The database's tables, its version, and the way from an older version to this one.

Tables. `event` is the record: append-only, guarded against accidents by triggers (updates never,
deletes only below the anchor). `agent` and `system` are derived: core/history.py's fold of the
events, written in the same transaction, rebuildable (store/replay.py). `anchor` says where the
chain begins after a compaction, and what had been folded up to there. `meta` holds the version.

A migration from version n to n+1 is one function; all that are needed run in one transaction, so a
crash leaves the old version or the new one. They may change derived tables at will and must never
touch what is hashed. A version above ours is refused (JournalTooNew).
"""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from supervisord_asm.core.agent_history import AGENT_FIELDS
from supervisord_asm.core.history import RETIRED_BATCH, RETIRED_MAX, History
from supervisord_asm.core.history_record import TOTAL_FIELDS
from supervisord_asm.store.anchor import UNCOMPACTED
from supervisord_asm.store.chain import GENESIS
from supervisord_asm.store.errors import JournalTooNew, NotAJournal

SCHEMA_VERSION = 3
APPLICATION_ID = 0x41534D4A  # "ASMJ": file(1) and we tell our database from another

TEXT_FIELDS = {
    "name", "state", "last_exit_cause", "boot_id", "counters", "run_base", "recent_faults",
}  # fmt: skip
NULLABLE_FIELDS = {
    "retired_realtime_ns", "last_spawn_us", "last_spawn_realtime_ns", "last_exit_us",
    "last_exit_realtime_ns", "last_exit_code", "last_exit_signal", "last_exit_cause",
    "last_exit_run", "pid", "start_time_ticks", "cgroup_id", "cpu_time_us", "syscall_count",
    "peak_memory_bytes",
}  # fmt: skip


def _column(name: str) -> str:
    kind = "TEXT" if name in TEXT_FIELDS else "INTEGER"
    key = " PRIMARY KEY" if name == "agent_id" else ""
    return f"{name} {kind}{key}{'' if name in NULLABLE_FIELDS else ' NOT NULL'}"


_AGENT_TABLE = f"CREATE TABLE agent ({', '.join(map(_column, AGENT_FIELDS))}) STRICT;"
_TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    timestamp_us INTEGER NOT NULL,
    realtime_ns INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    base TEXT NOT NULL
) STRICT;
{_AGENT_TABLE}
CREATE TABLE system (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    {", ".join(f"{name} INTEGER NOT NULL" for name in TOTAL_FIELDS)},
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER event_never_changes BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_stays_above_anchor BEFORE DELETE ON event
WHEN OLD.seq > (SELECT seq FROM anchor)
BEGIN SELECT RAISE(ABORT, 'events above the anchor are kept'); END;
"""


def _add_counters(connection: sqlite3.Connection) -> None:
    """Give the agents' rows their counters. No event of version 1 has any, so they are empty."""
    old = ", ".join(name for name in AGENT_FIELDS if name not in ("counters", "run_base"))
    connection.execute("ALTER TABLE agent RENAME TO agent_1")
    connection.execute(_AGENT_TABLE)
    connection.execute(
        f"INSERT INTO agent (counters, run_base, {old}) SELECT '[]', '[]', {old} FROM agent_1"
    )
    connection.execute("DROP TABLE agent_1")


def _bound_retired(connection: sqlite3.Connection) -> None:
    """Drop the rows that the fold drops now, and keep what they add to the sum of syscalls."""
    connection.execute(
        "ALTER TABLE system ADD COLUMN syscalls_forgotten INTEGER NOT NULL DEFAULT 0"
    )
    (count,) = connection.execute("SELECT count(*) FROM agent WHERE retired").fetchone()
    while count > RETIRED_MAX:
        oldest = (
            "(SELECT agent_id FROM agent WHERE retired"
            f" ORDER BY retired_realtime_ns, agent_id LIMIT {RETIRED_BATCH})"
        )
        connection.execute(
            "UPDATE system SET syscalls_forgotten = syscalls_forgotten + (SELECT"
            f" coalesce(sum(syscall_count), 0) FROM agent WHERE agent_id IN {oldest})"
        )
        connection.execute(f"DELETE FROM agent WHERE agent_id IN {oldest}")
        count -= RETIRED_BATCH


Migrations = Mapping[int, Callable[[sqlite3.Connection], None]]
# From version n to n+1. Version 1 is the first.
MIGRATIONS: Migrations = {1: _add_counters, 2: _bound_retired}


def prepare_schema(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Migrations = MIGRATIONS,
    version: int = SCHEMA_VERSION,
) -> None:
    """Make the tables in an empty database, or bring an older one forward; all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(connection):
            _create(connection)
        for step in range(read_version(connection, path, version), version):
            migrations[step](connection)
            number = (str(step + 1),)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", number)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise


def read_version(
    connection: sqlite3.Connection, path: Path, supported: int = SCHEMA_VERSION
) -> int:
    """Return the schema version. Raises NotAJournal, or JournalTooNew above `supported`."""
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        row = None
        if application_id == APPLICATION_ID:
            query = "SELECT value FROM meta WHERE key = 'schema_version'"
            row = connection.execute(query).fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            raise
        raise NotAJournal("open", path, "it is no SQLite database") from error
    if row is None or not row[0].isdecimal():
        raise NotAJournal("open", path, "it is a database of something else")
    found = int(row[0])
    if found > supported:
        raise JournalTooNew("open", path, found, supported)
    return found


def _is_empty(connection: sqlite3.Connection) -> bool:
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(objects == 0)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _statements(_TABLES):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    version = (str(SCHEMA_VERSION),)
    connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", version)
    anchor = (UNCOMPACTED.seq, UNCOMPACTED.hash, UNCOMPACTED.base)
    connection.execute("INSERT INTO anchor VALUES (1, ?, ?, ?)", anchor)
    totals = [getattr(History(), name) for name in TOTAL_FIELDS]
    places = ", ".join("?" * (len(totals) + 3))
    connection.execute(f"INSERT INTO system VALUES ({places})", (1, *totals, 0, GENESIS))


def _statements(script: str) -> list[str]:
    """Split a script: executescript would commit the transaction that it runs in."""
    statements, part = [], ""
    for line in script.splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements
