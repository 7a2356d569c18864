"""Does the journal still say what was written? Names every place where it does not.

Everything is looked at independently of the writer: the database's own structure, each record's
hash, its link to the one before, that no number is missing, that the newest event is the one the
derived tables know, that the anchor is the one its compaction recorded, and that the derived tables
equal a fold of all events. One wrong thing is one finding: after a bad record the check goes on
from the hash that is stored, so that it does not condemn all that follows.

Sound means: no accident and no edit by somebody who could not compute the hashes anew. `head` is
what to keep elsewhere (a line in another machine's log): given back as `expected`, it also proves
that nothing up to it was cut off or rewritten since. docs/journal.md says more.
"""

import enum
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from supervisord_asm.core.agent_history import AGENT_FIELDS
from supervisord_asm.core.canonical import CanonicalError, canonical_json
from supervisord_asm.core.events import EventType
from supervisord_asm.core.history import History, apply
from supervisord_asm.core.history_record import TOTAL_FIELDS
from supervisord_asm.store.anchor import UNCOMPACTED, load_anchor
from supervisord_asm.store.chain import EMPTY, Head, Row, row_hash
from supervisord_asm.store.connection import READ_ERRORS, open_reader
from supervisord_asm.store.derived import load_head, load_history
from supervisord_asm.store.errors import JournalError, UnreadableRow
from supervisord_asm.store.record import COLUMNS, open_row, parse_row

# Enough to see the extent of the damage; a file of zeros would fill the memory with findings.
FINDINGS_MAX = 100
UNKNOWN = b""  # the hash of a record that cannot be read: whatever follows it may
_ROWS = f"SELECT {COLUMNS} FROM event WHERE seq > ? ORDER BY seq"


class FindingKind(enum.StrEnum):
    """What can be wrong."""

    DAMAGED = "damaged"  # SQLite cannot read the file, or not all of it
    CHANGED = "changed"  # a record's content is not what its hash says
    MOVED = "moved"  # neither its hash nor its link fit: it stood elsewhere, or was inserted
    UNLINKED = "unlinked"  # it holds on to another predecessor than the one before it
    MISSING = "missing"  # numbers that should be there
    UNREADABLE = "unreadable"  # the hash is right and the content is no event
    ANCHOR = "anchor"  # the beginning is not what the compaction recorded
    DERIVED = "derived"  # a derived table says something else than the events
    HEAD = "head"  # not the head that was kept elsewhere


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (event or agent, if it is one) and what."""

    kind: FindingKind
    text: str
    seq: int | None = None
    agent_id: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was looked at, and what was found; `findings_total` counts also those not kept."""

    path: Path
    anchor_seq: int
    events_checked: int
    head: Head
    findings: tuple[Finding, ...]
    findings_total: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.findings_total == 0


def verify(path: Path, expected: Head | None = None) -> VerifyReport:
    """Check the journal as it stands, also while it is written. Takes some 10 us per event.

    Raises JournalError, NotAJournal, JournalTooNew when there is nothing to check.
    """
    connection = open_reader(path)
    # Text that is no UTF-8 any more must reach the hash check, which names its record.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    check = _Check(expected)
    try:
        connection.execute("BEGIN")  # one snapshot for all that follows
        check.structure(connection)
        check.chain(connection)
        check.derived(connection)
    except READ_ERRORS as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise JournalError("verify", path, str(error)) from error
        check.find(FindingKind.DAMAGED, f"the database cannot be read further: {error}")
    finally:
        connection.close()
    return VerifyReport(
        path, check.anchor.seq, check.events_checked, check.head, tuple(check.findings),
        check.findings_total,
    )  # fmt: skip


