"""Our figures against the kernel's own files, on a live tree: the strictest comparison that holds.

An agent of nested cgroups works meanwhile. Settings, which stand still, are equal. Counters rise
all the time: the file is read before, then ours, then the file again, and ours lies in between;
where the file's count began earlier than ours, their rises over some time are compared so. Gauges
must be there. A pass in which nothing was compared, or nothing rose, is a failure and no success.

Source of the shape: below's cgroup_bpf parity tests (shared/reading/style.md, 2.2).
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import Row, Sampler
from tests.kernel.counting_rig import BACKENDS, SLOTS_MAX, Load, Rig, bind, make_rig, open_probes

SLOT = 3
ROUNDS = 4


class Tree:
    """An agent with a load in its cgroup and one in a nested one."""

    def __init__(self, rig: Rig, probes: Probes, sampler: Sampler) -> None:
        self.agent = rig.agent()
        self.cgroups = [self.agent, rig.agent("agent/inner")]
        bind(probes, SLOT, self.agent)
        sampler.add(SLOT, 103, self.agent.fd)
        self.sampler = sampler
        self.loads = [rig.load(cgroup) for cgroup in self.cgroups]

    def row(self) -> Row:
        """Measure everything now."""
        self.sampler.sample_now(SLOT)
        return self.sampler.row(SLOT)

    def talk(self) -> None:
        """Let the processes make calls and sleep; no thread and no process ends."""
        for load in self.loads:
            load.order("calls", 500)

    def work(self) -> None:
        """Let every counter rise: calls, CPU time, faults, switches, forks."""
        for load in self.loads:
            load.order("calls", 500)
            load.order("spin", 20, 4)
            load.order("memory", 4 << 20)
            load.order("fork", 3, 0)


@pytest.fixture(params=BACKENDS)
def tree(request: pytest.FixtureRequest) -> Iterator[Tree]:
    """Give a live tree, counted by one backend."""
    with (
        make_rig(request.param) as rig,
        open_probes(rig) as probes,
        closing(Sampler(probes, SLOTS_MAX)) as sampler,
    ):
        yield Tree(rig, probes, sampler)
        assert sampler.figures().failures == 0


# -- What the files say.


def per_load(tree: Tree, read: Callable[[Load], int]) -> int:
    """Add up a figure of the two processes."""
    return sum(map(read, tree.loads))


def switches_of(load: Load) -> int:
    """Return voluntary and other switches of all threads that live."""
    found = 0
    for path in Path(f"/proc/{load.process.pid}/task").glob("*/status"):
        for line in path.read_text().splitlines():
            if "voluntary_ctxt_switches" in line:
                found += int(line.split()[1])
    return found


def faults_of(load: Load) -> tuple[int, int]:
    """Return (minor and major, major) faults; those of children that were waited for as well."""
    text = Path(f"/proc/{load.process.pid}/stat").read_text().rpartition(")")[2]
    minor, children_minor, major, children_major = map(int, text.split()[7:11])
    return minor + children_minor + major + children_major, major + children_major


def cpu_stat_us(cgroup: Cgroup) -> int:
    """Return usage_usec."""
    return int((cgroup.read("cpu.stat") or "").split()[1])


def pressure_us(cgroup: Cgroup, name: str) -> int | None:
    """Return "some" in sum; None without PSI."""
    text = cgroup.read(f"{name}.pressure")
    return None if text is None else int(text.split("total=")[1].split()[0])


# -- Counters from the same beginning: read, ours, read.


@pytest.mark.parametrize(
    ("figure", "must_rise"),
    [
        ("cpu_time_us", True),
        ("cpu_pressure_us", False),
        ("memory_pressure_us", False),
        ("io_pressure_us", False),
    ],
)
def test_counters_of_the_cgroup_lie_between_two_readings(
    tree: Tree, figure: str, must_rise: bool
) -> None:
    def read() -> int | None:
        if figure == "cpu_time_us":
            return cpu_stat_us(tree.agent)
        return pressure_us(tree.agent, figure.removesuffix("_pressure_us"))

    seen = []
    for _ in range(ROUNDS):
        tree.work()
        before, shown, after = read(), getattr(tree.row(), figure), read()
        if before is None or after is None:
            assert shown is None, "the host has no such file and we have a figure"
            return
        assert before <= shown <= after
        seen.append(shown)
    assert len(seen) == ROUNDS
    assert seen == sorted(seen)
    if must_rise:
        assert seen[-1] > seen[0]


# -- Counters that the processes had before us: their rises, bracketed.


def rises(
    tree: Tree, figure: str, read: Callable[[], int], work: Callable[[], None]
) -> list[tuple[int, int, int]]:
    """Return per round the least that the file allows, what ours rose by, and the most."""
    found = []
    for _ in range(ROUNDS):
        outer = read()
        begun = getattr(tree.row(), figure)
        inner = read()
        work()
        inner = read() - inner
        ended = getattr(tree.row(), figure)
        outer = read() - outer
        found.append((inner, ended - begun, outer))
    return found


def test_context_switches_are_those_of_the_status_files(tree: Tree) -> None:
    # A thread that ends takes its own along, in the file.
    found = rises(tree, "context_switch_count", lambda: per_load(tree, switches_of), tree.talk)
    for least, ours, most in found:
        assert least <= ours <= most, found
    assert sum(ours for _, ours, _ in found) >= ROUNDS * len(tree.loads)


@pytest.mark.parametrize(("figure", "index"), [("page_fault_count", 0), ("major_fault_count", 1)])
def test_faults_are_those_of_the_stat_files(tree: Tree, figure: str, index: int) -> None:
    found = rises(
        tree, figure, lambda: per_load(tree, lambda load: faults_of(load)[index]), tree.work
    )
    for least, ours, most in found:
        assert least <= ours <= most, found
    if figure == "page_fault_count":
        # A guard against comparing nothing; how many pages one fault brings is the kernel's choice.
        assert sum(ours for _, ours, _ in found) >= ROUNDS * len(tree.loads) * 8


def test_forks_and_exits_are_those_that_were_ordered(tree: Tree) -> None:
    before = tree.row()
    for _ in range(ROUNDS):
        tree.work()
    after = tree.row()
    for figure in ("fork_count", "process_exit_count"):
        assert getattr(after, figure) - getattr(before, figure) == ROUNDS * len(tree.loads) * 3


def test_io_calls_are_those_of_the_io_files(tree: Tree) -> None:
    """`syscr` and `syscw`, which count the calls of the read and write families too."""

    def read() -> int:
        def calls(load: Load) -> int:
            text = Path(f"/proc/{load.process.pid}/io").read_text()
            figures = dict(line.split(": ") for line in text.splitlines())
            return int(figures["syscr"]) + int(figures["syscw"])

        return per_load(tree, calls)

    found = rises(tree, "io_ops", read, tree.work)
    for least, ours, most in found:
        assert least <= ours <= most, found
    assert sum(ours for _, ours, _ in found) > 0


# -- Gauges and settings.


def test_what_stands_still_is_equal(tree: Tree) -> None:
    tree.loads[1].order("pool", 3)
    row = tree.row()
    processes, threads = 0, 0
    for cgroup in tree.cgroups:
        processes += len((cgroup.read("cgroup.procs") or "").split())
        threads += len((cgroup.read("cgroup.threads") or "").split())
    tree.loads[1].order("pool", 0)
    assert (row.process_count, row.thread_count) == (processes, threads) == (2, 5)
    assert row.socket_count == 0


def test_every_figure_is_there(tree: Tree) -> None:
    """But those of a source that this host has not, which are named here."""
    tree.work()
    row = tree.row()
    absent = {name for name in row._fields if getattr(row, name) is None}
    expected = {"cpu_percent_milli", "syscall_rate", "last_activity_us"}  # of windows; none is over
    expected |= {
        f"{name}_pressure_us"
        for name in ("cpu", "memory", "io")
        if pressure_us(tree.agent, name) is None
    }
    assert absent == expected
    assert row.memory_bytes is not None
    assert row.memory_bytes > 4 << 20
