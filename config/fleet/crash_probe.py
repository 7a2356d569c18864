"""crash_probe: ends badly every 40 seconds, each time in another way, to show that it comes back.

In turn: an exit code that is not 0, a segmentation fault, an exception that nobody catches, and an
abort. The number of its life is kept in `lives`, so each restart knows what is next. While it
lives it measures what a supervisor's restarts cost it: the time between two lives. SIGTERM ends it
with code 0.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

LIVES = Path("lives")
ENDED = Path("ended")
LIFE_SECONDS = 40.0
WAYS = ("exit code 3", "segmentation fault", "uncaught exception", "abort")


def next_life(path: Path) -> int:
    """Count this life in the file; the first is 1. A spoilt file begins anew."""
    try:
        life = int(path.read_text()) + 1
    except (OSError, ValueError):
        life = 1
    path.write_text(f"{life}\n")
    return life


def gap(path: Path, now_ns: int) -> str:
    """Say how long nobody was there, from the time that the last life left behind."""
    try:
        gone_ns = now_ns - int(path.read_text())
    except (OSError, ValueError):
        return "nobody was here before"
    return f"back {gone_ns / 1_000_000:.1f} ms after the last end"


def end(way: str) -> int:
    """End this life; returns an exit code or does not return."""
    if way == "segmentation fault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if way == "abort":
        os.abort()
    if way == "uncaught exception":
        raise RuntimeError("this is the exception that nobody catches")
    return 3


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # wanted crashes need no core files
    life = next_life(LIVES)
    way = WAYS[life % len(WAYS)]
    print(f"life {life}: {gap(ENDED, time.time_ns())}; ends in {LIFE_SECONDS:.0f} s by {way}")
    if signal.sigtimedwait({signal.SIGTERM}, LIFE_SECONDS):
        ENDED.unlink(missing_ok=True)
        print("stopping, for once without a crash")
        return 0
    print(f"now: {way}", file=sys.stderr)
    ENDED.write_text(f"{time.time_ns()}\n")
    return end(way)


if __name__ == "__main__":
    sys.exit(main())
