"""How the database is opened: by its one writer, and by any number of readers beside it.

WAL and synchronous=FULL: a COMMIT returns when its frames are on the disk, and readers see a
snapshot without ever making the writer wait. Files are 0640 root:asm (SQLite gives -wal and -shm
the mode and owner of the database).

The write-ahead log is filled with zeros up to WAL_BYTES when the journal is opened. Overwriting
blocks that exist spares the file system's own journal at each fsync (a lone commit took 316 us on a
growing log and 180 us on a filled one), and it is a reserve: with the disk full, events still go
into it until it is used up. Zeros are no valid frame, so recovery stops before them.

Nobody in a process may open and close the database file itself while SQLite has it open: closing
any descriptor drops the process's POSIX locks on it (sqlite.org/howtocorrupt.html, 2.2).

Sources: sqlite.org/wal.html, sqlite.org/pragma.html, sqlite.org/walformat.html.
"""

import grp
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from supervisord_asm.store.errors import JournalError
from supervisord_asm.store.schema import prepare_schema, read_version

MODE = 0o640
# 2,048 frames, about 500 lone commits: twice what is written between two checkpoints
# (writer.CHECKPOINT_FRAMES), so that a log which waits for a checkpoint does not grow either.
WAL_BYTES = 8 << 20
# How long a reader's recovery or a backup's last step may hold us up before an attempt fails.
BUSY_TIMEOUT_S = 2.0
# What a damaged database raises: SQLite's errors, and Python's when it cannot even decode the text
# of such an error because it quotes the damage.
READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_BLOCK_BYTES = 1 << 20


def open_writer(path: Path, group: str, *, create: bool) -> sqlite3.Connection:
    """Open or make the database for writing; the caller holds the lock (store/lock.py).

    Raises JournalError, NotAJournal, JournalTooNew; sqlite3.Error where the disk fails.
    """
    if create:
        _make_file(path, group)
    connection = _connect(path, "rw")
    try:
        # auto_vacuum stays off: pages that a compaction frees are used again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "PRAGMA wal_autocheckpoint = 0"
        )  # the writer does it after its callbacks
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        prepare_schema(connection, path)
        # A log left by a crash goes into the database now; what stays is empty and can be filled.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except BaseException:  # whatever it was, leave nothing open
        connection.close()
        raise
    _fill_log(path)
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an existing journal for reading, whether somebody writes it or not.

    Raises JournalError, NotAJournal, JournalTooNew.
    """
    if not path.exists():
        raise JournalError("open", path, "there is no such file")
    try:
        connection = _connect(path, "ro&immutable=1" if _is_frozen(path) else "ro")
    except READ_ERRORS as error:
        raise JournalError("open", path, str(error)) from error
    try:
        connection.execute("PRAGMA query_only = ON")
        read_version(connection, path)
    except READ_ERRORS as error:
        connection.close()
        raise JournalError("open", path, str(error)) from error
    except BaseException:  # whatever it was, leave nothing open
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions begin and end where we say so
        check_same_thread=False,  # opened by one thread, then owned by the writer alone
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _is_frozen(path: Path) -> bool:
    """Whether the file lies complete on a read-only medium: no -shm can be made, none is needed."""
    log = Path(f"{path}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not has_log


def own(path: Path, group: str) -> None:
    """Give a file of ours the mode 0640 and, where the group exists and we may, root:group."""
    os.chmod(path, MODE)
    if os.geteuid() != 0:
        return
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        gid = 0  # no such group on this host: root alone
    os.chown(path, 0, gid)


def _make_file(path: Path, group: str) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, MODE))
    except FileExistsError:
        pass  # the usual case
    except OSError as error:
        raise JournalError("make", path, error.strerror or str(error)) from error
    own(path, group)


def _fill_log(path: Path) -> None:
    # Without O_CREAT: SQLite has made it, with the right owner.
    descriptor = os.open(f"{path}-wal", os.O_WRONLY | os.O_CLOEXEC)
    try:
        # From the end on: a reader may have kept frames from being moved into the database.
        size = os.fstat(descriptor).st_size
        while size < WAL_BYTES:
            size += os.pwrite(descriptor, bytes(min(_BLOCK_BYTES, WAL_BYTES - size)), size)
        os.fsync(descriptor)
    except OSError:
        pass  # no room for a reserve: slower commits are better than no journal
    finally:
        os.close(descriptor)
