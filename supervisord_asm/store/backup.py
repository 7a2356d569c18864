"""A copy of the journal as it stands, taken while it is being written.

The copy is one file: complete or not there at all, 0640, with everything that was durable when it
was begun. It is a journal like any other: verify it, read it, or put it in the place of a lost one.

SQLite's backup in one step holds a read snapshot, which in WAL mode hinders no writer; in several
steps it would begin again whenever somebody wrote in between.
"""

import os
import sqlite3
from pathlib import Path

from supervisord_asm.store.connection import open_reader, own
from supervisord_asm.store.errors import BackupExists, JournalError


def back_up(journal: Path, target: Path, group: str) -> None:
    """Copy `journal` into the new file `target`. Raises BackupExists, JournalError."""
    if target.exists():
        raise BackupExists("back up to", target, "it exists, and nothing is overwritten")
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    source = open_reader(journal)
    try:
        _copy(source, unfinished)
        own(unfinished, group)
        _sync(unfinished)
        # link, not rename: it fails where the target has come to be in the meantime.
        os.link(unfinished, target)
        unfinished.unlink()
        _sync(target.parent)
    except FileExistsError as error:
        raise BackupExists("back up to", target, "it exists, and nothing is overwritten") from error
    except sqlite3.Error as error:
        raise JournalError("back up to", target, str(error)) from error
    except OSError as error:
        raise JournalError("back up to", target, error.strerror or str(error)) from error
    finally:
        source.close()
        unfinished.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, path: Path) -> None:
    target = sqlite3.connect(path, isolation_level=None)
    try:
        source.backup(target)
        # No -wal and -shm beside the copy: it can be read from a read-only medium.
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
