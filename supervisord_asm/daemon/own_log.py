"""asmd's own log: stderr under systemd, whose journal takes it; elsewhere a capped file.

A log that cannot be written is never a reason to fail, nor to fill another file with the trouble:
what does not fit is dropped and counted.
"""

import logging
import logging.handlers
import os
import sys
from pathlib import Path

LOG_BYTES, LOG_FILES = 10 << 20, 1


class CappedFile(logging.handlers.RotatingFileHandler):
    """A log file of at most LOG_BYTES, and one older one."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError."""
        self.dropped_lines = 0
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the record that could not be written; the default prints a trace to stderr."""
        self.dropped_lines += 1


def set_up_logging(path: Path) -> None:
    """Log from now on: to stderr where systemd or a broken disk wants it, to the file elsewhere."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    form = "%(levelname)s %(name)s: %(message)s"
    if not os.environ.get("JOURNAL_STREAM"):
        form = f"%(asctime)s {form}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = CappedFile(path)
        except OSError as error:
            print(f"asmd: unable to open {path}: {error}; logging here", file=sys.stderr)
    handler.setFormatter(logging.Formatter(form))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def dropped_lines() -> int:
    """Return how many lines the log did not take."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped_lines for handler in handlers if isinstance(handler, CappedFile))
