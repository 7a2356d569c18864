"""The stamps of trivial agents (agent.c): who runs since when, without asking anybody.

A file in shared memory with one slot per agent. Agents write it, as whatever user they run; the
bench only looks, and kills by a pidfd that it opens for a pid that stands in a slot.
"""

import mmap
import os
import signal
import struct
import subprocess
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BUILT = BENCH.parent / "build" / "bench"
SLOT = struct.Struct("<QII")
POLL_S = 0.002


class NotUp(Exception):
    """Agents did not stamp in time: what is measured does not work."""


def build(name: str, *flags: str) -> Path:
    """Compile one C program of this folder, if it has changed."""
    source, program = BENCH / f"{name}.c", BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        warnings = ["-Wall", "-Wextra", "-Werror"]
        command = ["gcc", "-std=gnu17", "-O2", *warnings, "-D_GNU_SOURCE", "-o", program, source]
        subprocess.run([*command, *flags], check=True, timeout=60)
    return program


class Slots:
    """One file of slots. close() removes it."""

    def __init__(self, name: str, count: int) -> None:
        self.path = Path("/dev/shm") / f"asm-bench-{os.getpid()}-{name}"
        self.count = count
        size = max(4096, -(-count * SLOT.size // 4096) * 4096)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        os.fchmod(fd, 0o666)  # agents have uids of their own
        os.ftruncate(fd, size)
        self._map = mmap.mmap(fd, size)
        os.close(fd)

    def read(self, index: int) -> tuple[int, int, int]:
        """Return (started_ns, pid, starts) of one agent."""
        return SLOT.unpack_from(self._map, index * SLOT.size)  # type: ignore[return-value]  # <QII>

    def starts(self, count: int | None = None) -> list[int]:
        """Return how often each of the first `count` agents has started."""
        return [self.read(index)[2] for index in range(self.count if count is None else count)]

    def pids(self) -> set[int]:
        """Return the pids of those that have started."""
        return {pid for index in range(self.count) if (pid := self.read(index)[1])}

    def clear(self) -> None:
        """Forget all stamps."""
        self._map[:] = bytes(len(self._map))

    def wait_up(self, before: list[int], timeout_s: float = 60.0) -> int:
        """Wait until each agent has started once more than in `before`; return the last stamp.

        Raises NotUp.
        """
        deadline = time.monotonic() + timeout_s
        missing = range(len(before))
        while missing:
            missing = [i for i in missing if self.read(i)[2] <= before[i]]  # type: ignore[assignment]  # a list has all that is used of a range
            if missing and time.monotonic() > deadline:
                raise NotUp(f"{len(missing)} of {len(before)} agents are not up ({self.path.name})")
            if missing:
                time.sleep(POLL_S)
        return max(self.read(index)[0] for index in range(len(before)))

    def wait_one(self, index: int, before: int, timeout_s: float = 20.0) -> None:
        """Wait until one agent has started once more than in `before`. Raises NotUp."""
        deadline = time.monotonic() + timeout_s
        while self.read(index)[2] <= before:
            if time.monotonic() > deadline:
                raise NotUp(f"agent {index} did not come back ({self.path.name})")
            time.sleep(POLL_S / 4)

    def kill(self, index: int) -> int:
        """kill -9 the agent; return when, as its stamps count time."""
        fd = os.pidfd_open(self.read(index)[1])
        try:
            killed_ns = time.monotonic_ns()
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        return killed_ns

    def close(self) -> None:
        """Remove the file; mappings of living agents do not matter."""
        self._map.close()
        self.path.unlink(missing_ok=True)
