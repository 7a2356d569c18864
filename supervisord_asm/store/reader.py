"""Stored events for whoever asks, in this process or another, while the writer goes on."""

from pathlib import Path

from supervisord_asm.core.events import Event
from supervisord_asm.store.anchor import load_anchor
from supervisord_asm.store.connection import READ_ERRORS, open_reader
from supervisord_asm.store.errors import JournalCorrupt, JournalError, UnreadableRow
from supervisord_asm.store.record import CONTENT, open_content

# What one call may return: some 20 MiB of objects. Whoever wants more asks again.
LIMIT_MAX = 65_536
_PAGE = f"SELECT {CONTENT} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"


def read(path: Path, since: int = 0, limit: int = LIMIT_MAX) -> list[tuple[int, Event]]:
    """Return (seq, event) of the events above `since`, oldest first, at most `limit`.

    An empty list means that there is nothing newer. Hashes are not checked; verify does that.
    Raises JournalError, NotAJournal, JournalTooNew, JournalCorrupt.
    """
    connection = open_reader(path)
    try:
        # Events below the anchor may still be there, waiting to be deleted: they are gone for us.
        first = max(since, load_anchor(connection).seq)
        rows = connection.execute(_PAGE, (first, max(0, min(limit, LIMIT_MAX))))
        return [(values[0], open_content(values)) for values in rows]
    except UnreadableRow as error:
        raise JournalCorrupt("read", path, str(error)) from error
    except READ_ERRORS as error:
        raise JournalError("read", path, str(error)) from error
    finally:
        connection.close()
