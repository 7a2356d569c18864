"""A log file read as one stream of bytes, through rotations.

The writer renames `<name>.log` to `<name>.log.1` and starts a new `<name>.log`; it never truncates
and never writes to a renamed file. So a file that has a successor is complete, and a reader that
keeps its files open loses nothing, however slow it is, as long as it looks for a successor more
often than the writer rotates (10 MiB apart). When it did not, it can tell: what is now `.log.1` is
a file that it never opened. Then `is_gap` is set, for the caller to say so.
"""

import os
from collections import deque

# What one read takes: about 5 ms of decoding, which is also how often rotation is noticed.
CHUNK_BYTES = 256 * 1024
# Open files of a reader that lags: 640 MiB of log. Beyond that a gap is accepted and told.
BACKLOG_MAX = 64


class RotatedLog:
    """Reads from an offset on, then what follows. Close it, or use it as a context manager."""

    def __init__(self, path: str, offset_bytes: int = 0, *, with_rotated: bool = False) -> None:
        """Open the log; a missing file is an empty one that may still come.

        Args:
            path: the current file.
            offset_bytes: where to start in it. If the file is shorter, it has been rotated since
                the offset was taken, and the offset is one of the rotated file.
            with_rotated: start at the beginning of the rotated file instead, if there is one.
        """
        self.path = path
        self.is_gap = False
        self._fds: deque[int] = deque()
        # The current file first: a rotation between the two opens then gives one file twice, which
        # can be seen, and not a file in between that nobody opened.
        current_fd = _open(path)
        is_shorter = current_fd is not None and os.fstat(current_fd).st_size < offset_bytes
        rotated_fd = _open(self._rotated_path) if with_rotated or is_shorter else None
        for fd in (rotated_fd, current_fd):
            if fd is not None:
                self._append(fd)
        if offset_bytes and self._fds:
            os.lseek(self._fds[0], offset_bytes, os.SEEK_SET)

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
        self._notice_rotation()
        while self._fds:
            data = os.read(self._fds[0], CHUNK_BYTES)
            if data or len(self._fds) == 1:
                return data
            # The successor was there before this read found the end, so the end is final.
            os.close(self._fds.popleft())
        return b""

    @property
    def _rotated_path(self) -> str:
        return f"{self.path}.1"

    def _notice_rotation(self) -> None:
        newest = _identity(self._fds[-1]) if self._fds else None
        if _path_identity(self.path) in (newest, None):
            return
        if len(self._fds) >= BACKLOG_MAX:
            self.is_gap = True
            return
        current_fd = _open(self.path)
        if current_fd is None:
            return  # renamed just now: the next call finds the new one
        between = _path_identity(self._rotated_path)
        if newest is not None and between not in (newest, None, _identity(current_fd)):
            self.is_gap = True
            rotated_fd = _open(self._rotated_path)
            if rotated_fd is not None:
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


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _path_identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
