"""Where the chain begins: the last event that a compaction removed, and what was folded up to it.

A journal that was never compacted has the anchor (0, GENESIS) and an empty base. After a compaction
the anchor is the record's root: verification starts from its hash, replay from its base, and the
compaction's own event, which lies in the chain above, names both, so that neither can be exchanged
without breaking the chain.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass

from supervisord_asm.core.canonical import canonical_json
from supervisord_asm.core.history import History
from supervisord_asm.core.history_record import history_from_record, history_to_record
from supervisord_asm.store.chain import GENESIS, Head
from supervisord_asm.store.errors import UnreadableRow


@dataclass(frozen=True, slots=True)
class Anchor:
    """`seq` and `hash` of the newest removed event; `base` is the folded history as JSON."""

    seq: int
    hash: bytes
    base: str

    @property
    def head(self) -> Head:
        """Return what the first kept event holds on to."""
        return Head(self.seq, self.hash)

    @property
    def base_digest(self) -> str:
        """Return the SHA-256 of the base, as the compaction's event has it."""
        return hashlib.sha256(self.base.encode()).hexdigest()

    def history(self) -> History:
        """Return the base as a history. Raises ValueError, KeyError or TypeError."""
        return history_from_record(json.loads(self.base))


UNCOMPACTED = Anchor(0, GENESIS, canonical_json(history_to_record(History())))


def load_anchor(connection: sqlite3.Connection) -> Anchor:
    """Read the anchor. Raises UnreadableRow."""
    values = connection.execute("SELECT seq, hash, base FROM anchor").fetchone()
    if values is None or tuple(map(type, values)) != (int, bytes, str):
        raise UnreadableRow("the anchor cannot be read")
    return Anchor(*values)


def save_anchor(connection: sqlite3.Connection, anchor: Anchor) -> None:
    """Replace the anchor; from here on the events up to it may be deleted."""
    values = (anchor.seq, anchor.hash, anchor.base)
    connection.execute("UPDATE anchor SET seq = ?, hash = ?, base = ?", values)
