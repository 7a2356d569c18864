"""What can go wrong with the journal, each kind a type of its own.

A caller's bug (an event that has no canonical form) is core.events.EventFormatError, not one of
these. The message says operation, object and reason; SQLite's own error is the __cause__.
"""

from pathlib import Path


class UnreadableRow(ValueError):
    """Inside store/: a stored row that we cannot have written. Callers see JournalCorrupt.

    The tables are STRICT, but that binds who writes through SQLite: one flipped bit in a row's
    header turns a number into nothing or a text into bytes, and SQLite reads it so.
    """


class JournalError(Exception):
    """The journal could not do something: `operation` on `path`, because of `reason`."""

    def __init__(self, operation: str, path: Path, reason: str) -> None:
        super().__init__(f"unable to {operation} {path}: {reason}")
        self.operation = operation
        self.path = path
        self.reason = reason


class NotAJournal(JournalError):
    """There is a file, and it is something else."""


class JournalTooNew(JournalError):
    """A newer version wrote it; reading it without understanding it would falsify it."""

    def __init__(self, operation: str, path: Path, found: int, supported: int) -> None:
        reason = f"its schema is version {found}, this program knows up to {supported}"
        super().__init__(operation, path, reason)
        self.found = found
        self.supported = supported


class JournalLocked(JournalError):
    """Another process writes it. Readers are no hindrance."""


class JournalCorrupt(JournalError):
    """What is stored contradicts itself; `journal verify` names each place."""


class JournalFull(JournalError):
    """The queue of events that wait for the disk is full: nothing of this append was taken.

    What needs to be durable first must be refused; what has already happened must be kept by the
    caller (an exit stays unacknowledged at the keeper) and appended again later.
    """


class JournalClosed(JournalError):
    """The journal was closed before this could be written."""


class JournalBroken(JournalError):
    """The writer thread met a bug and ended: nothing is written any more. Restart the daemon."""


class BackupExists(JournalError):
    """The target of a backup is already there; nothing is overwritten."""
