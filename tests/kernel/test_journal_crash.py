"""The journal's writer killed at every step, on a full disk, and on one that turns read-only.

What must hold each time: nothing that was acknowledged is missing, an append is there whole or not
at all, the chain verifies, the derived tables equal the events, and the next writer goes on.
"""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.history import History, apply
from supervisord_asm.store.errors import JournalClosed, JournalError, JournalFull, JournalLocked
from supervisord_asm.store.journal import Journal, read, verify
from supervisord_asm.store.writer import FAILPOINTS
from tests.kernel.disk import Disk
from tests.kernel.journal_rig import opened, wait_until
from tests.kernel.journal_writer import APPEND_SIZES, numbered

WRITER = Path(__file__).with_name("journal_writer.py")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.remove()


def start_writer(path: Path, failpoint: str, hits: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(WRITER), str(path), failpoint, str(hits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=WRITER.parents[2])


def acknowledged(writer: "subprocess.Popen[bytes]") -> int:
    """Wait for the writer's death by SIGKILL; return the newest event that it was promised."""
    output, _ = writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL
    lines = output.decode().split("\n")[:-1]  # the last one may be cut off by the kill
    assert [int(line) for line in lines] == sorted(int(line) for line in lines)
    return int(lines[-1]) if lines else 0


def check_survivor(path: Path, promised: int, begun_at: int = 0) -> int:
    """Hold the journal against what must be in it; return the number of its newest event."""
    report = verify(path)
    assert report.findings == ()
    last_seq = report.head.seq
    assert last_seq >= promised
    assert read(path) == [(number, numbered(number)) for number in range(1, last_seq + 1)]
    whole, size = begun_at, 0
    while whole < last_seq:
        whole += APPEND_SIZES[size % len(APPEND_SIZES)]
        size += 1
    assert whole == last_seq, "part of an append is there"
    expected = History()
    for number in range(1, last_seq + 1):
        apply(expected, numbered(number))
    journal = opened(path)
    try:
        assert journal.history == expected
    finally:
        assert journal.close() == 0
    return last_seq


# -- Death.


@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.parametrize("hits", [1, 2, 7])
def test_killed_at_a_failpoint_nothing_acknowledged_is_lost(
    tmp_path: Path, failpoint: str, hits: int
) -> None:
    path = tmp_path / "journal.db"
    last_seq = check_survivor(path, acknowledged(start_writer(path, failpoint, hits)))
    # And once more, by a writer that takes over what the first one left.
    promised = acknowledged(start_writer(path, failpoint, hits))
    assert check_survivor(path, promised, last_seq) >= last_seq


def test_killed_before_the_first_commit_nothing_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert acknowledged(start_writer(path, "before commit", 1)) == 0
    assert check_survivor(path, 0) == 0


def test_killed_after_the_first_commit_its_events_are_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert acknowledged(start_writer(path, "after commit", 1)) == 0  # nobody could be told
    assert check_survivor(path, 0) > 0


def test_killed_at_any_time_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    last_seq = 0
    for _ in range(5):
        writer = start_writer(path, "never", 0)
        time.sleep(0.2 + chance.random() * 0.4)
        writer.kill()
        promised = acknowledged(writer)
        if promised or path.exists():  # a slow machine's writer may not have come so far
            last_seq = check_survivor(path, promised, last_seq)
    assert last_seq > 0, f"seed {seed}: every writer died before it wrote"


def test_a_dead_writers_lock_is_free_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = start_writer(path, "never", 0)
    assert writer.stdout is not None
    assert writer.stdout.readline()
    with pytest.raises(JournalLocked):
        opened(path)
    assert read(path, 0, 5) == [(number, numbered(number)) for number in range(1, 6)]
    writer.kill()
    acknowledged(writer)
    opened(path).close()


# -- A disk that refuses.


class Told:
    """Remembers what on_durable said, in order."""

    def __init__(self) -> None:
        self.words: list[tuple[int, BaseException | None]] = []

    def about(self, number: int) -> Callable[[BaseException | None], None]:
        return lambda error: self.words.append((number, error))

    def durable(self) -> list[int]:
        return [number for number, error in self.words if error is None]


def bulky(number: int) -> Event:
    return Event(EventType.NOTE, 0, number, number, {"text": "x" * 2_000, "number": number})


def fill_until_trouble(journal: Journal, told: Told, first: int = 1) -> int:
    """Append until the disk refuses; return the number of the newest event."""
    number = first - 1
    while journal.trouble is None:
        assert number < 100_000, "the disk never filled"
        number += 1
        journal.append([bulky(number)], told.about(number))
        if journal.queued > 100:
            time.sleep(0.001)
    return number


def test_a_full_disk_keeps_events_queued_and_loses_none(disk: Disk) -> None:
    disk.mount_tmpfs("14m")
    path = disk.path / "journal.db"
    journal = opened(path, queue_max=2_000)
    ballast = disk.path / "ballast"
    disk.fill(ballast)
    told = Told()
    number = fill_until_trouble(journal, told)
    assert journal.trouble is not None
    assert "full" in journal.trouble
    assert str(path) in journal.trouble
    # Whoever comes now is told at once, without waiting for another attempt.
    number += 1
    journal.append([bulky(number)], told.about(number))
    wait_until(lambda: any(one == number for one, _ in told.words), "the bad news")
    assert all(isinstance(e, sqlite3.OperationalError) for _, e in told.words if e is not None)
    # Bounded: what does not fit is refused whole, and the queue stays as it was.
    while journal.queued < 2_000:
        number += 1
        journal.append([bulky(number)], told.about(number))
    with pytest.raises(JournalFull):
        journal.append([bulky(number + 1)])
    assert journal.queued == 2_000
    # What is on the disk can be read and is sound meanwhile.
    durable = journal.durable_seq
    assert len(read(path)) == durable > 0
    assert verify(path).is_sound
    # Space returns.
    ballast.unlink()
    disk.grow_tmpfs("64m")
    wait_until(lambda: journal.queued == 0, "recovery")
    wait_until(lambda: journal.trouble is None, "the all-clear")
    wait_until(lambda: len(told.durable()) == number, "the last callback")
    assert told.durable() == list(range(1, number + 1)), "each once, in order"
    failed = [one for one, error in told.words if error is not None]
    assert len(failed) == len(set(failed)), "bad news comes once"
    assert journal.close() == 0
    assert [event.data["number"] for _, event in read(path)] == list(range(1, number + 1))
    assert verify(path).is_sound


def test_the_log_is_a_reserve_that_outlasts_the_disk(disk: Disk) -> None:
    """With no byte left, hundreds of events still become durable: the reason can be recorded."""
    disk.mount_tmpfs("14m")
    journal = opened(disk.path / "journal.db")
    disk.fill(disk.path / "ballast")
    durable = threading.Event()
    for number in range(1, 301):
        journal.append([numbered(number)], lambda error: durable.set() if not error else None)
        assert durable.wait(5)
        durable.clear()
    assert journal.trouble is None
    assert journal.close() == 0


def test_closing_on_a_full_disk_says_what_was_lost(disk: Disk) -> None:
    disk.mount_tmpfs("14m")
    path = disk.path / "journal.db"
    journal = opened(path)
    disk.fill(disk.path / "ballast")
    told = Told()
    number = fill_until_trouble(journal, told)
    lost = journal.close()
    assert lost > 0
    assert told.durable() == list(range(1, number - lost + 1))
    closed = [one for one, error in told.words if isinstance(error, JournalClosed)]
    assert closed == list(range(number - lost + 1, number + 1))
    with pytest.raises(JournalClosed):
        journal.append([bulky(1)])
    (disk.path / "ballast").unlink()
    assert verify(path).is_sound
    assert verify(path).head.seq == number - lost


def test_a_disk_that_turns_read_only_is_waited_for_and_reopened(disk: Disk) -> None:
    """ext4 after an error: every write fails until it is mounted anew (errors=remount-ro)."""
    disk.mount_ext4("64m")
    path = disk.path / "journal.db"
    journal = opened(path)
    told = Told()
    for number in range(1, 51):
        journal.append([numbered(number)], told.about(number))
    wait_until(lambda: journal.queued == 0, "the first events")
    disk.abort_ext4()
    for number in range(51, 101):
        journal.append([numbered(number)], told.about(number))
    wait_until(lambda: journal.trouble is not None, "trouble")
    wait_until(lambda: any(one == 51 for one, _ in told.words), "the bad news")
    assert journal.durable_seq == 50
    # An administrator mounts it anew. That works only once the writer has let go of everything.
    disk.unmount()
    wait_until(disk.is_image_free, "the end of the broken mount")
    disk.mount_image()
    wait_until(lambda: journal.queued == 0, "recovery")
    wait_until(lambda: len(told.durable()) == 100, "the last callback")
    assert told.durable() == list(range(1, 101))
    assert journal.trouble is None
    assert journal.close() == 0
    assert read(path) == [(number, numbered(number)) for number in range(1, 101)]
    assert verify(path).is_sound


def test_a_journal_on_a_read_only_disk_is_read_and_not_opened_for_writing(disk: Disk) -> None:
    disk.mount_ext4("64m")
    path = disk.path / "journal.db"
    journal = opened(path)
    journal.append([numbered(number) for number in range(1, 11)])
    assert journal.close() == 0
    disk.remount_read_only()
    with pytest.raises(JournalError, match=r"[Rr]ead-?only"):
        opened(path)
    assert len(read(path)) == 10
    assert verify(path).is_sound
