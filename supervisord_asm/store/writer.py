"""One transaction after another: sealed events, what is derived from them, the anchor, a COMMIT.

The Writer owns the connection and knows the chain's head and its own copy of the history. It has no
thread and no queue (store/journal.py has), and it never waits or retries.

Theory. `seal` folds a batch and gives each event its number and hash, once; `commit` writes the
sealed batch and can be called again after a failure, as often as it takes, since it only writes
what is in memory. `reopen` makes a failed connection anew and finds out what became of the batch: a
COMMIT that reported an error may still have reached the disk, and then its frames are recovered
and the batch must not be written twice.

Invariant: at most one sealed batch is not committed, and nothing is sealed after it.

Failpoints: `reached` is called with each name in FAILPOINTS as the writer passes it. In the daemon
it does nothing; a test ends the process there.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from supervisord_asm.core.agent_history import AgentHistory
from supervisord_asm.core.events import Event
from supervisord_asm.core.history import History, apply
from supervisord_asm.store.anchor import Anchor, save_anchor
from supervisord_asm.store.bulk import BulkInsert
from supervisord_asm.store.chain import Head, Row
from supervisord_asm.store.connection import open_writer
from supervisord_asm.store.derived import (
    delete_agents,
    faults_text,
    load_head,
    save_agents,
    save_totals,
)
from supervisord_asm.store.errors import JournalCorrupt, JournalError
from supervisord_asm.store.lock import WriterLock
from supervisord_asm.store.record import seal

FAILPOINTS = ("before begin", "after insert", "before commit", "after commit")

_INSERT = BulkInsert("INSERT INTO event", len(Row._fields))

# 4 MiB of write-ahead log, SQLite's own default: then its pages go into the database.
CHECKPOINT_FRAMES = 1_024
# What a commit writes beside events: the last pages of three tables and the free room in them.
_FRAMES_PER_COMMIT = 4
_EVENTS_PER_FRAME = 8  # rows of 300 to 500 bytes on pages of 4 KiB
# Deleted at once: one transaction of a few milliseconds, between two batches.
SWEEP_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch as it will be written."""

    rows: tuple[Row, ...]
    changed: frozenset[int]
    anchor: Anchor | None
    head: Head


