"""An agents' root of the tests' own, agents in it, and the load program that obeys orders.

Everything is made below <cgroup2>/asm-test-<pid>-counting and removed again; pins, if any, go to a
folder of the same name on bpffs, which is mounted where it is missing.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.mounts import mount_bpffs
from supervisord_asm.kernel.probes import Counts, Probes, unpin
from tests.kernel.programs import build

SOURCES = Path(__file__).parent / "c"
# What the counting tests are run over; conftest.py chooses which of them can work on this host.
BACKENDS = [
    pytest.param(Backend.CORE, marks=pytest.mark.core),
    pytest.param(Backend.BCC, marks=pytest.mark.bcc),
]
SLOTS_MAX = 64
NAME = f"asm-test-{os.getpid()}-counting"


class Load:
    """A running counting_load, or another program that obeys orders, in one cgroup."""

    def __init__(self, cgroup: Path, name: str = "counting_load") -> None:
        """Start it and wait until it has joined the cgroup."""
        program = build(name, SOURCES / f"{name}.c")
        self.process = subprocess.Popen(
            [program, cgroup / "cgroup.procs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._wait()

    def order(self, *words: object) -> None:
        """Give an order and wait until it has been carried out."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        self._wait()

    def begin(self, *words: object) -> None:
        """Give an order; `_wait` is left to `finish`."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()

    def finish(self) -> None:
        """Wait until the order of `begin` has been carried out."""
        self._wait()

    def close(self) -> None:
        """End it; whatever it has started is killed with its cgroup."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _wait(self) -> None:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer == b"done\n", f"the load answered {answer!r}"
        # Until it sleeps in the read of its next order, that read may or may not be counted yet.
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            os.sched_yield()


class Rig:
    """The agents' root and what was made in it."""

    def __init__(self, root: Cgroup, backend: Backend) -> None:
        """Begin with an empty root."""
        self.root = root
        self.plan = ProbePlan(backend)
        self._cgroups: list[Cgroup] = []
        self._loads: list[Load] = []

    def agent(self, name: str = "agent") -> Cgroup:
        """Make the cgroup of an agent, or (NAME/INNER) one below an agent's."""
        cgroup = Cgroup.make(self.root.path / name)
        self._cgroups.append(cgroup)
        return cgroup

    def load(self, cgroup: Cgroup | Path, name: str = "counting_load") -> Load:
        """Start a load in a cgroup."""
        load = Load(cgroup.path if isinstance(cgroup, Cgroup) else cgroup, name)
        self._loads.append(load)
        return load

    def close(self) -> None:
        """Kill and remove everything."""
        self.root.kill()
        for load in self._loads:
            load.close()
        for cgroup in self._cgroups:
            cgroup.close()
        _remove(self.root)


def _remove(cgroup: Cgroup) -> None:
    # A killed process leaves its cgroup a moment after it was reported.
    deadline = time.monotonic() + 10
    while cgroup.is_populated() and time.monotonic() < deadline:
        time.sleep(0.001)
    cgroup.remove_tree()
    cgroup.close()


@contextmanager
def make_rig(backend: Backend = Backend.CORE) -> Iterator[Rig]:
    """Make an agents' root for one test."""
    rig = Rig(Cgroup.make(find_cgroup2_root() / NAME), backend)
    try:
        yield rig
    finally:
        rig.close()


@contextmanager
def make_pin_dir() -> Iterator[Path]:
    """Name a pin folder of this test's own; whatever is in it afterwards is removed."""
    mount_bpffs()
    path = Path("/sys/fs/bpf") / NAME
    try:
        yield path
    finally:
        unpin(path)


def open_probes(rig: Rig, pin_dir: Path | None = None, slots_max: int = SLOTS_MAX) -> Probes:
    """Open probes over the rig's root."""
    pins = None if pin_dir is None else str(pin_dir)
    return Probes.open(pins, rig.root.fd, slots_max, rig.plan)


def bind(probes: Probes, slot: int, cgroup: Cgroup) -> None:
    """Bind a slot to the cgroup."""
    probes.bind(slot, cgroup.fd, cgroup.id)


def difference(after: Counts, before: Counts) -> dict[str, int]:
    """Return how much each counter rose; only those that did."""
    names = ("syscalls", "io_calls", "forks", "execs", "exits", "exits_error", "exits_signal")
    rises = {name: getattr(after, name) - getattr(before, name) for name in names}
    return {name: rise for name, rise in rises.items() if rise}
