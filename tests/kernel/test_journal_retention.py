"""Letting go of old events: what stays true, what a crash leaves, what is used again."""

import sqlite3
from pathlib import Path

import pytest

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.history import History, apply
from supervisord_asm.store.errors import JournalError
from supervisord_asm.store.journal import Journal, read, verify
from tests.kernel.journal_rig import events, filled, opened, opened_and_closed, settle, wait_until

FOR_EVER = 1 << 60  # later than any event of these tests


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


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
