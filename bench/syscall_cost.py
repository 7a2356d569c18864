"""What counting costs: one syscall, beside nothing, an empty program, bcc and bpftrace.

Each round attaches every contender in turn and lets a getppid loop run in each kind of place: an
agent's cgroup, one nested in it, one at the agents' depth that is none (every service of a systemd
host), the root. Figures are medians over the rounds; what ours costs over the empty program is the
median of the rounds' differences, since a shared machine drifts more than the two differ.

The bars (shared/design/KERNEL.md): over an empty program an agent pays at most 30 ns per syscall
(90 where the kernel has no cgroup storage, which we do not use), a stranger at most 25, at most 12
in the root. Also printed: the mean run time of each of our programs by the kernel's statistics.

bcc is the counter that one writes first with it, a hash by cgroup id (bcc_counter.py); "ours by
bcc" is our own programs compiled by BCC, as on a kernel without BTF. Both need python3-bpfcc and
headers (headers.sh finds or fetches some). What cannot be had here is said and left out.

    bench/syscall_cost.py [--rounds 15] [--calls 500000] [--no-bpftrace] [--no-bcc] [--json]
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

from bench.report import conditions, keep, table
from bench.slots import BENCH, build
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel import bpf_cost
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.probes import Probes

AGENT_MAX_NS = 30
STRANGER_MAX_NS = 25
ROOT_MAX_NS = 12
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that has Debian's bcc
HEADERS_TIMEOUT_S = 300
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
def ours(places: Places, backend: Backend = Backend.CORE) -> Iterator[Probes]:
    """Attach our programs, with the agent bound."""
    plan = ProbePlan(backend)
    with Probes.open(None, places.root.fd, 1024, plan) as probes:
        probes.bind(7, places.agent.fd, places.agent.id)
        yield probes


def contenders(peers: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return who is measured, and in which places."""
    all_places = ("agent", "nested", "stranger", "root")
    found = {"nothing": ("agent",), "empty": all_places, "ours": all_places}
    if "bcc" in peers:
        found |= {"ours by bcc": ("agent", "stranger"), "bcc": ("agent",)}
    if "bpftrace" in peers:
        found["bpftrace"] = ("agent",)
    return found


def find_peers() -> frozenset[str]:
    """Return which peers this host has; says what is missing. Sets BCC_KERNEL_SOURCE."""
    found = set()
    if shutil.which("bpftrace"):
        found.add("bpftrace")
    else:
        print("left out: bpftrace is not installed")
    asked = subprocess.run([SYSTEM_PYTHON, "-c", "import bcc"], check=False, capture_output=True)
    if asked.returncode:
        print("left out: python3-bpfcc is not installed")
        return frozenset(found)
    if "BCC_KERNEL_SOURCE" not in os.environ:
        command = [str(BENCH / "headers.sh")]
        answer = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=HEADERS_TIMEOUT_S
        )
        if answer.returncode:
            print("left out: bcc finds no kernel headers")
            return frozenset(found)
        os.environ["BCC_KERNEL_SOURCE"] = answer.stdout.strip()
    return frozenset(found | {"bcc"})


def attach(name: str, places: Places) -> AbstractContextManager[object]:
    """Return the contender as a context."""
    if name == "empty":
        # Beside sys_enter also sched_switch: ours has both.
        return background([str(build("empty_probe", "-lbpf")), "sys_enter", "sched_switch"])
    if name == "ours":
        return ours(places)
    if name == "ours by bcc":
        return ours(places, Backend.BCC)
    if name == "bcc":
        return background([SYSTEM_PYTHON, str(BENCH / "bcc_counter.py")])
    if name == "bpftrace":
        return background(["bpftrace", "-e", BPFTRACE])
    return nullcontext()


def measure(rounds: int, calls: int, peers: frozenset[str]) -> dict[str, list[float]]:
    """Return the nanoseconds per call of every round, by "contender place"."""
    loop = str(build("syscall_loop"))
    places = Places()
    found: dict[str, list[float]] = {}
    try:
        chosen = contenders(peers)
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
    loop = str(build("syscall_loop"))
    try:
        with ours(places), bpf_cost.statistics():
            for place in ("agent", "stranger"):
                command = [loop, places.procs(place), str(calls)]
                subprocess.run(command, capture_output=True, check=True)
            found = bpf_cost.read_programs(bpf_cost.held_objects())
    finally:
        places.close()
    return [
        (item.name, item.run_time_ns / item.run_count, item.run_count)
        for item in found
        if item.run_count
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
    parser.add_argument("--no-bcc", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    already = others()
    unwanted = {"bpftrace"} if arguments.no_bpftrace else set()
    peers = find_peers() - unwanted - ({"bcc"} if arguments.no_bcc else set())
    found = measure(arguments.rounds, arguments.calls, peers)
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
            (name, middle, min(all_), middle / nothing, round(middle - nothing, 1))
            for name, all_ in found.items()
            for middle in (statistics.median(all_),)
        ]
        columns = ("", "median", "least", "x nothing", "over nothing")
        print(table("getppid, ns of CPU per call", columns, rows))
        over = [(place, costs[place], float(bar)) for place, bar in bars.items()]
        print(table("ours over the empty program, ns", ("", "median", "bar"), over))
        times = [*figures["run_time_ns"].items()]
        print(table("mean run time by the kernel's statistics, ns", ("", "ns"), times))
        if already:
            print(f"{already} other programs were at sys_enter all the while")
    return 0 if all(costs[place] <= bar for place, bar in bars.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
