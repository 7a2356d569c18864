"""Many short lives of agents: nothing of ours grows with their number, in user space or kernel.

100,000 lives are what a day of one birth a second comes to, and a bit; those are for `make
test-long`. 2,000 show the same growth per life.
"""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import Sampler
from tests.kernel.counting_rig import BACKENDS, SLOTS_MAX, Rig, bind, make_rig, open_probes

WARM_UP = 300
# A leak of a single fd, cgroup, row or hundred bytes per life is far beyond these.
SLACK_KIB = 2048
BYTES_PER_LIFE = 100


@dataclass
class Held:
    """What we and the kernel hold for us."""

    rss_kib: int
    fds: int
    mappings: int
    dying_cgroups: int

    @classmethod
    def now(cls, root: Cgroup) -> "Held":
        """Look; waits a moment for cgroups that are being freed."""
        gc.collect()
        deadline = time.monotonic() + 20
        while (dying := _dying(root)) and time.monotonic() < deadline:
            time.sleep(0.05)
        status = Path("/proc/self/status").read_text().splitlines()
        rss = next(line for line in status if line.startswith("RssAnon:"))
        mappings = Path("/proc/self/maps").read_text().count("\n")
        return cls(int(rss.split()[1]), len(os.listdir("/proc/self/fd")), mappings, dying)


def _dying(root: Cgroup) -> int:
    lines = (root.read("cgroup.stat") or "").splitlines()
    return int(dict(line.split() for line in lines)["nr_dying_descendants"])


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


def live(rig: Rig, probes: Probes, sampler: Sampler, number: int) -> None:
    """Live one agent's life: cgroup, slot, process, figures, and all of it gone again."""
    slot = number % SLOTS_MAX
    with closing(Cgroup.make(rig.root.path / f"life-{number}")) as cgroup:
        bind(probes, slot, cgroup)
        sampler.add(slot, number + 1, cgroup.fd)
        if number % 8 == 0:
            run_in(cgroup)
        row = sampler.remove(slot)
        # Every figure is its own and not of the life before it in this slot.
        assert row.process_exit_count == (1 if number % 8 == 0 else 0)
        assert (row.agent_id, row.process_count) == (number + 1, 0)
        probes.unbind(slot)
        cgroup.remove_tree()


def run_in(cgroup: Cgroup) -> None:
    """Let a process live and end there."""
    pid = os.fork()
    if pid == 0:
        (cgroup.path / "cgroup.procs").write_text("0")
        os._exit(0)
    os.waitpid(pid, 0)
    while cgroup.is_populated():
        os.sched_yield()


@pytest.mark.parametrize("lives", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_nothing_grows_with_the_number_of_lives(rig: Rig, lives: int) -> None:
    with open_probes(rig) as probes, closing(Sampler(probes, SLOTS_MAX)) as sampler:
        sampler.start()
        for number in range(WARM_UP):
            live(rig, probes, sampler, number)
        before = Held.now(rig.root)
        for number in range(WARM_UP, WARM_UP + lives):
            live(rig, probes, sampler, number)
        after = Held.now(rig.root)
        assert sampler.figures().failures == 0
        assert sampler.figures().agents == 0
        assert probes.bound() == {}
    assert after.fds == before.fds
    assert after.dying_cgroups <= before.dying_cgroups + 5
    assert after.mappings <= before.mappings + 8
    assert after.rss_kib - before.rss_kib <= SLACK_KIB + min(lives, 10_000) * BYTES_PER_LIFE / 1024
