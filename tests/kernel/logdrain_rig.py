"""A running drain over a directory, and the agents' ends of its pipes: what its tests share."""

import itertools
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from supervisord_asm.core.logline import LogLine, parse_chunk
from supervisord_asm.kernel.logdrain import LogDrain

MIB = 1024 * 1024
AGENT = 100
GROUP_ID = 4242


class Fleet:
    """A running drain over a directory, and the write ends of its agents."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.drain = LogDrain(directory_fd, GROUP_ID)
        os.close(directory_fd)
        self.drain.start()
        self._runs = itertools.count(1)

    def agent(
        self, agent_id: int = AGENT, name: str = "probe", max_bytes: int = MIB, files: int = 2
    ) -> tuple[int, int, int]:
        """Add a run; returns its number and the write ends of stdout and stderr."""
        out_read, out = os.pipe()
        error_read, error = os.pipe()
        run = next(self._runs)
        self.drain.add(agent_id, run, name, out_read, error_read, max_bytes, files)
        return run, out, error

    def raw(self, name: str = "probe") -> bytes:
        """Read an agent's files, the oldest first."""
        files = sorted(self.directory.glob(f"{name}.log*"), key=lambda path: path.name)
        return b"".join(path.read_bytes() for path in reversed(files))

    def records(self, name: str = "probe") -> list[LogLine]:
        """Parse an agent's files; every line must be a whole record."""
        lines, rest = parse_chunk(self.raw(name))
        assert rest == b""
        records = [line for line in lines if isinstance(line, LogLine)]
        assert len(records) == len(lines)
        return records

    def wait_finished(self, timeout_s: float = 5.0) -> list[tuple[int, int]]:
        """Wait for the eventfd, take what has ended."""
        readable, _, _ = select.select([self.drain.fileno()], [], [], timeout_s)
        assert readable, "no run was reported as finished"
        return self.drain.finished()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
    """Wait until the condition holds, or fail."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def threads() -> dict[str, Path]:
    """Name this process's drain threads."""
    tasks = Path("/proc/self/task").iterdir()
    named = {(task / "comm").read_text().strip(): task for task in tasks}
    return {name: task for name, task in named.items() if name.startswith("asm-log")}


def status_field(task: Path, field: str) -> str:
    for line in (task / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.split()[1]
    raise AssertionError(f"no {field}")
