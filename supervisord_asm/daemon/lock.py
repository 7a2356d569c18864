"""One daemon for one run directory: flock(2) on the lock file, held as long as it lives."""

import fcntl
import os
from pathlib import Path


class AlreadyRunning(Exception):
    """Another asmd holds the lock; the text names it."""


class Lock:
    """The held lock. The kernel lets go of it when we die, however we die."""

    def __init__(self, lock_file: Path, pid_file: Path) -> None:
        """Take it and write the pid file. Raises AlreadyRunning, OSError."""
        self._pid_file = pid_file
        self._fd = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            holder = pid_file.read_text().strip() if pid_file.exists() else "unknown"
            raise AlreadyRunning(
                f"another asmd (pid {holder}) holds {lock_file}; stop it first: asmctl shutdown"
            ) from error
        pid_file.write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Remove the pid file and let go."""
        self._pid_file.unlink(missing_ok=True)
        os.close(self._fd)
