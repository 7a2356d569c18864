"""The journal as a file that others live with: versions, readers, copies, retention, our bugs."""

import grp
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_asm.core.events import Event, EventFormatError, EventType
from supervisord_asm.core.history import History, apply
from supervisord_asm.store import schema
from supervisord_asm.store.connection import WAL_BYTES, open_writer
from supervisord_asm.store.errors import (
    BackupExists,
    JournalBroken,
    JournalClosed,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalTooNew,
)
from supervisord_asm.store.journal import Journal, read, rebuild, verify
from supervisord_asm.store.schema import SCHEMA_VERSION, prepare_schema, read_version
from tests.kernel.journal_writer import numbered

PATIENCE_S = 10.0
FOR_EVER = 1 << 60  # later than any event of these tests


def opened(path: Path) -> Journal:
    return Journal.open(path, clock=time.monotonic_ns)


def settle(journal: Journal) -> None:
    reached = threading.Event()
    journal.append([], lambda error: reached.set())
    assert reached.wait(PATIENCE_S)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come"
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def events(first: int, last: int) -> list[Event]:
    return [numbered(number) for number in range(first, last + 1)]


# -- Appending.


def test_appends_are_numbered_and_called_back_in_order(path: Path) -> None:
    journal = opened(path)
    told: list[tuple[str, BaseException | None]] = []
    assert journal.append(events(1, 3), lambda error: told.append(("first", error))) == 3
    assert journal.append(events(4, 4), lambda error: told.append(("second", error))) == 4
    assert journal.append([], lambda error: told.append(("barrier", error))) == 4
    settle(journal)
    assert told == [("first", None), ("second", None), ("barrier", None)]
    assert (journal.last_seq, journal.durable_seq, journal.queued) == (4, 4, 0)
    assert journal.close() == 0
    assert journal.close() == 0, "closing twice is no mistake"


def test_threads_append_side_by_side_without_a_gap(path: Path) -> None:
    journal = opened(path)
    returned: list[list[int]] = [[] for _ in range(4)]

    def work(mine: list[int]) -> None:
        mine += [journal.append([numbered(1), numbered(2)]) for _ in range(200)]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in returned]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seq for mine in returned for seq in mine) == list(range(2, 1_601, 2))
    assert journal.close() == 0
    assert verify(path).events_checked == 1_600


def test_what_is_no_event_is_refused_whole_and_where_it_came_from(path: Path) -> None:
    journal = opened(path)
    bad = Event(EventType.NOTE, 0, 1, 1, {"boot_id": "mine"})
    with pytest.raises(EventFormatError):
        journal.append([numbered(1), bad])
    assert journal.append(events(1, 1)) == 1
    journal.close()
    assert verify(path).is_sound


def test_an_append_that_can_never_fit_is_refused(path: Path) -> None:
    journal = Journal.open(path, clock=time.monotonic_ns, queue_max=10)
    with pytest.raises(JournalFull):
        journal.append(events(1, 11))
    assert journal.append(events(1, 10)) == 10
    journal.close()


def test_nothing_is_taken_after_close(path: Path) -> None:
    journal = opened(path)
    journal.close()
    with pytest.raises(JournalClosed):
        journal.append(events(1, 1))


def test_the_log_does_not_outgrow_what_it_was_filled_to(path: Path) -> None:
    journal = opened(path)
    log = Path(f"{path}-wal")
    assert log.stat().st_size == WAL_BYTES
    for number in range(1, 3_001):
        journal.append([numbered(number)])
        if number % 3 == 0:
            settle(journal)
    assert log.stat().st_size == WAL_BYTES
    journal.close()
    assert not log.exists(), "a clean end leaves one file"


def test_a_commit_waits_for_the_disk(path: Path) -> None:
    """kill -9 cannot show what a power cut would: that the settings are the ones that fsync."""
    connection = open_writer(path, "nogroup", create=True)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


