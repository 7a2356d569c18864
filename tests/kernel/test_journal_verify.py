"""A journal that was tampered with or damaged: verify names the place, each time.

One journal is written per test, then somebody with an SQL shell or a hex editor gets at it. The
last tests show what a plain hash chain cannot show, so that nobody promises it.
"""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.history import apply
from supervisord_asm.store.chain import Row, row_hash
from supervisord_asm.store.errors import JournalCorrupt, JournalError, NotAJournal
from supervisord_asm.store.journal import read, rebuild, verify
from supervisord_asm.store.record import COLUMNS
from supervisord_asm.store.verify import FINDINGS_MAX, FindingKind, VerifyReport
from tests.kernel.journal_rig import opened
from tests.kernel.journal_writer import numbered

EVENTS = 30
FLIPS = settings().max_examples * 3 // 2  # 150, or 3,000 in the long profile
Tamper = Callable[[sqlite3.Connection], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append([numbered(number) for number in range(1, EVENTS + 1)])
    assert journal.close() == 0
    assert verify(path).is_sound
    return path


@pytest.fixture
def compacted(tmp_path: Path) -> Path:
    """Events 1 to 76 are gone, 77 to 1,101 are there; the last is the compaction."""
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append([numbered(number) for number in range(1, 1_101)])
    assert journal.close() == 0
    journal = opened(path)
    plan = journal.plan_compaction(1 << 60)
    assert plan is not None
    journal.compact(plan, Event(EventType.COMPACTION, 0, 1, 1, plan.data))
    assert journal.close() == 0
    report = verify(path)
    assert report.is_sound
    assert (report.anchor_seq, report.events_checked) == (76, 1_025)
    return path


def tampered(path: Path, tamper: Tamper) -> VerifyReport:
    connection = sqlite3.connect(path, isolation_level=None)
    for trigger in ("event_never_changes", "event_stays_above_anchor"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("BEGIN")
    tamper(connection)
    connection.execute("COMMIT")
    connection.close()
    return verify(path)


def sql(statement: str, *values: object) -> Tamper:
    def tamper(connection: sqlite3.Connection) -> None:
        assert connection.execute(statement, values).rowcount != 0, "it changed nothing"

    return tamper


def resealed(first: int) -> Tamper:
    """Compute all hashes anew from event `first` on, as somebody who knows the format can."""

    def tamper(connection: sqlite3.Connection) -> None:
        query = "SELECT hash FROM event WHERE seq = ?"
        found = connection.execute(query, (first - 1,)).fetchone()
        previous = found[0] if found else bytes(32)
        for values in connection.execute(
            f"SELECT {COLUMNS} FROM event WHERE seq >= ? ORDER BY seq", (first,)
        ).fetchall():
            row = Row(*values)._replace(prev_hash=previous)
            previous = row_hash(row)
            statement = "UPDATE event SET prev_hash = ?, hash = ? WHERE seq = ?"
            connection.execute(statement, (row.prev_hash, previous, row.seq))

    return tamper


def both(*tampers: Tamper) -> Tamper:
    def tamper(connection: sqlite3.Connection) -> None:
        for one in tampers:
            one(connection)

    return tamper


def swap(one: int, other: int) -> Tamper:
    return both(
        sql("UPDATE event SET seq = -1 WHERE seq = ?", one),
        sql("UPDATE event SET seq = ? WHERE seq = ?", one, other),
        sql("UPDATE event SET seq = ? WHERE seq = -1", other),
    )


def duplicate(seq: int, to: int) -> Tamper:
    rest = COLUMNS.removeprefix("seq, ")
    return sql(f"INSERT INTO event SELECT ?, {rest} FROM event WHERE seq = ?", to, seq)


EVENT_TAMPERS = [
    (sql("UPDATE event SET data = '{\"number\":18}' WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET data = CAST(X'7BFF7D' AS TEXT) WHERE seq = 17"), "changed", 17),
    (sql("UPDATE event SET type = 'note' WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET agent_id = 5 WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET timestamp_us = 5 WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET realtime_ns = 5 WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET boot_id = 'x' WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET hash = zeroblob(32) WHERE seq = 17"), FindingKind.CHANGED, 17),
    (sql("UPDATE event SET prev_hash = zeroblob(32) WHERE seq = 17"), FindingKind.MOVED, 17),
    (sql("UPDATE event SET data = '{}' WHERE seq = 30"), FindingKind.CHANGED, 30),
    (sql("DELETE FROM event WHERE seq = 17"), FindingKind.MISSING, 17),
    (sql("DELETE FROM event WHERE seq BETWEEN 17 AND 19"), FindingKind.MISSING, 17),
    (sql("DELETE FROM event WHERE seq = 1"), FindingKind.MISSING, 1),
    (sql("DELETE FROM event WHERE seq >= 28"), FindingKind.MISSING, 28),
    (sql("DELETE FROM event"), FindingKind.MISSING, 1),
    (swap(17, 18), FindingKind.MOVED, 17),
    (swap(17, 18), FindingKind.MOVED, 18),
    (swap(5, 25), FindingKind.MOVED, 25),
    (duplicate(17, 31), FindingKind.MOVED, 31),
    # The edit's own hash is right again, the next one's link is not.
    (
        both(
            sql("UPDATE event SET data = '{}' WHERE seq = 17"),
            lambda connection: resealed_alone(connection, 17),
        ),
        FindingKind.UNLINKED,
        18,
    ),
    # A chain that is right throughout, with content that nobody can read.
    (
        both(sql("UPDATE event SET type = 'hibernate' WHERE seq = 17"), resealed(17)),
        FindingKind.UNREADABLE,
        17,
    ),
    (
        both(sql("UPDATE event SET data = '{ }' WHERE seq = 17"), resealed(17)),
        FindingKind.UNREADABLE,
        17,
    ),
    # And with content that is plausible: the derived tables know another end.
    (
        both(sql("UPDATE event SET data = '{\"number\":5}' WHERE seq = 17"), resealed(17)),
        FindingKind.DERIVED,
        30,
    ),
    # The anchor of a journal that was never compacted is known.
    (sql("UPDATE anchor SET hash = ?", b"\1" * 32), FindingKind.UNLINKED, 1),
    (sql("UPDATE anchor SET base = replace(base, 'spawns\":0', 'spawns\":9')"), "anchor", 0),
    (sql("UPDATE anchor SET base = '[]'"), FindingKind.ANCHOR, 0),
]


def resealed_alone(connection: sqlite3.Connection, seq: int) -> None:
    values = connection.execute(f"SELECT {COLUMNS} FROM event WHERE seq = ?", (seq,)).fetchone()
    connection.execute("UPDATE event SET hash = ? WHERE seq = ?", (row_hash(Row(*values)), seq))


@pytest.mark.parametrize(("tamper", "kind", "seq"), EVENT_TAMPERS)
def test_the_record_that_was_tampered_with_is_named(
    path: Path, tamper: Tamper, kind: str, seq: int
) -> None:
    report = tampered(path, tamper)
    assert (kind, seq) in [(finding.kind, finding.seq) for finding in report.findings]
    assert not report.is_sound


def test_one_edit_is_one_finding(path: Path) -> None:
    report = tampered(path, sql("UPDATE event SET data = '{\"number\":5}' WHERE seq = 17"))
    assert [finding.kind for finding in report.findings] == [FindingKind.CHANGED]
    assert report.findings[0].text == "event 17 was changed after it was written"
    assert report.events_checked == EVENTS


def test_missing_events_are_named_from_first_to_last(path: Path) -> None:
    report = tampered(path, sql("DELETE FROM event WHERE seq BETWEEN 17 AND 19"))
    assert report.findings[0].text == "events 17 to 19 are missing"


DERIVED_TAMPERS = [
    ("UPDATE agent SET crash_count = 77 WHERE agent_id = 1003", "agent 1003's crash_count", 1003),
    ("UPDATE agent SET state = 'stopped' WHERE agent_id = 1003", "agent 1003's state", 1003),
    ("UPDATE agent SET recent_faults = '[]' WHERE agent_id = 1003", "recent_faults", 1003),
    ("UPDATE agent SET alive = 1 - alive WHERE agent_id = 1003", "agent 1003's alive", 1003),
    ("DELETE FROM agent WHERE agent_id = 1003", "agent 1003 has events and no row", 1003),
    ("UPDATE agent SET agent_id = 5 WHERE agent_id = 1003", "agent 5 has a row and no event", 5),
    ("UPDATE agent SET recent_faults = '{' WHERE agent_id = 1003", "cannot be read", None),
    ("UPDATE system SET total_crashes = 0", "the system's total_crashes", None),
    ("UPDATE system SET next_agent_id = 1000", "the system's next_agent_id", None),
    ("UPDATE system SET last_hash = zeroblob(32)", "end with event 30", None),
]


@pytest.mark.parametrize(("statement", "words", "agent_id"), DERIVED_TAMPERS)
def test_the_derived_figure_that_was_edited_is_named_and_can_be_rebuilt(
    path: Path, statement: str, words: str, agent_id: int | None
) -> None:
    report = tampered(path, sql(statement))
    assert {finding.kind for finding in report.findings} == {FindingKind.DERIVED}
    assert any(words in finding.text for finding in report.findings)
    assert agent_id in [finding.agent_id for finding in report.findings]
    rebuild(path)
    assert verify(path).is_sound


ANCHOR_TAMPERS = [
    sql("UPDATE anchor SET base = replace(base, '\"spawn_count\":1', '\"spawn_count\":0')"),
    sql("UPDATE anchor SET hash = zeroblob(32)"),
    # Somebody lets 24 more events disappear and moves the anchor to cover it.
    both(
        sql("UPDATE anchor SET seq = 100, hash = (SELECT hash FROM event WHERE seq = 100)"),
        sql("DELETE FROM event WHERE seq <= 100"),
    ),
]


@pytest.mark.parametrize("tamper", ANCHOR_TAMPERS)
def test_an_anchor_that_no_compaction_made_is_named(compacted: Path, tamper: Tamper) -> None:
    report = tampered(compacted, tamper)
    assert FindingKind.ANCHOR in {finding.kind for finding in report.findings}


def test_findings_are_bounded_and_counted(path: Path) -> None:
    journal = opened(path)
    journal.append([numbered(number) for number in range(EVENTS + 1, 501)])
    journal.close()
    report = tampered(path, sql("UPDATE event SET data = '{}' WHERE seq > 100"))
    assert len(report.findings) == FINDINGS_MAX
    assert report.findings_total >= 400


# -- The file itself.


def test_a_flipped_byte_in_a_record_is_named(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b'{"number":17}' if b'{"number":17}' in content else b'"number":17')
    content[place + len(b'"number":1')] ^= 0x40
    path.write_bytes(content)
    report = verify(path)
    assert FindingKind.CHANGED in {finding.kind for finding in report.findings}
    assert [finding.seq for finding in report.findings if finding.kind == "changed"] == [17]


def test_no_flipped_byte_goes_unnoticed_where_it_changes_anything(path: Path) -> None:
    content = path.read_bytes()
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    truth = read(path)
    noticed = 0
    for _ in range(FLIPS):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            is_sound = verify(path).is_sound
            if is_sound:
                # It hit room that holds nothing, or the file's own bookkeeping.
                assert read(path) == truth
        except JournalError:
            is_sound = False
        except BaseException:  # say how to come back here
            print(f"seed {seed}, byte {place}, bit {bit}")
            raise
        noticed += not is_sound
    assert noticed > 0, f"seed {seed}: compared nothing"


def test_a_flipped_byte_is_refused_by_name_or_does_no_harm(path: Path) -> None:
    """The daemon meets a damaged journal: it opens it, or says what is wrong, and never breaks."""
    content = path.read_bytes()
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    actions: tuple[Callable[[Path], object], ...] = (
        read, rebuild, lambda one: opened(one).close(),
    )  # fmt: skip
    for _ in range(FLIPS // 4):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        for action in actions:
            path.write_bytes(flipped)
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            try:
                action(path)
            except JournalError:
                pass  # said what it is
            except BaseException:  # say how to come back here
                print(f"seed {seed}, byte {place}, bit {bit}")
                raise


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_truncated_file_is_not_sound(path: Path, part: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // 4 // 4096 * 4096])
    try:
        assert not verify(path).is_sound
    except JournalError:
        pass  # too little is left to begin with


@pytest.mark.parametrize("content", [b"", b"x" * 5_000, b"\0" * 8_192])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(NotAJournal):
        verify(path)


def test_a_database_of_something_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
    connection.close()
    with pytest.raises(NotAJournal):
        opened(path)
    with pytest.raises(NotAJournal):
        verify(path)


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for check in (verify, read):
        with pytest.raises(JournalError, match="no such file"):
            check(path)
    assert not path.exists()


# -- Opening.


@pytest.mark.parametrize(
    "tamper",
    [
        sql("UPDATE event SET data = '{\"number\":5}' WHERE seq = 17"),
        sql("DELETE FROM event WHERE seq = 17"),
        sql("DELETE FROM event WHERE seq >= 28"),
        sql("UPDATE system SET last_hash = zeroblob(32)"),
        sql("UPDATE agent SET recent_faults = '{' WHERE agent_id = 1003"),
        swap(17, 18),
    ],
)
def test_a_journal_that_contradicts_itself_is_not_written_to(path: Path, tamper: Tamper) -> None:
    tampered(path, tamper)
    with pytest.raises(JournalCorrupt):
        opened(path)
    # The refusal holds nothing: who repairs it can.
    with pytest.raises(JournalCorrupt):
        opened(path)


# -- What a plain chain does not show.


def rewritten(path: Path) -> None:
    """Change event 17 as somebody with root and our source can: everything fits again."""
    edit = "UPDATE event SET data = '{\"number\":5}' WHERE seq = 17"
    tampered(path, both(sql(edit), resealed(17)))
    rebuild(path)


def test_a_rewritten_chain_is_sound_unless_its_head_was_kept_elsewhere(path: Path) -> None:
    kept = verify(path).head
    rewritten(path)
    assert verify(path).is_sound
    report = verify(path, expected=kept)
    assert [(finding.kind, finding.seq) for finding in report.findings] == [("head", 30)]


def test_a_cut_and_rebuilt_tail_is_sound_unless_its_head_was_kept_elsewhere(path: Path) -> None:
    kept = verify(path).head
    tampered(path, sql("DELETE FROM event WHERE seq >= 28"))
    rebuild(path)
    assert verify(path).is_sound
    report = verify(path, expected=kept)
    assert [(finding.kind, finding.seq) for finding in report.findings] == [("head", 30)]


def test_a_kept_head_stays_true_while_the_journal_grows(path: Path) -> None:
    kept = verify(path).head
    journal = opened(path)
    assert journal.history.events_total == EVENTS
    journal.append([numbered(EVENTS + 1)])
    apply(journal.history, numbered(EVENTS + 1))
    journal.close()
    assert verify(path, expected=kept).is_sound
