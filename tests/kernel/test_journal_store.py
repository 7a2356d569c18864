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

from supervisord_asm.core.agent_history import AGENT_FIELDS
from supervisord_asm.core.events import Event, EventFormatError, EventType
from supervisord_asm.core.history import RETIRED_BATCH, RETIRED_MAX
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
from tests.kernel.journal_rig import (
    events,
    filled,
    opened,
    opened_and_closed,
    settle,
    wait_until,
)
from tests.kernel.journal_writer import numbered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


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
        newer = (str(SCHEMA_VERSION + 1),)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", newer)
    connection.close()
    before = path.read_bytes()
    actions: list[Callable[[], object]] = [
        lambda: opened(path), lambda: read(path), lambda: verify(path), lambda: rebuild(path),
    ]  # fmt: skip
    for action in actions:
        with pytest.raises(JournalTooNew) as caught:
            action()
        assert (caught.value.found, caught.value.supported) == (SCHEMA_VERSION + 1, SCHEMA_VERSION)
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
    add_one = "UPDATE system SET extra = extra + 1"
    later = SCHEMA_VERSION + 2
    steps = {SCHEMA_VERSION: _add_column, SCHEMA_VERSION + 1: lambda c: c.execute(add_one)}
    prepare_schema(connection, path, steps, version=later)
    assert read_version(connection, path, later) == later
    assert connection.execute("SELECT extra FROM system").fetchone() == (6,)
    prepare_schema(connection, path, {}, version=later)
    connection.close()


def test_a_journal_of_version_1_is_brought_forward(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 20))
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for column in ("counters", "run_base"):
        connection.execute(f"ALTER TABLE agent DROP COLUMN {column}")
    connection.execute("ALTER TABLE system DROP COLUMN syscalls_forgotten")
    connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    connection.close()
    opened(path).close()
    assert verify(path).is_sound


def test_version_3_drops_the_rows_that_the_fold_drops_and_keeps_their_syscalls(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 20))
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("ALTER TABLE system DROP COLUMN syscalls_forgotten")
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    connection.execute("UPDATE agent SET retired = 0")
    own = ("agent_id", "retired", "retired_realtime_ns", "syscall_count")
    others = ", ".join(name for name in AGENT_FIELDS if name not in own)
    count = RETIRED_MAX + RETIRED_BATCH + 10
    for number in range(count):  # the lowest ids are the youngest
        connection.execute(
            f"INSERT INTO agent ({', '.join(own)}, {others})"
            f" SELECT ?, 1, ?, 7, {others} FROM agent WHERE NOT retired LIMIT 1",
            (1_000_000 + number, count - number),
        )
    connection.close()
    journal = opened(path)
    history = journal.history
    journal.close()
    assert history.retired_rows == count - 2 * RETIRED_BATCH
    assert history.syscalls_forgotten == 7 * 2 * RETIRED_BATCH
    retired = [agent.agent_id for agent in history.agents.values() if agent.retired]
    assert retired == list(range(1_000_000, 1_000_000 + history.retired_rows))


def test_a_migration_that_fails_leaves_the_old_version_whole(path: Path) -> None:
    journal = opened(path)
    journal.append(events(1, 20))
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    steps = {SCHEMA_VERSION: _add_column, SCHEMA_VERSION + 1: _fail}
    with pytest.raises(sqlite3.OperationalError, match="power cut"):
        prepare_schema(connection, path, steps, version=SCHEMA_VERSION + 2)
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
from pathlib import Path
from supervisord_asm.store.journal import read  # as root: the checkout may be root's alone
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65534)
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
    dangling = tmp_path / "dangling.db"
    dangling.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(BackupExists):
        journal.backup(dangling)
    with pytest.raises(JournalError):
        journal.backup(tmp_path / "nowhere" / "copy.db")
    journal.close()


# -- Quick to open.


def test_opening_reads_the_derived_tables_and_the_newest_events_alone(path: Path) -> None:
    """Shown by an older event that nobody could fold: verify finds it, opening does not look."""
    journal, live = filled(path, 1_100)
    journal.close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TRIGGER event_never_changes")
        connection.execute("UPDATE event SET data = 'nonsense' WHERE seq = 76")
    connection.close()
    assert opened_and_closed(path) == live
    assert [finding.seq for finding in verify(path).findings if finding.seq] == [76, 76]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET data = 'nonsense' WHERE seq = 77")
    connection.close()
    with pytest.raises(JournalCorrupt, match="77"):
        opened(path)