class _Check:
    """One run over one journal."""

    def __init__(self, expected: Head | None) -> None:
        self.expected = expected
        self.findings: list[Finding] = []
        self.findings_total = 0
        self.events_checked = 0
        self.anchor = UNCOMPACTED
        self.head = EMPTY
        self.history: History | None = None  # None: the fold had to be given up

    def find(
        self, kind: FindingKind, text: str, seq: int | None = None, agent_id: int | None = None
    ) -> None:
        self.findings_total += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(kind, text, seq, agent_id))

    def structure(self, connection: sqlite3.Connection) -> None:
        """Let SQLite look at its pages."""
        for (line,) in connection.execute(f"PRAGMA integrity_check({FINDINGS_MAX})"):
            if line != "ok":
                self.find(FindingKind.DAMAGED, f"the database is damaged: {line}")

    def chain(self, connection: sqlite3.Connection) -> None:
        """Walk all events: links, hashes, the fold."""
        try:
            self.anchor = load_anchor(connection)
            self.head = self.anchor.head
            self.history = self.anchor.history()
        except (ValueError, KeyError, TypeError) as error:
            self.find(FindingKind.ANCHOR, f"the anchor or its base cannot be read: {error!r}")
        is_anchored = self.anchor == UNCOMPACTED
        for values in connection.execute(_ROWS, (self.anchor.seq,)):
            self.events_checked += 1
            try:
                row = parse_row(values)
            except UnreadableRow as error:
                self.find(FindingKind.CHANGED, str(error), values[0])
                self.history = None
                self.head = Head(values[0], UNKNOWN)
                continue
            self._link(row)
            if row.type == EventType.COMPACTION:
                is_anchored = is_anchored or self._names_anchor(row)
            self._fold(row)
            self.head = Head(row.seq, row.hash)
        if not is_anchored:
            text = f"no compaction in the chain made this anchor at event {self.anchor.seq}"
            self.find(FindingKind.ANCHOR, text, self.anchor.seq)

    def _link(self, row: Row) -> None:
        expected = self.expected
        if row.seq != self.head.seq + 1:
            first, last = self.head.seq + 1, row.seq - 1
            which = f"event {first} is" if first == last else f"events {first} to {last} are"
            self.find(FindingKind.MISSING, f"{which} missing", first)
        is_after_gap = row.seq != self.head.seq + 1 or self.head.hash == UNKNOWN
        follows = is_after_gap or row.prev_hash == self.head.hash
        if row_hash(row) != row.hash:
            kind = FindingKind.CHANGED if follows else FindingKind.MOVED
            self.find(kind, f"event {row.seq} was {kind} after it was written", row.seq)
        elif not follows:
            text = f"event {row.seq} does not follow the event {self.head.seq} that is there"
            self.find(FindingKind.UNLINKED, text, row.seq)
        if expected is not None and row.seq == expected.seq and row.hash != expected.hash:
            text = f"event {row.seq} is not the one whose hash was kept elsewhere"
            self.find(FindingKind.HEAD, text, row.seq)

    def _names_anchor(self, row: Row) -> bool:
        try:
            data = open_row(row).data
        except UnreadableRow:
            return False  # _fold says so
        named = (data.get("through_seq"), data.get("hash"), data.get("base"))
        return named == (self.anchor.seq, self.anchor.hash.hex(), self.anchor.base_digest)

    def _fold(self, row: Row) -> None:
        try:
            event = open_row(row)
            if canonical_json(event.data) != row.data:
                raise UnreadableRow(f"the data of event {row.seq} is not in canonical form")
        except (UnreadableRow, CanonicalError) as error:
            self.find(FindingKind.UNREADABLE, str(error), row.seq)
            return
        if self.history is not None:
            apply(self.history, event)

    def derived(self, connection: sqlite3.Connection) -> None:
        """Compare the derived tables with the fold, and the end with what they know of it."""
        try:
            known = load_head(connection)
        except UnreadableRow as error:
            self.find(FindingKind.DERIVED, str(error))
            return
        if known.seq > self.head.seq:
            text = f"events {self.head.seq + 1} to {known.seq} are missing at the end"
            self.find(FindingKind.MISSING, text, self.head.seq + 1)
        elif known != self.head:
            text = f"the derived tables end with event {known.seq}, the chain with {self.head.seq}"
            self.find(FindingKind.DERIVED, text, known.seq)
        if self.expected is not None and self.expected.seq > self.head.seq:
            text = f"the head kept elsewhere is event {self.expected.seq}, which is missing"
            self.find(FindingKind.HEAD, text, self.expected.seq)
        if self.history is None:
            return
        try:
            stored = load_history(connection)
        except (ValueError, KeyError, TypeError) as error:
            self.find(FindingKind.DERIVED, f"the derived tables cannot be read: {error!r}")
            return
        self._compare(stored, self.history)

    def _compare(self, stored: History, folded: History) -> None:
        for name in TOTAL_FIELDS:
            self._differ(name, getattr(stored, name), getattr(folded, name), None)
        for agent_id in sorted(stored.agents.keys() | folded.agents.keys()):
            row, truth = stored.agents.get(agent_id), folded.agents.get(agent_id)
            if row is None or truth is None:
                text = "has a row and no event" if truth is None else "has events and no row"
                self.find(FindingKind.DERIVED, f"agent {agent_id} {text}", agent_id=agent_id)
                continue
            for name in AGENT_FIELDS:
                self._differ(name, getattr(row, name), getattr(truth, name), agent_id)

    def _differ(self, name: str, stored: object, folded: object, agent_id: int | None) -> None:
        if stored == folded:
            return
        whose = "the system's" if agent_id is None else f"agent {agent_id}'s"
        text = f"{whose} {name} is stored as {stored!r}, the events say {folded!r}"
        self.find(FindingKind.DERIVED, text, agent_id=agent_id)
