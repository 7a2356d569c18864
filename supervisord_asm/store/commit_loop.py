"""The journal's thread: takes what is queued, writes it, calls back, and does not give up.

Group commit: everything that is queued when the thread looks goes into one transaction. While one
batch is being written the next one gathers, so the fsync's cost is shared by as many as come.

When the disk refuses, the batch is kept and tried again with growing pauses; everybody whose events
wait is told the error once, those who come later at once. Nothing is written out of order, so
nothing overtakes the batch that fails. Reads no clock but the monotonic one it is given.

Only Journal makes and talks to a CommitLoop. What other threads may touch: `queue`, and the three
values that they only read (trouble, durable_seq, broken).
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from supervisord_asm.core.events import Event
from supervisord_asm.store.anchor import Anchor
from supervisord_asm.store.connection import READ_ERRORS
from supervisord_asm.store.errors import JournalBroken, JournalClosed, JournalError
from supervisord_asm.store.writer import Sealed, Writer

OnDurable = Callable[[BaseException | None], None]
Clock = Callable[[], int]  # monotonic nanoseconds: time.monotonic_ns

# One transaction: 4,096 events take some 30 ms, which the ones behind them wait.
BATCH_MAX = 4_096
RETRY_FIRST_NS = 20_000_000
RETRY_LAST_NS = 1_000_000_000  # so long after space returns does it go on, at most


@dataclass(slots=True)
class Item:
    """One append. `was_told` = its on_durable has been called with an error."""

    events: list[tuple[Event, str]]
    on_durable: OnDurable | None
    anchor: Anchor | None = None
    was_told: bool = False


class CommitLoop:
    """The thread, from construction until None is put into `queue`."""

    def __init__(self, path: Path, clock: Clock, writer: Writer) -> None:
        self.queue: SimpleQueue[Item | None] = SimpleQueue()
        self.trouble: str | None = None
        self.durable_seq = writer.head.seq
        self.broken: BaseException | None = None  # a bug ended the thread
        self._path = path
        self._clock = clock
        self._writer = writer
        self._waiting: deque[Item] = deque()  # taken from the queue, not yet in a batch
        self._batch: list[Item] = []  # being written
        self._is_closing = False  # nothing comes after: one last attempt, then the end
        self._has_rest = True  # a compaction may have left events to delete
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came. Only after None was put into the queue."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._gather():
                self._next_batch()
                self._write()
                self._tidy()
        except BaseException as error:  # a bug: tell everybody who waits, and whoever comes
            self.broken = error
            self.trouble = f"the journal's writer has ended: {error!r}"
            self._abandon(JournalBroken("write", self._path, repr(error)))
            raise
        finally:
            self._writer.close()

    def _gather(self) -> bool:
        """Move what is queued to _waiting, sleeping while there is nothing to do; False = end."""
        is_idle = not self._waiting and not self._has_rest and not self._is_closing
        self._take(block=is_idle)
        return bool(self._waiting) or not self._is_closing

    def _take(self, *, block: bool = False, timeout_s: float | None = None) -> None:
        """Move queued items to _waiting; wait for the first one if `block`."""
        try:
            item = self.queue.get(block, timeout_s)
            while True:
                if item is None:
                    self._is_closing = True
                else:
                    self._waiting.append(item)
                item = self.queue.get_nowait()
        except Empty:
            return

    def _next_batch(self) -> None:
        count = 0
        while self._waiting and count < BATCH_MAX:
            item = self._waiting.popleft()
            self._batch.append(item)
            count += len(item.events)

    def _write(self) -> None:
        """Write the batch, however long it takes, and call back."""
        batch = self._batch
        events = [pair for item in batch for pair in item.events]
        anchors = [item.anchor for item in batch if item.anchor is not None]
        if events:
            sealed = self._writer.seal(events, anchors[-1] if anchors else None)
            error = self._attempt(sealed)
            if error is not None and not self._persist(sealed, error):
                self._abandon(JournalClosed("write", self._path, str(error)))
                return
            self.trouble = None
            self.durable_seq = sealed.head.seq
        self._has_rest = self._has_rest or bool(anchors)
        self._batch = []
        for item in batch:
            self._call(item, None)

    def _attempt(self, sealed: Sealed) -> sqlite3.Error | None:
        try:
            self._writer.commit(sealed)
        except sqlite3.Error as error:
            self._writer.roll_back()
            return error
        return None

    def _persist(self, sealed: Sealed, error: Exception) -> bool:
        """Try again with growing pauses until it works; False when the journal is being closed."""
        pause_ns = RETRY_FIRST_NS
        while True:
            self.trouble = f"unable to write {self._path}: {_reason(error)}"
            for item in self._batch:
                self._tell(item, error)
            was_closing = self._is_closing
            self._pause(pause_ns, error)
            pause_ns = min(2 * pause_ns, RETRY_LAST_NS)
            try:
                if self._writer.needs_reopening(error) and self._writer.reopen(sealed):
                    return True
                again: Exception | None = self._attempt(sealed)
            except (*READ_ERRORS, JournalError) as failure:
                again = failure
            if again is None:
                return True
            if was_closing:
                return False
            error = again

    def _pause(self, pause_ns: int, error: Exception) -> None:
        """Wait; tell those who come meanwhile at once, so that nobody waits for an attempt."""
        until_ns = self._clock() + pause_ns
        while not self._is_closing:
            left_ns = until_ns - self._clock()
            if left_ns <= 0:
                break
            self._take(block=True, timeout_s=left_ns / 1e9)
            for item in self._waiting:
                self._tell(item, error)

    def _tidy(self) -> None:
        """Do what can wait: empty the write-ahead log, delete what a compaction left."""
        is_idle = self.queue.empty() and not self._waiting
        try:
            if self._writer.is_checkpoint_due(idle=is_idle):
                self._writer.checkpoint()
            if self._has_rest and is_idle:
                self._has_rest = self._writer.sweep()
        except sqlite3.Error:
            self._has_rest = False  # the next commit meets the same disk, and reports it

    def _tell(self, item: Item, error: BaseException) -> None:
        if not item.was_told:
            item.was_told = True
            self._call(item, error)

    def _abandon(self, error: JournalError) -> None:
        """Call back everybody who still waits: it will not be written."""
        self._take()
        abandoned = [*self._batch, *self._waiting]
        self._batch = []
        self._waiting.clear()
        for item in abandoned:
            self._call(item, error)

    def _call(self, item: Item, error: BaseException | None) -> None:
        if item.on_durable is None:
            return
        # A bug of one caller must not keep the others' events off the disk.
        try:
            item.on_durable(error)
        except Exception as failure:  # reported as any thread's uncaught exception is
            arguments = (type(failure), failure, failure.__traceback__, self._thread)
            threading.excepthook(threading.ExceptHookArgs(arguments))


def _reason(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)
