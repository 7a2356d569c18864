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
    """The lock of one journal; taken and released as often as needed."""

    __slots__ = ("_descriptor", "_journal")

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock. Raises JournalLocked when somebody else holds it, JournalError."""
        assert self._descriptor is None, "released before it is taken again"
        path = Path(f"{self._journal}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            raise JournalError("lock", path, error.strerror or str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise JournalLocked("lock", self._journal, "another process writes it") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next writer in. The file stays: removing it would let two in at once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
