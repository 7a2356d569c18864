"""What counting costs: one syscall, and one context switch, beside nothing, empty and bpftrace.

Each round attaches every contender in turn and lets a getppid loop run in each kind of place: an
agent's cgroup, one nested in it, one at the agents' depth that is none (every service of a systemd
host), the root. Figures are medians over the rounds; what ours costs over the empty program is the
median of the rounds' differences, since a shared machine drifts more than the two differ.

The bars (shared/design/KERNEL.md): over an empty program an agent pays at most 30 ns per syscall
(90 where the kernel has no cgroup storage, which we do not use), a stranger at most 25, at most 12
in the root. Also printed: the mean run time of each of our programs by the kernel's statistics.

    bench/syscall_cost.py [--rounds 15] [--calls 500000] [--no-bpftrace] [--json]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from bench.report import conditions, keep, table
from bench.slots import build
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.probes import Probes

AGENT_MAX_NS = 30
STRANGER_MAX_NS = 25
ROOT_MAX_NS = 12
STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
BPFTRACE = (
    'tracepoint:raw_syscalls:sys_enter { @[cgroup] = count(); } BEGIN { printf("ready\\n"); }'
)


class Places:
    """An agents' root with one agent, and the same depth beside it. close() removes all."""

    def __init__(self) -> None:
        """Make them below the cgroup2 root."""
        name = f"asm-test-{os.getpid()}-bench"
        above = find_cgroup2_root()
        self.root = Cgroup.make(above / name)
        self.agent = Cgroup.make(self.root.path / "agent")
        self.nested = Cgroup.make(self.agent.path / "nested")
        self.beside = Cgroup.make(above / f"{name}-beside")
        self.stranger = Cgroup.make(self.beside.path / "stranger")

    def procs(self, place: str) -> str:
        """Return the argument that puts the loop into a place."""
        if place == "root":
            return "-"
        cgroup: Cgroup = getattr(self, place)
        return str(cgroup.path / "cgroup.procs")

    def close(self) -> None:
        """Remove them."""
        for cgroup in (self.nested, self.agent, self.stranger):
            cgroup.close()
        for cgroup in (self.root, self.beside):
            cgroup.remove_tree()
            cgroup.close()


@contextmanager
def background(command: list[str]) -> Iterator[None]:
    """Run a program from its line "ready" on; end it afterwards."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for line in process.stdout:
            if line.strip().endswith(b"ready"):
                break
        else:
            raise RuntimeError(f"{command[0]} did not start")
        try:
            yield
        finally:
            process.stdin.close()
            process.terminate()


@contextmanager
def ours(places: Places) -> Iterator[Probes]:
    """Attach our programs, with the agent bound."""
    plan = ProbePlan(Backend.CORE)
    with Probes.open(None, places.root.fd, 1024, plan) as probes:
        probes.bind(7, places.agent.fd, places.agent.id)
        yield probes


def contenders(places: Places, has_bpftrace: bool) -> dict[str, tuple[str, ...]]:
    """Return who is measured, and in which places."""
    all_places = ("agent", "nested", "stranger", "root")
    found = {"nothing": ("agent",), "empty": all_places, "ours": all_places}
    if has_bpftrace:
        found["bpftrace"] = ("agent",)
    return found


def attach(name: str, places: Places) -> AbstractContextManager[object]:
    """Return the contender as a context."""
    if name == "empty":
        # Beside sys_enter also sched_switch: ours has both.
        return background([str(build("empty_probe", "-lbpf")), "sys_enter", "sched_switch"])
    if name == "ours":
        return ours(places)
    if name == "bpftrace":
        return background(["bpftrace", "-e", BPFTRACE])
    return nullcontext()


def measure(rounds: int, calls: int, has_bpftrace: bool) -> dict[str, list[float]]:
    """Return the nanoseconds per call of every round, by "contender place"."""
    loop = str(build("syscall_loop"))
    places = Places()
    found: dict[str, list[float]] = {}
    try:
        chosen = contenders(places, has_bpftrace)
        for _ in range(rounds):
            for name, where in chosen.items():
                with attach(name, places):
                    for place in where:
                        command = [loop, places.procs(place), str(calls)]
                        done = subprocess.run(command, capture_output=True, check=True)
                        found.setdefault(f"{name} {place}", []).append(float(done.stdout))
    finally:
        places.close()
    return found


def run_times(calls: int) -> list[tuple[str, float, int]]:
    """Return (program, mean ns, runs) of our programs, by the kernel's own statistics."""
    places = Places()
    before = STATISTICS.read_text()
    try:
        with ours(places):
            STATISTICS.write_text("1")
            loop = str(build("syscall_loop"))
            for place in ("agent", "stranger"):
                subprocess.run(
                    [loop, places.procs(place), str(calls)], capture_output=True, check=True
                )
            listing = subprocess.run(
                ["bpftool", "-j", "prog", "show"], capture_output=True, check=True
            )
    finally:
        STATISTICS.write_text(before)
        places.close()
    return [
        (item["name"], item["run_time_ns"] / item["run_cnt"], item["run_cnt"])
        for item in json.loads(listing.stdout)
        if item.get("run_cnt") and item["type"] == "tracing"
    ]


def others() -> int:
    """Return how many programs are at sys_enter already: they slow every contender alike."""
    listing = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
    return sum(item.get("name") == "sys_enter" for item in json.loads(listing.stdout))


def over_empty(found: dict[str, list[float]], place: str) -> float:
    """Return the median of what ours costs over the empty program in a place."""
    pairs = zip(found[f"ours {place}"], found[f"empty {place}"], strict=True)
    return round(statistics.median(mine - empty for mine, empty in pairs), 1)


def main() -> int:
    """Print the figures; status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=500_000)
    parser.add_argument("--no-bpftrace", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    already = others()
    has_bpftrace = not arguments.no_bpftrace and shutil.which("bpftrace") is not None
    found = measure(arguments.rounds, arguments.calls, has_bpftrace)
    nothing = statistics.median(found["nothing agent"])
    bars = {"agent": AGENT_MAX_NS, "nested": AGENT_MAX_NS, "stranger": STRANGER_MAX_NS,
            "root": ROOT_MAX_NS}  # fmt: skip
    costs = {place: over_empty(found, place) for place in bars}
    figures = {
        **conditions(),
        "programs_already_at_sys_enter": already,
        "rounds": arguments.rounds,
        "ns_per_call": {name: round(statistics.median(all_), 1) for name, all_ in found.items()},
        "over_empty_ns": costs,
        "bars_ns": bars,
        "run_time_ns": {name: round(mean, 1) for name, mean, _ in run_times(arguments.calls)},
    }
    keep("syscall_cost", figures)
    if arguments.json:
        print(json.dumps(figures))
    else:
        rows = [
            (name, statistics.median(all_), min(all_), statistics.median(all_) / nothing)
            for name, all_ in found.items()
        ]
        print(table("getppid, ns of CPU per call", ("", "median", "least", "x nothing"), rows))
        over = [(place, costs[place], float(bar)) for place, bar in bars.items()]
        print(table("ours over the empty program, ns", ("", "median", "bar"), over))
        times = [*figures["run_time_ns"].items()]
        print(table("mean run time by the kernel's statistics, ns", ("", "ns"), times))
        if already:
            print(f"{already} other programs were at sys_enter all the while")
    return 0 if all(costs[place] <= bar for place, bar in bars.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
