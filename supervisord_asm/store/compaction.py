"""Retention: letting go of old events without letting go of the proof.

A compaction removes the events up to one number and keeps what they added up to. It has two halves:

1. The plan, made beside the running writer: find the newest event to remove, fold everything up to
   it into a base, take its hash. This reads the journal and may take seconds.
2. Its event, `compaction`, appended like any other. In the transaction that makes it durable the
   anchor moves to the plan's event. From that instant the record begins behind the anchor; deleting
   the rows below it is housekeeping, done little by little and taken up again after a crash.

The event names the anchor's number and hash and the digest of the base. It lies above the anchor,
in the chain that is kept, so verify can hold the anchor against it. What the removed events said
can no longer be proven, only what they added up to.

The ring's events are never removed, nor the compaction's own event by itself: it goes with the next
compaction that passes it.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from supervisord_asm.core.canonical import canonical_json
from supervisord_asm.core.events import Scalar
from supervisord_asm.core.history import RECENT_MAX, apply
from supervisord_asm.core.history_record import history_to_record
from supervisord_asm.store.anchor import Anchor, load_anchor
from supervisord_asm.store.connection import READ_ERRORS, open_reader
from supervisord_asm.store.errors import JournalCorrupt, JournalError, UnreadableRow
from supervisord_asm.store.record import COLUMNS, open_row, parse_row

# Rows folded per read transaction: a longer one would keep the write-ahead log from being reused.
_CHUNK_ROWS = 10_000
_ROWS = f"SELECT {COLUMNS} FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {_CHUNK_ROWS}"


@dataclass(frozen=True, slots=True)
class Compaction:
    """What will be removed: all events up to anchor.seq. Carried out by Journal.compact."""

    anchor: Anchor
    before_realtime_ns: int

    @property
    def data(self) -> dict[str, Scalar]:
        """Return what the compaction's event must say."""
        return {
            "through_seq": self.anchor.seq,
            "hash": self.anchor.hash.hex(),
            "base": self.anchor.base_digest,
            "before_realtime_ns": self.before_realtime_ns,
        }


def plan_compaction(path: Path, before_realtime_ns: int) -> Compaction | None:
    """Return the removal of the events before the instant; None when there is nothing to remove.

    The wall clock may have stepped: events are removed from the oldest on, up to the first that is
    not older than the instant. Raises JournalError, JournalCorrupt.
    """
    connection = open_reader(path)
    try:
        anchor = load_anchor(connection)
        through_seq = _last_removable(connection, anchor, before_realtime_ns)
        if through_seq <= anchor.seq:
            return None
        return Compaction(_fold(connection, anchor, through_seq), before_realtime_ns)
    except (ValueError, KeyError, TypeError) as error:  # a row, or the base of the anchor
        raise JournalCorrupt("compact", path, str(error)) from error
    except READ_ERRORS as error:
        raise JournalError("compact", path, str(error)) from error
    finally:
        connection.close()


def _last_removable(connection: sqlite3.Connection, anchor: Anchor, before_realtime_ns: int) -> int:
    (newest,) = connection.execute("SELECT max(seq) FROM event").fetchone()
    query = "SELECT seq FROM event WHERE seq > ? AND realtime_ns >= ? ORDER BY seq LIMIT 1"
    kept = connection.execute(query, (anchor.seq, before_realtime_ns)).fetchone()
    ring = (newest or 0) - RECENT_MAX
    return ring if kept is None else min(ring, int(kept[0]) - 1)


def _fold(connection: sqlite3.Connection, anchor: Anchor, through_seq: int) -> Anchor:
    history = anchor.history()
    seq, digest = anchor.head
    while seq < through_seq:
        rows = connection.execute(_ROWS, (seq, through_seq)).fetchall()
        if not rows:
            raise UnreadableRow(f"event {seq + 1} is missing")
        for row in map(parse_row, rows):
            apply(history, open_row(row))
            seq, digest = row.seq, row.hash
    return Anchor(through_seq, digest, canonical_json(history_to_record(history)))
