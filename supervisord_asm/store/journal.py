"""The journal: events go in from any thread, and are on the disk when it says so.

`append` numbers events and queues them; one writer thread takes all that is queued, writes it in
one transaction (group commit: one fsync for all who wait) and then calls them back, in the order of
their appends. The events of one append are durable together or not at all.

Guarantees.
- `on_durable(None)` is called once, from the writer thread, after the COMMIT that holds the events
  has returned. Before it, `on_durable(error)` may be called, at most once: the disk refuses
  for now, the events stay queued and are tried again. Whoever must be durable first (spawn,
  widening) goes on at None only and may give up at an error. A JournalClosed (closed with a disk
  that refuses to the last) and a JournalBroken are final.
- Nothing acknowledged is lost, whatever dies and when. What was queued and not acknowledged may or
  may not be there after a crash, but always as a prefix.
- The queue is bounded: `queue_max` events. An append that does not fit raises JournalFull and takes
  nothing. `trouble` says what is wrong with the disk while it is; None means that all is well.
- No gap, no duplicate, no reordering: numbers are given in the order of appends and a failed batch
  is written before anything later.

`history` is the history as replayed when the journal was opened. It is the caller's from then on:
whoever appends an event also applies it (core.history.apply). The writer folds a copy of its own.

The thread and what it does when the disk refuses: store/commit_loop.py.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisord_asm.core.events import Event, data_text
from supervisord_asm.core.history import History, copy_history
from supervisord_asm.store.anchor import load_anchor
from supervisord_asm.store.backup import back_up
from supervisord_asm.store.commit_loop import Clock, CommitLoop, Item, OnDurable
from supervisord_asm.store.compaction import Compaction, plan_compaction
from supervisord_asm.store.connection import READ_ERRORS, open_writer
from supervisord_asm.store.errors import (
    JournalBroken,
    JournalClosed,
    JournalError,
    JournalFull,
)
from supervisord_asm.store.lock import WriterLock
from supervisord_asm.store.reader import read
from supervisord_asm.store.replay import load, rebuild
from supervisord_asm.store.verify import VerifyReport, verify
from supervisord_asm.store.writer import Writer

__all__ = ["Compaction", "Journal", "VerifyReport", "read", "rebuild", "verify"]

# Some 50 MiB in memory, and an hour of a fleet that records 18 events a second.
QUEUE_MAX = 65_536
CLOSE_TIMEOUT_S = 5.0


def _nothing(failpoint: str) -> None:
    pass


class Journal:
    """The one writer of a journal file. All methods may be called from any thread."""

    history: History

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        queue_max: int = QUEUE_MAX,
        group: str = "asm",
        reached: Callable[[str], None] = _nothing,
    ) -> "Journal":
        """Open or make the journal at `path` and start its writer.

        Raises JournalLocked while another process writes it, JournalTooNew, NotAJournal,
        JournalCorrupt, JournalError.
        """
        lock = WriterLock(path)
        lock.take()
        try:
            connection = open_writer(path, group, create=True)
            try:
                history, head = load(connection, path)
            except BaseException:  # whatever it was, leave nothing open
                connection.close()
                raise
        except READ_ERRORS as error:
            lock.release()
            raise JournalError("open", path, str(error)) from error
        except BaseException:  # and hold nothing
            lock.release()
            raise
        writer = Writer(path, group, lock, connection, copy_history(history), head, reached)
        anchor_seq = load_anchor(connection).seq
        return cls(path, clock, queue_max, group, writer, history, anchor_seq)

    def __init__(
        self,
        path: Path,
        clock: Clock,
        queue_max: int,
        group: str,
        writer: Writer,
        history: History,
        anchor_seq: int,
    ) -> None:
        self.history = history
        self._path = path
        self._queue_max = queue_max
        self._group = group
        # Guards what follows; held for a few instructions, never across I/O or a callback.
        self._lock = threading.Lock()
        self._last_seq = writer.head.seq
        self._anchor_seq = anchor_seq
        self._is_closed = False
        self._loop = CommitLoop(path, clock, writer)

    @property
    def trouble(self) -> str | None:
        """Return what keeps events from the disk; None when nothing does."""
        return self._loop.trouble

    @property
    def last_seq(self) -> int:
        """Return the number of the newest event that was appended."""
        return self._last_seq

    @property
    def durable_seq(self) -> int:
        """Return the number of the newest event that is on the disk."""
        return self._loop.durable_seq

    @property
    def queued(self) -> int:
        """Return how many events wait for the disk."""
        return self._last_seq - self._loop.durable_seq

    def append(self, events: Iterable[Event], on_durable: OnDurable | None = None) -> int:
        """Queue events, to be durable together; return the number of the last one.

        Returns at once. Without events it is a barrier: called back when all before is durable.
        Raises EventFormatError, JournalFull, JournalClosed, JournalBroken; then nothing was queued.
        """
        # Encoded here, so that what cannot be written is refused where it came from.
        return self._put(Item([(event, data_text(event)) for event in events], on_durable))

    def plan_compaction(self, before_realtime_ns: int) -> Compaction | None:
        """Return what a compaction would remove (store/compaction.py). Reads; may take seconds."""
        return plan_compaction(self._path, before_realtime_ns)

    def compact(
        self, compaction: Compaction, event: Event, on_durable: OnDurable | None = None
    ) -> int:
        """Append the compaction's event (its data is compaction.data) and let it take effect.

        From its commit on the journal begins behind the anchor; the events before it are deleted
        little by little, between other work.
        """
        assert event.data == compaction.data, "the event is the record of this compaction"
        return self._put(Item([(event, data_text(event))], on_durable, compaction.anchor))

    def backup(self, target: Path) -> None:
        """Copy what is durable now into a new file. Blocks the caller, not the writer."""
        back_up(self._path, target, self._group)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> int:
        """Write what is queued, end the writer, let the next one in; return what could not be.

        The result is the number of events that were lost to a disk that refused to the last: 0 in
        a healthy system. Their on_durable has been called with JournalClosed. May be called twice.
        """
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.queue.put(None)
        if not self._loop.join(timeout_s):
            raise JournalError("close", self._path, "the disk does not answer")
        return self.queued

    def _put(self, item: Item) -> int:
        count = len(item.events)
        with self._lock:
            if self._loop.broken is not None:
                raise JournalBroken("append to", self._path, repr(self._loop.broken))
            if self._is_closed:
                raise JournalClosed("append to", self._path, "it is closed")
            if self.queued + count > self._queue_max:
                reason = f"{self.queued} events wait, {self._queue_max} may: {self.trouble}"
                raise JournalFull("append to", self._path, reason)
            if item.anchor is not None:
                if item.anchor.seq <= self._anchor_seq:
                    raise JournalError("compact", self._path, "it is compacted further already")
                self._anchor_seq = item.anchor.seq
            self._last_seq = last = self._last_seq + count
            self._loop.queue.put(item)
        return last
