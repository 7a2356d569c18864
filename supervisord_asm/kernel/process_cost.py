"""The CPU time and the memory of a process, as the kernel accounts them."""

import time
from pathlib import Path

# linux/posix-timers.h: a process's CPU clock is its inverted pid, its scheduler clock number 2.
_CPUCLOCK_SCHED = 2


def cpu_time_ns(pid: int) -> int:
    """Return the CPU time of all threads that the process ever had. Raises OSError (no process).

    To the nanosecond, with what is running now; anybody may ask.
    """
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)


def pss_bytes(pid: int) -> int | None:
    """Return the process's resident memory, shared pages in proportion; None when unreadable.

    Includes pages of mapped BPF maps. The kernel walks the page tables: milliseconds for hundreds
    of megabytes, so not from an event loop.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None  # a kernel thread, or a process that has just ended
