"""From the stored events to a history: read quickly at start, or folded anew to check and repair.

`load` believes the derived tables and reads only the newest events, for the ring; it checks that
the two belong together. `refold` believes the events alone. `rebuild` writes what refold found into
the derived tables, and is for a journal that nobody writes.
"""

import sqlite3
from pathlib import Path

from supervisord_asm.core.history import RECENT_MAX, History, apply
from supervisord_asm.store.anchor import Anchor, load_anchor
from supervisord_asm.store.chain import Head, Row, row_hash
from supervisord_asm.store.connection import READ_ERRORS, open_writer
from supervisord_asm.store.derived import (
    faults_text,
    load_head,
    load_history,
    save_agents,
    save_totals,
)
from supervisord_asm.store.errors import JournalCorrupt, JournalError
from supervisord_asm.store.lock import WriterLock
from supervisord_asm.store.record import COLUMNS, CONTENT, open_content, open_row, parse_row

_CONTENT = f"SELECT {CONTENT} FROM event WHERE seq > ? ORDER BY seq"
_NEWEST = f"SELECT {COLUMNS} FROM event WHERE seq > ? ORDER BY seq DESC LIMIT ?"


def load(connection: sqlite3.Connection, path: Path) -> tuple[History, Head]:
    """Return the history and the chain's head. Raises JournalCorrupt when they contradict."""
    try:
        anchor = load_anchor(connection)
        head = load_head(connection)
        rows = [parse_row(row) for row in connection.execute(_NEWEST, (anchor.seq, RECENT_MAX))]
        rows.reverse()
        contradiction = _contradiction(anchor, rows, head)
        if contradiction:
            raise JournalCorrupt("load", path, contradiction)
        history = load_history(connection)
        history.recent.extend(map(open_row, rows))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalCorrupt("load", path, str(error)) from error
    return history, head


def _contradiction(anchor: Anchor, rows: list[Row], head: Head) -> str:
    """Say why the newest rows do not form a chain that ends in the head; "" when they do."""
    previous = anchor.head
    if rows and len(rows) == RECENT_MAX:  # there are older ones, which verify looks at
        previous = Head(rows[0].seq - 1, rows[0].prev_hash)
    for row in rows:
        if (row.seq - 1, row.prev_hash) != previous:
            return f"event {row.seq} does not follow event {previous.seq}"
        if row_hash(row) != row.hash:
            return f"event {row.seq} was changed"
        previous = Head(row.seq, row.hash)
    if previous != head:
        return f"the newest event is {previous.seq}, the derived tables know {head.seq}"
    return ""


def refold(connection: sqlite3.Connection) -> tuple[History, Head]:
    """Fold the anchor's base and every event above it; return the result and the last event.

    Raises UnreadableRow, and ValueError, KeyError or TypeError for a base that is none.
    """
    anchor = load_anchor(connection)
    history, seq = anchor.history(), anchor.seq
    for values in connection.execute(_CONTENT, (anchor.seq,)):
        apply(history, open_content(values))
        seq = values[0]
    last = connection.execute("SELECT hash FROM event WHERE seq = ?", (seq,)).fetchone()
    return history, Head(seq, last[0]) if seq > anchor.seq else anchor.head


def rebuild(path: Path, *, group: str = "asm") -> None:
    """Write the derived tables anew from the events. Does not touch the chain.

    Raises JournalLocked while somebody writes the journal, JournalCorrupt when an event cannot be
    read.
    """
    lock = WriterLock(path)
    lock.take()
    try:
        connection = open_writer(path, group, create=False)
        try:
            _rebuild(connection)
        except (ValueError, KeyError, TypeError) as error:
            raise JournalCorrupt("rebuild", path, str(error)) from error
        finally:
            connection.close()
    except READ_ERRORS as error:
        raise JournalError("rebuild", path, str(error)) from error
    finally:
        lock.release()


def _rebuild(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    history, head = refold(connection)
    connection.execute("DELETE FROM agent")
    save_agents(connection, [(agent, faults_text(agent)) for agent in history.agents.values()])
    save_totals(connection, history, head)
    connection.execute("COMMIT")
