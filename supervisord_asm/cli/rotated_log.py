"""A log file read as one stream of bytes, through rotations.

The writer renames `<name>.log` to `<name>.log.1` and starts a new `<name>.log`; it never truncates
and never writes to a renamed file. So a file that has a successor is complete, and a reader that
keeps its files open loses nothing, however slow it is, as long as it looks for a successor more
often than the writer rotates twice (10 MiB each). When what is now `.log.1` is a file that it never
opened, it was late, and opens that one first. That was one file late, with nothing lost, if the
rename that made it `.log.1` is the one that took the newest open file's last name: a rename gives a
new change time to the file that it moves and then to the one that it replaces. If the file was
moved only after that, there was another between, which nobody can open any more; then `is_gap` is
set, for the caller to say so.

`notice_rotation` may be called from another thread than `read`: a reader that blocks in writing on
what it read (a full disk cache, a slow pipe) has a thread of its own look meanwhile.
"""

import os
import threading
import time
from collections import deque

# What one read takes: about 5 ms of decoding, which is also how often rotation is noticed.
CHUNK_BYTES = 256 * 1024
# Open files of a reader that lags: 640 MiB of log. Beyond that a gap is accepted and told.
BACKLOG_MAX = 64
# Between its two renames a rotation leaves no current file, for as long as a busy disk takes.
BETWEEN_FILES_POLL_S = 0.001
BETWEEN_FILES_TRIES = 1000
# Change times are taken from a clock that ticks every 4 ms (CONFIG_HZ=250) or more often, and some
# file systems set both in the other order. No disk takes 10 MiB in that time. (A rename that waits
# for a busy disk sets them up to 100 ms apart, in the right order: seen on ext4, 6.18.)
CHANGE_TIME_TICK_NS = 4_000_000


class RotatedLog:
    """Reads a log and what follows. Close it, or use it as a context manager."""

    def __init__(self, path: str) -> None:
        """Begin with the rotated file, if there is one. A missing log may still come."""
        self.path = path
        self.is_gap = False
        self.read_bytes = 0
        self._fds: deque[int] = deque()
        self._noticing = threading.Lock()
        self._open_both()

    @classmethod
    def of_run(cls, path: str, offset_bytes: int, begun: bytes) -> "RotatedLog":
        """Begin where a run's output begins.

        Args:
            path: the current file.
            offset_bytes: the size of the log when the run began; 0 also if there was none.
            begun: a time, written as in the records, before the run and after all that was
                written before it. It tells the files apart: the log may have been rotated since.
        """
        log = cls(path)
        for _ in range(BETWEEN_FILES_TRIES):
            if _path_identity(path) is not None or not log._fds:
                break
            time.sleep(BETWEEN_FILES_POLL_S)
        log.notice_rotation()
        log._drop_older(offset_bytes, begun)
        return log

    def _open_both(self) -> None:
        # The current file first: a rotation between the two opens then gives one file twice, which
        # can be seen, and not a file in between that nobody opened.
        current_fd, rotated_fd = _open(self.path), _open(self._rotated_path)
        for fd in (rotated_fd, current_fd):
            if fd is not None:
                self._append(fd)

    def _drop_older(self, offset_bytes: int, begun: bytes) -> None:
        """Leave the file in which the run began, at its offset, and those after it."""
        fds = list(self._fds)
        stamps = [os.pread(fd, len(begun), 0) for fd in fds]
        # A file begun during the run holds nothing but the run; an empty one has no stamp.
        first = next((index for index, stamp in enumerate(stamps) if stamp >= begun), len(fds) - 1)
        if offset_bytes:
            holders = [
                index
                for index, stamp in enumerate(stamps)
                if b"" < stamp < begun and os.fstat(fds[index]).st_size >= offset_bytes
            ]
            if holders:
                first = holders[-1]
                os.lseek(fds[first], offset_bytes, os.SEEK_SET)
            else:
                self.is_gap = bool(fds)  # it has been rotated away twice since
        for _ in range(first):
            os.close(self._fds.popleft())

    def __enter__(self) -> "RotatedLog":
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every file. May be called twice."""
        while self._fds:
            os.close(self._fds.popleft())

    def read(self) -> bytes:
        """Return what comes next, at most CHUNK_BYTES; empty when there is nothing more now."""
        self.notice_rotation()
        while self._fds:
            # Asked before the read: only of a file that had a successor then is the end final.
            has_successor = len(self._fds) > 1
            data = os.read(self._fds[0], CHUNK_BYTES)
            self.read_bytes += len(data)
            if data or not has_successor:
                return data
            os.close(self._fds.popleft())
        return b""

    def notice_rotation(self) -> None:
        """Open the file that has taken the place of the newest open one, if one has."""
        with self._noticing:
            self._notice_rotation()

    @property
    def _rotated_path(self) -> str:
        return f"{self.path}.1"

    def _notice_rotation(self) -> None:
        newest = _identity(self._fds[-1]) if self._fds else None
        if _path_identity(self.path) in (newest, None):
            return  # no other file, or not yet: between its renames a rotation leaves none
        if len(self._fds) >= BACKLOG_MAX:
            self.is_gap = True
            return
        current_fd = _open(self.path)
        if current_fd is None:
            return  # renamed just now: the next call finds the new one
        rotated_fd = _open(self._rotated_path)
        known = (newest, _identity(current_fd))
        if newest is None or rotated_fd is None or _identity(rotated_fd) in known:
            _close(rotated_fd)
        else:
            self.is_gap = self.is_gap or not _is_successor(rotated_fd, self._fds[-1])
            self._append(rotated_fd)
        self._append(current_fd)

    def _append(self, fd: int) -> None:
        if self._fds and _identity(self._fds[-1]) == _identity(fd):
            os.close(fd)
        else:
            self._fds.append(fd)


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _is_successor(fd: int, predecessor_fd: int) -> bool:
    """Tell whether the rename of this file took its predecessor's last name."""
    later_ns = os.fstat(fd).st_ctime_ns - os.fstat(predecessor_fd).st_ctime_ns
    return later_ns <= CHANGE_TIME_TICK_NS


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _path_identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
