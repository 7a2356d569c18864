"""idle_agent: does nothing, and says so every five minutes.

The measure of what an agent costs by being there: one process, no wake-ups between two lines. It
prints its own CPU time, so the supervisor's figure can be held against it. SIGTERM ends it with
code 0.
"""

import resource
import signal
import sys

HEARTBEAT_SECONDS = 300.0


def used() -> str:
    """Say what this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
    return f"{cpu_ms:.0f} ms of CPU, {usage.ru_maxrss} KiB at most, {usage.ru_nvcsw} waits"


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print(f"idle: {used()}")
    while not signal.sigtimedwait({signal.SIGTERM}, HEARTBEAT_SECONDS):
        print(f"still idle: {used()}")
    print(f"stopping: {used()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
