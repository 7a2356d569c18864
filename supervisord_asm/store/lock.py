"""One writer per journal: a lock on a file beside it, held for life.

SQLite's own locks last for a transaction; two daemons that took turns would fork the chain. A
flock(2) on a file of its own does not interfere with SQLite's POSIX locks on the database, and dies
with the process, however that dies.
"""

import fcntl
import os
from pathlib import Path

from supervisord_asm.store.connection import MODE
from supervisord_asm.store.errors import JournalError, JournalLocked


class WriterLock:
    """Held from construction to `release`. Raises JournalLocked when somebody else holds it."""

    __slots__ = ("_descriptor",)

    def __init__(self, journal: Path) -> None:
        path = Path(f"{journal}.lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            raise JournalError("lock", path, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalLocked("lock", journal, "another process writes it") from error

    def release(self) -> None:
        """Let the next writer in. The file stays: removing it would let two in at once."""
        os.close(self._descriptor)
