"""What processes cost: CPU time and memory, from /proc; and how long a command takes."""

import contextlib
import subprocess
import tempfile
import threading
import time
from pathlib import Path

COMMAND_TIMEOUT_S = 60.0


def run_timed(command: list[str], environment: dict[str, str]) -> tuple[float, bytes]:
    """Run a command in /; return its wall time in milliseconds, and its output.

    Waited for without a time-out of subprocess's, which polls every 50 ms; a timer kills instead.
    """
    with tempfile.TemporaryFile() as output:
        began_ns = time.monotonic_ns()
        process = subprocess.Popen(command, env=environment, cwd="/", stdout=output)
        timer = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
        timer.start()
        process.wait()
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        timer.cancel()
        output.seek(0)
        return took_ms, output.read()


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


def anonymous_bytes(pid: int) -> int:
    """Return the memory that the process alone has: its heap, stacks and buffers."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return 0


def map_pss_bytes(pids: list[int]) -> int:
    """Return how much of it are mapped BPF maps."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            is_map = False
            for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
                if "-" in line.split()[0]:
                    is_map = line.endswith("bpf-map")
                elif is_map and line.startswith("Pss:"):
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
