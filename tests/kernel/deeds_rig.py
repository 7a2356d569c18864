"""The load program of the tests of faults, network bytes, syscalls by number and what ran."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisord_asm.kernel.cgroupfs import Cgroup
from tests.kernel.programs import build

SOURCE = Path(__file__).parent / "c" / "deeds_load.c"


class DeedsLoad:
    """A running deeds_load in one cgroup. close() ends it."""

    def __init__(self, cgroup: Path) -> None:
        """Start it and wait until it has joined the cgroup."""
        self.process = subprocess.Popen(
            [build("deeds_load", SOURCE), cgroup / "cgroup.procs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.finish()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def order(self, *words: object) -> int:
        """Give an order, wait until it has been carried out, return its number."""
        self.begin(*words)
        return self.finish()

    def begin(self, *words: object) -> None:
        """Give an order; `finish` waits for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()

    def finish(self) -> int:
        """Wait until the order has been carried out and the program sleeps; return its number."""
        assert self.process.stdout is not None
        word, number = self.process.stdout.readline().split()
        assert word == b"done"
        while self._stat()[0] != "S":
            os.sched_yield()
        return int(number)

    def faults(self) -> tuple[int, int]:
        """Return the process's own (minor, major) faults, as the kernel tells anybody."""
        fields = self._stat()
        return int(fields[7]), int(fields[9])

    def childrens_faults(self) -> int:
        """Return the faults, minor and major, of the children that it has waited for."""
        fields = self._stat()
        return int(fields[8]) + int(fields[10])

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _stat(self) -> list[str]:
        # From the state on, which proc(5) counts as field 3.
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()


@contextmanager
def deeds_loads(*cgroups: Cgroup) -> Iterator[list[DeedsLoad]]:
    """Run one load in each cgroup."""
    loads: list[DeedsLoad] = []
    try:
        loads.extend(DeedsLoad(cgroup.path) for cgroup in cgroups)
        yield loads
    finally:
        for load in loads:
            load.close()
