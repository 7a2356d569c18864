"""Random events through the real journal: what is replayed is what was folded, whatever happened.

Three folds are held against each other after every story: the caller's live one, the derived tables
that the writer kept, and a fold of the stored events from the beginning (verify). Crashes are made
by copying the files as a crash would leave them, at the end of every write-ahead log prefix.
"""

import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisord_asm.core.events import Event, EventType, event_from_json
from supervisord_asm.core.history import History, apply
from supervisord_asm.store.chain import Head
from supervisord_asm.store.journal import Journal, read, rebuild, verify
from tests.event_stories import BATCHES, EVENTS

# Each example opens a database several times, some 20 ms each: fewer of them than of cheap ones.
EXAMPLES = settings(max_examples=settings().max_examples // 4)
LOG_HEADER_BYTES = 32  # sqlite.org/walformat.html
LOG_FRAME_BYTES = 24 + 4_096


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder in memory: thousands of fsyncs on a shared disk would measure the disk."""
    with tempfile.TemporaryDirectory(prefix="asm-test-journal-", dir="/dev/shm") as name:
        yield Path(name)


def opened(path: Path) -> Journal:
    return Journal.open(path, clock=time.monotonic_ns)


def settle(journal: Journal) -> None:
    """Wait until everything that was appended is durable."""
    reached = threading.Event()
    journal.append([], lambda error: reached.set())
    assert reached.wait(30)
    assert journal.trouble is None
    assert journal.queued == 0


def append_live(journal: Journal, live: History, batch: list[Event]) -> None:
    """Do what the daemon does: append, and apply."""
    journal.append(batch)
    for event in batch:
        apply(live, event)


@given(EVENTS)
def test_any_event_reads_back_from_its_json(event: Event) -> None:
    assert event_from_json(event.to_json()) == event


@EXAMPLES
@given(BATCHES, st.data())
def test_replay_equals_the_live_fold_equals_the_derived_tables(
    batches: list[list[Event]], data: st.DataObject
) -> None:
    with folder() as place:
        path = place / "journal.db"
        journal = opened(path)
        live = journal.history
        for batch in batches:
            append_live(journal, live, batch)
            if data.draw(st.booleans(), label="reopen"):
                assert journal.close() == 0
                journal = opened(path)
                assert journal.history == live
                live = journal.history
        assert journal.close() == 0
        report = verify(path)
        assert report.findings == ()
        assert report.events_checked == sum(map(len, batches))
        flat = [event for batch in batches for event in batch]
        assert read(path) == list(enumerate(flat, start=1))


@EXAMPLES
@given(BATCHES, st.integers(min_value=0, max_value=60_000))
def test_a_rebuild_of_emptied_derived_tables_restores_them(
    batches: list[list[Event]], nonsense: int
) -> None:
    with folder() as place:
        path = place / "journal.db"
        journal = opened(path)
        live = journal.history
        for batch in batches:
            append_live(journal, live, batch)
        journal.close()
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("DELETE FROM agent")
            connection.execute("UPDATE system SET total_spawns = ?", (nonsense,))
        connection.close()
        rebuild(path)
        assert verify(path).is_sound
        journal = opened(path)
        assert journal.history == live
        journal.close()


@EXAMPLES
@given(BATCHES, st.data())
def test_every_prefix_of_the_log_opens_with_all_that_was_acknowledged(
    batches: list[list[Event]], data: st.DataObject
) -> None:
    with folder() as place:
        path = place / "journal.db"
        log = Path(f"{path}-wal")
        journal = opened(path)
        marks = [(0, 0)]  # (bytes of the log that are surely written, newest event acknowledged)
        for batch in batches:
            journal.append(batch)
            settle(journal)
            marks.append((_used(log), journal.durable_seq))
        crashed = place / "crashed"
        for _ in range(3):
            cut = data.draw(st.integers(min_value=0, max_value=marks[-1][0]), label="cut")
            shutil.rmtree(crashed, ignore_errors=True)
            crashed.mkdir()
            shutil.copy(path, crashed / "journal.db")
            (crashed / "journal.db-wal").write_bytes(log.read_bytes()[:cut])
            acknowledged = max(seq for size, seq in marks if size <= cut)
            _check_survivor(crashed / "journal.db", acknowledged, batches)
        journal.close()


def _used(log: Path) -> int:
    """Return up to where the log holds frames: it is filled with zeros beyond them."""
    written = len(log.read_bytes().rstrip(b"\0"))
    if written == 0:
        return 0
    frames = -(-(written - LOG_HEADER_BYTES) // LOG_FRAME_BYTES)  # a page may end in zeros
    return LOG_HEADER_BYTES + frames * LOG_FRAME_BYTES


def _check_survivor(path: Path, acknowledged: int, batches: list[list[Event]]) -> None:
    survivor = opened(path)
    last_seq = survivor.last_seq
    expected = History()
    flat = [event for batch in batches for event in batch]
    for event in flat[:last_seq]:
        apply(expected, event)
    assert survivor.history == expected
    assert acknowledged <= last_seq
    # All of an append, or none of it.
    ends = {0}
    for batch in batches:
        ends.add(max(ends) + len(batch))
    assert last_seq in ends
    # And it goes on without a gap.
    assert survivor.append([Event(EventType.NOTE, 0, 1, 1, {"text": "after"})]) == last_seq + 1
    assert survivor.close() == 0
    assert verify(path).is_sound


@EXAMPLES
@given(
    st.lists(EVENTS, min_size=5, max_size=30),
    st.lists(st.integers(min_value=0, max_value=60_000), min_size=1, max_size=3),
    st.lists(EVENTS, max_size=10),
)
def test_compactions_change_no_figure_but_forget_the_retired(
    events: list[Event], cutoffs: list[int], after: list[Event]
) -> None:
    """The wall clock of the events jumps at random here, so cutoffs meet every order."""
    filler = [Event(EventType.NOTE, 0, 1, 60_000) for _ in range(1_024)]
    with folder() as place:
        path = place / "journal.db"
        journal = opened(path)
        live = journal.history
        append_live(journal, live, events + filler)
        settle(journal)
        for cutoff in cutoffs:
            plan = journal.plan_compaction(cutoff)
            if plan is None:
                continue
            assert plan.anchor.seq <= len(events) + len(filler) - 1_024 + len(cutoffs)
            event = Event(EventType.COMPACTION, 0, 2, 60_000, plan.data)
            journal.compact(plan, event)
            apply(live, event)
            settle(journal)
        append_live(journal, live, after)
        journal.close()
        report = verify(path)
        assert report.findings == ()
        assert report.anchor_seq + report.events_checked == live.events_total
        kept = [seq for seq, _ in read(path)]
        assert kept == list(range(report.anchor_seq + 1, live.events_total + 1))
        journal = opened(path)
        assert journal.history == live
        journal.close()
        assert verify(path, Head(*report.head)).is_sound
