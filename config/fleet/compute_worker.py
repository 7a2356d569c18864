"""compute_worker: counts prime numbers, in bursts, at about 4 % of a core.

Each two seconds it sieves block after block until it has used 80 ms of CPU time. How far it came
is kept in `progress.json` (replaced as a whole), so a restart goes on where it stopped. Every half
minute it prints how many primes there are up to where it is, beside what the prime number theorem
expects. SIGTERM ends it with code 0.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

PROGRESS = Path("progress.json")
BLOCK = 20_000
BURST_SECONDS = 0.08
PERIOD_SECONDS = 2.0
PERIODS_PER_REPORT = 15


def small_primes(limit: int) -> list[int]:
    """List the primes up to and including limit (Eratosthenes)."""
    flags = bytearray([1]) * (limit + 1)
    flags[:2] = bytes(min(2, limit + 1))
    for number in range(2, math.isqrt(limit) + 1):
        if flags[number]:
            flags[number * number :: number] = bytes(len(range(number * number, limit + 1, number)))
    return [number for number, is_prime in enumerate(flags) if is_prime]


def count_block(first: int, size: int) -> int:
    """Count the primes in [first, first + size), with 2 <= first (segmented sieve)."""
    flags = bytearray([1]) * size
    for prime in small_primes(math.isqrt(first + size - 1)):
        start = max(prime * prime, -(-first // prime) * prime) - first
        flags[start::prime] = bytes(len(range(start, size, prime)))
    return sum(flags)


def load(path: Path) -> tuple[int, int]:
    """Read (next number to look at, primes so far); a missing or spoilt file begins anew."""
    try:
        saved = json.loads(path.read_text())
        return max(2, int(saved["next"])), max(0, int(saved["primes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 2, 0


def save(path: Path, following: int, primes: int) -> None:
    """Write the progress; a reader sees the old file or the new one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"next": following, "primes": primes}) + "\n")
    os.replace(new, path)


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    following, primes = load(PROGRESS)
    print(f"counting primes from {following}, {primes} so far")
    periods = 0
    while True:
        begin = time.process_time()
        while time.process_time() - begin < BURST_SECONDS:
            primes += count_block(following, BLOCK)
            following += BLOCK
        periods += 1
        if periods % PERIODS_PER_REPORT == 0:
            save(PROGRESS, following, primes)
            expected = (following - 1) / math.log(following - 1)
            print(f"{primes} primes below {following} ({primes / expected:.4f} of n/ln n)")
        if signal.sigtimedwait({signal.SIGTERM}, PERIOD_SECONDS - BURST_SECONDS):
            save(PROGRESS, following, primes)
            print(f"stopping at {following}")
            return 0


if __name__ == "__main__":
    sys.exit(main())