# -- Our own bugs.


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_raises_keeps_nobody_elses_events_off_the_disk(path: Path) -> None:
    journal = opened(path)

    def broken(error: BaseException | None) -> None:
        raise RuntimeError("a bug of the caller")

    journal.append(events(1, 1), broken)
    journal.append(events(2, 2))
    settle(journal)
    assert journal.durable_seq == 2
    assert journal.close() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_writer_is_told_to_everybody_and_ends_it(path: Path) -> None:
    def reached(name: str) -> None:
        if name == "before commit" and path.with_name("now").exists():
            raise RuntimeError("a bug of ours")

    journal = Journal.open(path, clock=time.monotonic_ns, reached=reached)
    journal.append(events(1, 5))
    settle(journal)
    path.with_name("now").touch()
    told: list[BaseException | None] = []
    journal.append(events(6, 6), told.append)
    wait_until(lambda: bool(told), "the bad news")
    assert isinstance(told[0], JournalBroken)
    assert journal.trouble is not None
    assert "a bug of ours" in journal.trouble
    with pytest.raises(JournalBroken):
        journal.append(events(7, 7))
    assert journal.close() == 1
    # The next daemon begins where the disk stands.
    journal = opened(path)
    assert journal.last_seq == 5
    journal.close()


def test_a_write_lock_held_by_somebody_is_waited_out(path: Path) -> None:
    """An administrator's sqlite3 shell in the middle of a transaction, longer than we wait."""
    journal = opened(path)
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    told: list[BaseException | None] = []
    journal.append(events(1, 1), told.append)
    wait_until(lambda: bool(told), "the bad news")
    assert isinstance(told[0], sqlite3.OperationalError)
    assert "locked" in (journal.trouble or "")
    intruder.execute("ROLLBACK")
    intruder.close()
    wait_until(lambda: journal.queued == 0, "recovery")
    wait_until(lambda: told[1:] == [None], "the good news")
    assert journal.close() == 0
    assert verify(path).is_sound


def test_somebody_elses_write_is_found_and_not_overwritten(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 2))
    settle(journal)
    intruder = sqlite3.connect(path)
    with intruder:
        row = intruder.execute("SELECT * FROM event WHERE seq = 2").fetchone()
        intruder.execute("INSERT INTO event VALUES (3,?,?,?,?,?,?,?,?)", row[1:])
        intruder.execute("UPDATE system SET last_seq = 3")
    intruder.close()
    journal.append(events(3, 3))
    wait_until(lambda: "we wrote up to" in (journal.trouble or ""), "the finding")
    assert journal.close() == 1
    with pytest.raises(JournalCorrupt):
        opened(path)


# -- Versions.


def test_a_newer_schema_is_refused_by_all_and_left_alone(path: Path) -> None:
    opened(path).close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    connection.close()
    before = path.read_bytes()
    actions: list[Callable[[], object]] = [
        lambda: opened(path), lambda: read(path), lambda: verify(path), lambda: rebuild(path),
    ]  # fmt: skip
    for action in actions:
        with pytest.raises(JournalTooNew) as caught:
            action()
        assert (caught.value.found, caught.value.supported) == (2, SCHEMA_VERSION)
    assert path.read_bytes() == before


def _add_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE system ADD COLUMN extra INTEGER NOT NULL DEFAULT 5")


def _fail(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE agent")
    raise sqlite3.OperationalError("power cut")


def test_an_older_journal_is_brought_forward_step_by_step(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 20))
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    steps = {1: _add_column, 2: lambda c: c.execute("UPDATE system SET extra = extra + 1")}
    prepare_schema(connection, path, steps, version=3)
    assert read_version(connection, path, 3) == 3
    assert connection.execute("SELECT extra FROM system").fetchone() == (6,)
    prepare_schema(connection, path, {}, version=3)
    connection.close()


def test_a_migration_that_fails_leaves_the_old_version_whole(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 20))
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="power cut"):
        prepare_schema(connection, path, {1: _add_column, 2: _fail}, version=3)
    connection.close()
    assert verify(path).is_sound


def test_every_version_up_to_ours_has_its_migration() -> None:
    assert set(schema.MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_the_record_is_guarded_against_accidents(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 5))
    journal.close()
    connection = sqlite3.connect(path)
    for statement in ("UPDATE event SET data = '{}'", "DELETE FROM event WHERE seq = 5"):
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|kept"):
            connection.execute(statement)
    connection.close()


# -- Beside others.


def test_a_second_writer_is_refused_and_the_first_goes_on(path: Path) -> None:
    journal = opened(path)
    with pytest.raises(JournalLocked):
        opened(path)
    with pytest.raises(JournalLocked):
        rebuild(path)
    journal.append(events(1, 1))
    assert journal.close() == 0
    opened(path).close()


