"""Records what happens: in memory at once, in the journal in groups.

Everything that one turn of the loop records goes to the journal as one group, so a start of a
hundred agents costs one fsync. `after_durable` queues acts that must not come before their records
(widening effects: spawns, acknowledgements). Acts keep the order in which they were queued.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.history import History, apply
from supervisord_asm.kernel.clock import boottime_us, realtime_ns
from supervisord_asm.store.errors import JournalError, JournalFull
from supervisord_asm.store.journal import Journal

# Beside the journal's own queue: hours of a fleet's events while its disk is full. Beyond it events
# are lost and counted.
KEPT_EVENTS_MAX = 65_536
RETRY_S = 0.5
# Of the commits of a second, whoever asks for them gets the newest.
COMMITS_KEPT = 100

logger = logging.getLogger(__name__)
Act = Callable[[BaseException | None], None]


class Recorder:
    """The one writer of the history, live (`history`) and durable (the journal)."""

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        boot_id: str,
    ) -> None:
        self.history: History = journal.history
        self._journal = journal
        self._loop = loop
        self._boot_id = boot_id
        self.on_recorded: Callable[[Event], None] = lambda event: None
        self._batch: list[Event] = []
        self._acts: list[Act] = []
        self._openings: list[Callable[[], None]] = []
        self._is_flush_planned = False
        self.lost_events = 0
        # Microseconds until a group was durable, and whether it is; the journal's thread adds.
        self.commits: deque[tuple[int, bool]] = deque(maxlen=COMMITS_KEPT)

    def record(self, type_: EventType, agent_id: int, data: Mapping[str, Any]) -> Event:
        """Append one event: visible now, durable with this turn's group."""
        event = Event(type_, agent_id, boottime_us(), realtime_ns(), data, self._boot_id)
        apply(self.history, event)
        self.history.changed.clear()  # the writer's history says which rows are to be written
        self._batch.append(event)
        self._plan_flush()
        self.on_recorded(event)
        return event

    def after_durable(self, act: Act) -> None:
        """Call `act` in the loop once all that was recorded so far is durable.

        It gets None, or the error that keeps the journal from taking the records.
        """
        self._acts.append(act)
        self._plan_flush()

    def open_when_durable(self, opening: Callable[[], None]) -> None:
        """Call `opening` the moment all that was recorded so far is durable, and never else.

        By the journal's own thread, without the way through the loop: it must be quick, must not
        raise, and may touch nothing that is the loop's.
        """
        self._openings.append(opening)
        if self._journal.queued:
            self._plan_flush()  # what comes meanwhile goes together
        else:
            self.flush()  # the disk is idle: what begins now is over earlier

    @property
    def openings(self) -> int:
        """How many wait in the present group."""
        return len(self._openings)

    def flush(self) -> None:
        """Hand the present group to the journal now."""
        self._is_flush_planned = False
        batch, self._batch = self._batch, []
        acts, self._acts = self._acts, []
        openings, self._openings = self._openings, []
        if not batch and not acts:
            return

        handed_ns = time.monotonic_ns()

        def on_durable(error: BaseException | None) -> None:
            self.commits.append(((time.monotonic_ns() - handed_ns) // 1000, error is None))
            if error is None:
                for opening in openings:
                    opening()
            if acts:
                self._loop.call_soon_threadsafe(_run, acts, error)

        try:
            self._journal.append(batch, on_durable)
        except JournalFull as error:
            # Kept and tried again: what is shown as having happened must end up in the record.
            self._keep(batch)
            self._loop.call_soon(_run, acts, error)
        except JournalError as error:  # closed or broken: nothing will ever take them
            self.lost_events += len(batch)
            self._loop.call_soon(_run, acts, error)

    def append_behind(self, append: Callable[[], Event]) -> None:
        """Let `append` put its own event into the journal, behind ours, and apply it here too."""
        self.flush()
        apply(self.history, append())
        self.history.changed.clear()

    def _keep(self, batch: list[Event]) -> None:
        room = KEPT_EVENTS_MAX - len(self._batch)
        self.lost_events += max(0, len(batch) - room)
        self._batch = batch[:room] + self._batch
        self._is_flush_planned = True
        self._loop.call_later(RETRY_S, self.flush)

    def _plan_flush(self) -> None:
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self._loop.call_soon(self.flush)


def _run(acts: list[Act], error: BaseException | None) -> None:
    for act in acts:
        try:
            act(error)
        except Exception:  # one agent's trouble must not cost the others of its group their acts
            logger.exception("an act after a record failed, going on")
