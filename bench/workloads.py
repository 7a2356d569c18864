"""What programs notice of being counted: git status, a pytest run and redis-benchmark.

Each round runs each workload once in each way, in an order that changes from round to round, in a
cgroup at the agents' depth (as every service of a systemd host has):

    off       nothing is attached
    empty     an empty program at sys_enter and sched_switch: the least that attaching costs
    stranger  all our programs and the sampler; the workload is no agent
    agent     the same; the workload is an agent

A figure is the median over the rounds of the ratio to `off` of the same round, and to `empty`,
which nothing that is called on every syscall can be faster than; with the interval in which that
median lies at a confidence of 95 %: a shared machine drifts by more than the bars, and both of a
pair drift alike. Wall time is what the bars are for (a stranger at most 1 % slower, an agent at
most 3 %); CPU time of the cgroup stands beside it, since a busy machine disturbs it less. A bar is
missed when the whole interval lies above it, and undecided when it lies on it: then more rounds are
needed.

    python -m bench.workloads [--rounds 40] [--only git,pytest,redis] [--json]
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.report import conditions, keep, median_interval, table
from bench.slots import BENCH, BUILT, build
from bench.syscall_cost import Places, background
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import Sampler

WAYS = ("off", "empty", "stranger", "agent")
PAIRS = (
    ("empty", "off"), ("stranger", "off"), ("agent", "off"), ("stranger", "empty"),
    ("agent", "empty"),
)  # fmt: skip
BARS = {"stranger": 1.01, "agent": 1.03}
FOLDER = BUILT / "workloads"
PEERS = BUILT / "peers"
FILES, FOLDERS = 20_000, 200
GIT_RUNS = 4
TESTS = 150
REDIS_REQUESTS = 20_000
TIMEOUT_S = 120
SLOT = 3
# Attaching patches the kernel's tracepoints; what follows should find that done.
SETTLE_S = 0.1
TEST_FILE = """
import json
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_a_file(tmp_path, number):
    path = tmp_path / "value.json"
    path.write_text(json.dumps(list(range(number))))
    assert json.loads(path.read_text()) == list(range(number))
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]
"""

Workload = Callable[[Cgroup], float]


def enter(cgroup: Cgroup, command: Sequence[object]) -> list[str]:
    """Return the command line that joins the cgroup first."""
    script = 'echo 0 > "$0" && exec "$@"'
    return ["/bin/sh", "-c", script, str(cgroup.path / "cgroup.procs"), *map(str, command)]


def run(cgroup: Cgroup, command: Sequence[object], **options: Any) -> float:
    """Run it in the cgroup; return its wall time in seconds."""
    began = time.perf_counter()
    # No timeout of subprocess's: it polls. What hangs is ended with the bench (run.py).
    done = subprocess.run(
        enter(cgroup, command), stdin=subprocess.DEVNULL, capture_output=True, check=False,
        **options,
    )  # fmt: skip
    took_s = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.decode()[-500:]}")
    return took_s


def make_git() -> Workload:
    """A tree of 20,000 files under git, all unchanged: `status` looks at each of them."""
    tree = FOLDER / "tree"
    git = ("git", "-C", tree, "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")
    if not (tree / ".git").exists():
        shutil.rmtree(tree, ignore_errors=True)
        for number in range(FILES):
            path = tree / f"folder{number % FOLDERS}" / f"file{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number}\n")
        subprocess.run(["git", "init", "-q", tree], check=True, timeout=TIMEOUT_S)
        subprocess.run([*git, "add", "."], check=True, timeout=TIMEOUT_S)

    def status(cgroup: Cgroup) -> float:
        command = (*git, "--no-optional-locks", "status", "--porcelain")
        return sum(run(cgroup, command) for _ in range(GIT_RUNS))

    return status


def make_pytest() -> Workload:
    """A run of 150 small tests that write, read and list files."""
    tests = FOLDER / "test_files.py"
    tests.write_text(TEST_FILE.format(tests=TESTS))
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", FOLDER)
    basetemp = ("--basetemp", FOLDER / "tmp", tests)

    def pytest(cgroup: Cgroup) -> float:
        return run(cgroup, (*words, *basetemp), cwd=FOLDER)

    return pytest


def find_redis() -> tuple[str, dict[str, str]] | None:
    """Return the folder of redis's programs, and their environment; the host's or the unpacked."""
    found = shutil.which("redis-benchmark")
    if found and shutil.which("redis-server"):
        return str(Path(found).parent), dict(os.environ)
    folder = PEERS / "usr" / "bin"
    if not (folder / "redis-benchmark").exists():
        return None
    libraries = str(PEERS / "usr" / "lib" / f"{os.uname().machine}-linux-gnu")
    return str(folder), {**os.environ, "LD_LIBRARY_PATH": libraries}


def make_redis() -> Workload | None:
    """redis-benchmark as it is by default, 50 clients over TCP; its own server is in the cgroup."""
    found = find_redis()
    if found is None:
        return None
    folder, environment = found
    port = free_port()
    server = (f"{folder}/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
              "--appendonly", "no", "--dir", FOLDER, "--logfile", FOLDER / "redis.log")  # fmt: skip
    words = ("-p", port, "-t", "set,get", "-n", REDIS_REQUESTS, "-q")
    client = (f"{folder}/redis-benchmark", *words)

    def redis(cgroup: Cgroup) -> float:
        with subprocess.Popen(
            enter(cgroup, server), env=environment, stdout=subprocess.DEVNULL
        ) as process:
            try:
                deadline = time.monotonic() + TIMEOUT_S
                while not answers(port):
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise RuntimeError("redis-server does not start")
                    time.sleep(0.005)
                return run(cgroup, client, env=environment)
            finally:
                process.terminate()

    return redis


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def attached(way: str, places: Places) -> Iterator[Cgroup]:
    """Attach what the way says; give the cgroup to run in."""
    if way == "off":
        yield places.stranger
    elif way == "empty":
        with background([str(build("empty_probe", "-lbpf")), "sys_enter", "sched_switch"]):
            yield places.stranger
    else:
        with (
            Probes.open(None, places.root.fd, 1024, ProbePlan(Backend.CORE)) as probes,
            closing(Sampler(probes, 1024)) as sampler,
        ):
            probes.bind(SLOT, places.agent.fd, places.agent.id)
            sampler.add(SLOT, 1, places.agent.fd)
            sampler.start()
            yield places.agent if way == "agent" else places.stranger


def cpu_us(cgroup: Cgroup) -> int:
    """Return the CPU time of all that ran in the cgroup."""
    text = cgroup.read("cpu.stat") or ""
    return next(int(line.split()[1]) for line in text.splitlines() if "usage_usec" in line)


def measure(workloads: dict[str, Workload], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of every round, by "workload way wall" and "workload way cpu"."""
    found: dict[str, dict[str, list[float]]] = {}
    places = Places()
    try:
        for workload in workloads.values():
            workload(places.stranger)  # what it reads is in memory from now on
        for number in range(rounds):
            for name, workload in workloads.items():
                for step in range(len(WAYS)):
                    way = WAYS[(number + step) % len(WAYS)]
                    with attached(way, places) as cgroup:
                        time.sleep(SETTLE_S)
                        before = cpu_us(cgroup)
                        wall_s = workload(cgroup)
                        cpu_s = (cpu_us(cgroup) - before) / 1e6
                    kept = found.setdefault(f"{name} {way}", {"wall": [], "cpu": []})
                    kept["wall"].append(wall_s)
                    kept["cpu"].append(cpu_s)
    finally:
        with contextlib.suppress(OSError):
            places.close()
    return found


