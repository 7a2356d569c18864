"""What the journal's tests share: opening, waiting, filling."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from supervisord_asm.core.events import Event
from supervisord_asm.core.history import History, apply
from supervisord_asm.store.journal import QUEUE_MAX, Journal
from tests.kernel.journal_writer import numbered

# Ten times the longest pause between two attempts at a disk that refuses.
PATIENCE_S = 10.0


def opened(path: Path, queue_max: int = QUEUE_MAX) -> Journal:
    """Open the journal as the daemon does."""
    return Journal.open(path, clock=time.monotonic_ns, queue_max=queue_max)


def settle(journal: Journal) -> None:
    """Wait until everything that was appended is durable."""
    reached = threading.Event()
    journal.append([], lambda error: reached.set())
    assert reached.wait(PATIENCE_S)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Fail with `what` when the condition does not come true."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come"
        time.sleep(0.005)


def events(first: int, last: int) -> list[Event]:
    """Return the events that must be numbers `first` to `last` of the journal."""
    return [numbered(number) for number in range(first, last + 1)]


def filled(path: Path, count: int) -> tuple[Journal, History]:
    """Return a new journal with so many durable events, and what they add up to."""
    journal = opened(path)
    live = journal.history
    journal.append(events(1, count))
    for event in events(1, count):
        apply(live, event)
    settle(journal)
    return journal, live


def opened_and_closed(path: Path) -> History:
    """Return what a daemon that starts now would know."""
    journal = opened(path)
    journal.close()
    return journal.history