def test_files_are_for_root_and_the_group_alone(path: Path) -> None:
    journal = Journal.open(path, clock=time.monotonic_ns, group="nogroup")
    journal.append(events(1, 3))
    settle(journal)
    for suffix in ("", "-wal", "-shm"):
        status = Path(f"{path}{suffix}").stat()
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert (status.st_uid, status.st_gid) == (0, grp.getgrnam("nogroup").gr_gid)
    journal.close()


READ_AS_MEMBER = """
import os, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65534)
from pathlib import Path
from supervisord_asm.store.journal import read
print(len(read(Path(sys.argv[1]))))
"""


def test_a_member_of_the_group_reads_while_it_is_written(path: Path) -> None:
    for folder in path.parents[:3]:  # pytest's own are for root alone
        folder.chmod(0o755)
    journal = Journal.open(path, clock=time.monotonic_ns, group="nogroup")
    journal.append(events(1, 7))
    settle(journal)
    gid = str(path.stat().st_gid)
    command = [sys.executable, "-c", READ_AS_MEMBER, str(path), gid]
    result = subprocess.run(command, capture_output=True, text=True, cwd=os.getcwd())
    assert (result.stdout, result.stderr) == ("7\n", "")
    journal.append(events(8, 8))
    assert journal.close() == 0


def test_reading_pages_from_any_place(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 10))
    settle(journal)
    assert [seq for seq, _ in read(path)] == list(range(1, 11))
    assert [seq for seq, _ in read(path, 7)] == [8, 9, 10]
    assert [seq for seq, _ in read(path, 2, 3)] == [3, 4, 5]
    assert read(path, 10) == []
    assert read(path, 0, 0) == []
    assert read(path, 0, -1) == []
    journal.close()


def test_a_reader_that_holds_a_snapshot_hinders_no_commit(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 5))
    settle(journal)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM event").fetchone() == (5,)
    for number in range(6, 1_500):
        journal.append([numbered(number)])
        if number % 2:
            settle(journal)
    assert journal.trouble is None
    assert reader.execute("SELECT count(*) FROM event").fetchone() == (5,)
    reader.close()
    assert journal.close() == 0
    assert verify(path).events_checked == 1_499


# -- Copies.


def test_a_backup_taken_under_load_is_a_sound_journal(path: Path, tmp_path: Path) -> None:
    journal = opened(path)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            journal.append([numbered(number)])
            time.sleep(0.0005)

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: journal.durable_seq > 50, "the first events")
    copies = []
    for index in range(3):
        before = journal.durable_seq
        copy = tmp_path / f"copy-{index}.db"
        journal.backup(copy)
        copies.append((copy, before))
    stop.set()
    thread.join()
    journal.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "copy-0.db", "copy-1.db", "copy-2.db", "journal.db", "journal.db.lock",
    ]  # fmt: skip
    for copy, before in copies:
        report = verify(copy)
        assert report.is_sound
        assert report.head.seq >= before
        assert stat.S_IMODE(copy.stat().st_mode) == 0o640
        assert read(copy) == read(path, 0, report.head.seq)
    # It can take the place of the original.
    journal = opened(copies[-1][0])
    journal.append(events(1, 1))
    assert journal.close() == 0


def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    journal = opened(path)
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(BackupExists):
        journal.backup(target)
    assert target.read_text() == "precious"
    with pytest.raises(JournalError):
        journal.backup(tmp_path / "nowhere" / "copy.db")
    journal.close()


# -- Retention.


def compacted(journal: Journal, live: History, before: int) -> bool:
    settle(journal)
    plan = journal.plan_compaction(before)
    if plan is None:
        return False
    event = Event(EventType.COMPACTION, 0, 1, 3_000_000, plan.data)
    journal.compact(plan, event)
    apply(live, event)
    settle(journal)
    return True


def stored(path: Path) -> tuple[int, int]:
    """Return the lowest and the highest number that is in the table, swept or not."""
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT min(seq), max(seq) FROM event").fetchone()
    connection.close()
    return int(row[0]), int(row[1])


def filled(path: Path, count: int) -> tuple[Journal, History]:
    journal = opened(path)
    live = journal.history
    journal.append(events(1, count))
    for event in events(1, count):
        apply(live, event)
    settle(journal)
    return journal, live