def ratios(
    found: dict[str, dict[str, list[float]]], name: str, way: str, to: str, clock: str
) -> dict[str, float]:
    """Return the median of a way's ratios to another of the same round, and its interval."""
    pairs = zip(found[f"{name} {way}"][clock], found[f"{name} {to}"][clock], strict=True)
    values = [on / off for on, off in pairs]
    low, high = median_interval(values)
    return {
        "median_s": round(statistics.median(found[f"{name} {way}"][clock]), 4),
        "ratio": round(statistics.median(values), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def judge(name: str, way: str, ratio: dict[str, float]) -> tuple[str, bool]:
    """Return what is to be said of a bar, and whether it is missed."""
    bar = BARS[way]
    if ratio["low"] > bar:
        return f"missed: {name} as {way}: {ratio['ratio']:.4f}, bar {bar}", True
    if ratio["high"] > bar:
        return f"undecided: {name} as {way}: the bar {bar} lies within the interval", False
    return "", False


def main() -> int:
    """Print the figures; status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", default="git,pytest,redis", help="workloads, by comma")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if find_redis() is None:
        subprocess.run([BENCH / "peers.sh"], check=False, timeout=300)
    makers = {"git": make_git, "pytest": make_pytest, "redis": make_redis}
    workloads = {}
    for name in arguments.only.split(","):
        workload = makers[name]()
        if workload is None:
            print(f"left out: {name} cannot be had here")
        else:
            workloads[name] = workload
    found = measure(workloads, arguments.rounds)
    figures: dict[str, Any] = {**conditions(), "rounds": arguments.rounds, "bars": BARS}
    rows: list[tuple[Any, ...]] = []
    for clock in ("wall", "cpu"):
        for name in workloads:
            for way, to in PAIRS:
                ratio = figures[f"{name} {way}/{to} {clock}"] = ratios(found, name, way, to, clock)
                label = f"{name}, {clock}: {way} to {to}"
                shown = (f"{ratio[key]:.4f}" for key in ("ratio", "low", "high"))
                bar = str(BARS.get(way, "-")) if (to, clock) == ("off", "wall") else "-"
                rows.append((label, ratio["median_s"], *shown, bar))
    verdicts = [
        judge(name, way, figures[f"{name} {way}/off wall"]) for name in workloads for way in BARS
    ]
    figures["verdicts"] = [text for text, _ in verdicts if text]
    keep("workloads", figures)
    if arguments.json:
        print(json.dumps(figures))
    else:
        columns = ("", "median, s", "ratio", "from", "to", "bar")
        print(table("slower by being counted, in the same round", columns, rows))
        print("\n".join(figures["verdicts"]))
    return 1 if any(is_missed for _, is_missed in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
