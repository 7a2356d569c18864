"""What a set of processes costs, from /proc: CPU time of all their threads, and their memory."""

import contextlib
from pathlib import Path


def cpu_ns(pids: list[int]) -> int:
    """Return the CPU time of all living threads so far (schedstat: nanoseconds, not ticks)."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                total += int(path.read_text().split()[0])
    return total


def pss_bytes(pids: list[int]) -> int:
    """Return the memory of the processes, shared pages in proportion."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def descendants(root: int) -> list[int]:
    """Return root and everything below it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, path.read_text().split())
    return found
