"""What sampling costs: the pass over 1,000 agents, idle and active, and reading the rows.

Cgroups are made for all agents; the active ones, a tenth and then all of them, hold a process each
that makes a call every fifth of a second. Figures: the duration of a pass, the sampling thread's
CPU time per second, the time that `changed()` and `rows()` take in Python. The bars: a pass over
1,000 idle agents under 1 ms (asmd's whole budget is 2 % of a core); over 1,000 agents with every
figure, however many are active, at most 8 ms of CPU. `waiting`: active agents whose gauges had to
wait for the next pass. Needs root.

    bench/sampler_pass.py [--agents 1000] [--active 100,1000] [--seconds 10] [--json]
"""

import argparse
import json
import os
import resource
import select
import statistics
import subprocess
import sys
import time
from contextlib import closing

from bench.report import conditions, keep, table
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import Sampler

IDLE_PASS_MAX_US = 1000
ACTIVE_CPU_MAX_US = 8000
SLEEPER = "while read -t 0.2 || :; do :; done"


def measure(sampler: Sampler, seconds: int) -> dict[str, float]:
    """Return the figures of so many passes."""
    passes_us: list[int] = []
    changed_us: list[float] = []
    rows_us: list[float] = []
    changed = 0
    sampler.changed()
    begun = sampler.figures()
    for _ in range(seconds):
        select.select([sampler], [], [], 5)
        sampler.acknowledge()
        passes_us.append(sampler.figures().last_pass_us)
        at = time.perf_counter()
        changed = len(sampler.changed())
        changed_us.append((time.perf_counter() - at) * 1e6)
        at = time.perf_counter()
        sampler.rows()
        rows_us.append((time.perf_counter() - at) * 1e6)
    ended = sampler.figures()
    return {
        "pass_us": statistics.median(passes_us),
        "longest_pass_us": max(passes_us),
        "thread_cpu_us_per_s": (ended.thread_cpu_us - begun.thread_cpu_us) / seconds,
        "measured": ended.measured,
        "waiting": ended.waiting,
        "changed": changed,
        "changed_call_us": round(statistics.median(changed_us), 1),
        "rows_call_us": round(statistics.median(rows_us), 1),
    }


def end(root: Cgroup, processes: list[subprocess.Popen[bytes]]) -> None:
    """End the active ones. May be called again."""
    root.kill()
    for process in processes:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    while root.is_populated():
        time.sleep(0.01)


def run(agents: int, actives: list[int], seconds: int) -> dict[str, dict[str, float]]:
    """Measure idle with probes, so many active with probes (rising), idle without."""
    root = Cgroup.make(find_cgroup2_root() / f"asm-test-{os.getpid()}-bench")
    cgroups = [Cgroup.make(root.path / str(number)) for number in range(agents)]
    found = {}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with Probes.open(None, root.fd, agents, ProbePlan(Backend.CORE)) as probes:
            with closing(Sampler(probes, agents)) as sampler:
                sampler.start()
                for slot, cgroup in enumerate(cgroups):
                    probes.bind(slot, cgroup.fd, cgroup.id)
                    sampler.add(slot, slot + 1, cgroup.fd)
                select.select([sampler], [], [], 5)
                found["idle"] = measure(sampler, seconds)
                for active in actives:
                    for cgroup in cgroups[len(processes) : active]:
                        joins = f"echo $$ > {cgroup.path}/cgroup.procs; {SLEEPER}"
                        command = ["bash", "-c", joins]
                        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
                    time.sleep(3.0)
                    found[f"{active} active"] = measure(sampler, seconds)
            end(root, processes)
            with closing(Sampler(None, agents)) as sampler:
                sampler.start()
                for slot, cgroup in enumerate(cgroups):
                    sampler.add(slot, slot + 1, cgroup.fd)
                select.select([sampler], [], [], 5)
                found["idle, no probes"] = measure(sampler, seconds)
    finally:
        end(root, processes)
        for cgroup in cgroups:
            cgroup.close()
        root.remove_tree()
        root.close()
    return found


def main() -> int:
    """Print the figures; status 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--active", default="100,1000", help="how many, rising, by comma")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    # At most six descriptors per agent, and one more of the bench's.
    wanted = 8 * arguments.agents + 256
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    actives = [int(word) for word in arguments.active.split(",")]
    found = run(arguments.agents, actives, arguments.seconds)
    figures = {**conditions(), "agents": arguments.agents, "figures": found}
    keep("sampler_pass", figures)
    if arguments.json:
        print(json.dumps(figures))
    else:
        names = [*found["idle"]]
        rows = [(name, *(found[kind][name] for kind in found)) for name in names]
        print(table(f"{arguments.agents} agents", ("", *found), rows))
    is_idle_met = found["idle"]["pass_us"] <= IDLE_PASS_MAX_US
    busy = max(found[f"{active} active"]["thread_cpu_us_per_s"] for active in actives)
    is_busy_met = busy <= ACTIVE_CPU_MAX_US
    return 0 if is_idle_met and is_busy_met else 1


if __name__ == "__main__":
    sys.exit(main())
