"""leak_worker: leaks half a mebibyte a second, and restarts itself before it hurts.

At 48 MiB it exits with code 1, which brings it back small: after about a minute and a half. Should
it ever miss its own bound, the memory limit of its configuration (96 MiB) ends it. Every ten
seconds it prints what it leaked and what the kernel says that it uses. SIGTERM ends it with code 0.
"""

import signal
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
LEAK_BYTES = 512 * 1024
LEAK_BYTES_MAX = 48 * 1024 * 1024
REPORT_EVERY = 10


def resident_kib(status: str) -> int:
    """Read the resident set from the text of /proc/PID/status."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS in the status")


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    leaked: list[bytes] = []
    leaked_bytes = 0
    print(f"leaking up to {LEAK_BYTES_MAX >> 20} MiB")
    while leaked_bytes < LEAK_BYTES_MAX:
        # Bytes that are not zero: the pages are really used.
        leaked.append(b"\x5a" * LEAK_BYTES)
        leaked_bytes += LEAK_BYTES
        if len(leaked) % REPORT_EVERY == 0:
            mib = leaked_bytes / (1 << 20)
            print(f"leaked {mib:.1f} MiB, resident {resident_kib(STATUS.read_text())} KiB")
        if signal.sigtimedwait({signal.SIGTERM}, 1.0):
            print(f"stopping with {leaked_bytes >> 20} MiB leaked")
            return 0
    print(f"{leaked_bytes >> 20} MiB leaked: exiting to start small again", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
