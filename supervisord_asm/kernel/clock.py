"""The clocks of records. Deadlines use the loop's own clock; only these end up in a record.

CLOCK_BOOTTIME orders records within one boot, also across suspend, and never steps; the wall clock
is for people. The boot id tells two boots' times apart (random(4), proc_sys_kernel(5)).
"""

import time
from pathlib import Path


def boottime_us() -> int:
    """Return microseconds since boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def realtime_ns() -> int:
    """Return nanoseconds since the Unix epoch."""
    return time.time_ns()


def boot_id() -> str:
    """Return the kernel's random id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