class Writer:
    """The connection, the head, the fold."""

    def __init__(
        self,
        path: Path,
        group: str,
        lock: WriterLock,
        connection: sqlite3.Connection,
        history: History,
        head: Head,
        reached: Callable[[str], None],
    ) -> None:
        self._path = path
        self._group = group
        self._lock = lock
        self._connection = connection
        self._history = history
        self._history.changed.clear()
        self.head = head  # of what is committed
        self._reached = reached
        self._is_connected = True
        self._frames = 0  # written since the last checkpoint, estimated from above
        # Agent id -> its fault_count and newest fault when its faults_text was made, and the text.
        self._faults: dict[int, tuple[int, Event, str]] = {}

    def seal(self, events: Sequence[tuple[Event, str]], anchor: Anchor | None = None) -> Sealed:
        """Fold events, each with its data_text, and chain them behind the head."""
        rows = []
        head = self.head
        for event, data in events:
            row = seal(head, event, data)
            apply(self._history, event)
            head = Head(row.seq, row.hash)
            rows.append(row)
        changed = frozenset(self._history.changed)
        self._history.changed.clear()
        return Sealed(tuple(rows), changed, anchor, head)

    def commit(self, sealed: Sealed) -> None:
        """Write the batch; returns when it is on the disk. Raises sqlite3.Error."""
        connection = self._connection
        self._reached("before begin")
        connection.execute("BEGIN IMMEDIATE")
        _INSERT.run(connection, sealed.rows)
        self._reached("after insert")
        self._save_derived(sealed)
        if sealed.anchor is not None:
            save_anchor(connection, sealed.anchor)
        self._reached("before commit")
        connection.execute("COMMIT")
        self._reached("after commit")
        self._committed(sealed)

    def roll_back(self) -> None:
        """Undo a failed commit as far as SQLite has not; after it, commit may be called again."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._is_connected = False  # not even that: only a new connection helps

    def needs_reopening(self, error: Exception) -> bool:
        """Whether the connection should not be used again after this error.

        A full disk leaves it sound; and a new one would need room of its own.
        """
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return not (is_full and self._is_connected)

    def reopen(self, pending: Sealed | None) -> bool:
        """Connect anew after a failure; return whether `pending` turned out to be written.

        Raises sqlite3.Error or JournalError when it still cannot be opened, JournalCorrupt when it
        ends neither where we left it nor where `pending` would.
        """
        self._is_connected = False
        # Hold nothing open meanwhile: a broken file system can be unmounted only then.
        self._connection.close()
        self._lock.release()
        if not self._path.exists():
            raise JournalError("reopen", self._path, "it is not there")
        self._lock.take()
        # Opening also moves recovered frames into the database, with an fsync of its own: those
        # that a failed fsync left in the page cache are safe only then.
        self._connection = open_writer(self._path, self._group, create=False)
        self._is_connected = True
        self._frames = 0
        found = load_head(self._connection)
        if found == self.head:
            return False
        if pending is not None and found == pending.head:
            self._committed(pending)
            return True
        reason = f"it ends with event {found.seq}, we wrote up to event {self.head.seq}"
        raise JournalCorrupt("reopen", self._path, reason)

    def is_checkpoint_due(self, *, idle: bool) -> bool:
        """Whether the write-ahead log should be emptied: earlier when nobody waits."""
        return self._frames >= (CHECKPOINT_FRAMES if idle else 2 * CHECKPOINT_FRAMES)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, as far as readers allow."""
        # Also when it fails (no room for the pages): the log has grown once more before the next.
        self._frames = 0
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def sweep(self) -> bool:
        """Delete some events below the anchor; return whether more are left."""
        connection = self._connection
        (anchor_seq,) = connection.execute("SELECT seq FROM anchor").fetchone()
        (lowest,) = connection.execute("SELECT min(seq) FROM event").fetchone()
        if lowest is None or lowest > anchor_seq:
            return False
        last = min(anchor_seq, lowest + SWEEP_ROWS - 1)
        connection.execute("DELETE FROM event WHERE seq <= ?", (last,))
        self._frames += SWEEP_ROWS // _EVENTS_PER_FRAME
        return bool(last < anchor_seq)

    def close(self) -> None:
        """Let go of everything; SQLite empties the write-ahead log as the last one out."""
        self._connection.close()
        self._lock.release()

    def _save_derived(self, sealed: Sealed) -> None:
        agents = self._history.agents
        kept = [agents[one] for one in sealed.changed if one in agents]
        save_agents(self._connection, [(agent, self._faults_text(agent)) for agent in kept])
        if len(kept) < len(sealed.changed):
            gone = [one for one in sealed.changed if one not in agents]
            delete_agents(self._connection, gone)
            for agent_id in gone:
                self._faults.pop(agent_id, None)
        save_totals(self._connection, self._history, sealed.head)

    def _faults_text(self, agent: AgentHistory) -> str:
        """Return the column of an agent's faults, made anew only after another fault."""
        if not agent.recent_faults:
            return "[]"
        newest = agent.recent_faults[-1]
        known = self._faults.get(agent.agent_id)
        if known is not None and known[0] == agent.fault_count and known[1] is newest:
            return known[2]
        text = faults_text(agent)
        self._faults[agent.agent_id] = (agent.fault_count, newest, text)
        return text

    def _committed(self, sealed: Sealed) -> None:
        self.head = sealed.head
        self._frames += _FRAMES_PER_COMMIT + len(sealed.rows) // _EVENTS_PER_FRAME
        self._frames += len(sealed.changed)