def test_old_events_go_and_what_they_added_up_to_stays(path: Path) -> None:
    journal, live = filled(path, 5_000)
    # numbered(n) happened at n microseconds: events 1 to 2,999 are older.
    assert compacted(journal, live, 3_000 * 1_000)
    wait_until(lambda: stored(path) == (3_000, 5_001), "the sweep")
    report = verify(path)
    assert report.findings == ()
    assert (report.anchor_seq, report.events_checked) == (2_999, 2_002)
    assert read(path, 0, 1)[0][0] == 3_000
    assert journal.close() == 0
    journal = opened(path)
    assert journal.history == live
    assert journal.history.events_total == 5_001
    journal.close()


def test_the_ring_is_never_removed(path: Path) -> None:
    journal, live = filled(path, 1_100)
    assert compacted(journal, live, FOR_EVER)
    assert verify(path).anchor_seq == 1_100 - 1_024
    assert not compacted(journal, live, 1)
    journal.close()
    assert len(opened_and_closed(path).recent) == 1_024


def opened_and_closed(path: Path) -> History:
    journal = opened(path)
    journal.close()
    return journal.history


def test_nothing_old_is_nothing_to_do(path: Path) -> None:
    journal, live = filled(path, 2_000)
    assert not compacted(journal, live, 0)
    journal.close()


def test_a_plan_that_another_compaction_overtook_is_refused(path: Path) -> None:
    journal, live = filled(path, 3_000)
    slow = journal.plan_compaction(1_000 * 1_000)
    assert slow is not None
    assert compacted(journal, live, 1_500 * 1_000)
    with pytest.raises(JournalError, match="compacted further"):
        journal.compact(slow, Event(EventType.COMPACTION, 0, 1, 1, slow.data))
    journal.close()
    assert verify(path).is_sound


def test_rows_that_a_crash_left_below_the_anchor_are_gone_for_readers_and_swept_later(
    path: Path, tmp_path: Path
) -> None:
    journal, live = filled(path, 4_200)
    assert compacted(journal, live, 3_000 * 1_000)
    journal.close()
    # As if the crash had come before the first sweep: put some of the old rows back.
    connection = sqlite3.connect(path)
    with connection:
        row = connection.execute("SELECT * FROM event WHERE seq = 3500").fetchone()
        for seq in range(2_500, 2_900):
            connection.execute(
                "INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?,?,?)", (seq, *row[1:])
            )
    connection.close()
    assert verify(path).is_sound
    assert read(path, 0, 1)[0][0] == 3_000
    journal = opened(path)
    assert journal.history == live
    wait_until(lambda: stored(path)[0] == 3_000, "the sweep")
    journal.close()


def test_space_is_used_again(path: Path) -> None:
    journal, live = filled(path, 20_000)
    assert compacted(journal, live, FOR_EVER)
    wait_until(lambda: stored(path)[0] > 18_000, "the sweep")
    journal.close()
    size = path.stat().st_size
    journal = opened(path)
    journal.append(events(1, 15_000))
    assert journal.close() == 0
    assert path.stat().st_size <= size * 11 // 10


def test_retired_agents_are_forgotten_with_their_events(path: Path) -> None:
    journal = opened(path)
    live = journal.history

    def tell(event: Event) -> None:
        journal.append([event])
        apply(live, event)

    tell(Event(EventType.REGISTER, 1_000, 1, 1_000, {"name": "old"}))
    tell(Event(EventType.FAULT, 1_000, 1, 1_000, {"fault": "Crashed"}))
    tell(Event(EventType.RETIRE, 1_000, 1, 2_000))
    tell(Event(EventType.REGISTER, 1_001, 1, 2_000, {"name": "kept"}))
    for _ in range(1_100):
        tell(Event(EventType.NOTE, 0, 1, 9_000))
    assert compacted(journal, live, 5_000)
    assert list(live.agents) == [1_001]
    assert live.next_agent_id == 1_002
    journal.close()
    assert verify(path).is_sound
    assert opened_and_closed(path) == live


# -- Quick to open.


@pytest.mark.timing
def test_opening_reads_the_derived_tables_and_not_the_events(path: Path) -> None:
    journal = opened(path)
    for first in range(1, 100_001, 10_000):
        journal.append(events(first, first + 9_999))
    settle(journal)
    journal.close()
    begun_s = time.monotonic()
    journal = opened(path)
    took_s = time.monotonic() - begun_s
    assert journal.history.events_total == 100_000
    assert len(journal.history.recent) == 1_024
    journal.close()
    # Folding 100,000 events takes about a second here; this took 0.03.
    assert took_s < 0.3
