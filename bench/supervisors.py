"""Supervising, side by side: what a start, a restart and idling cost us, the floors and the peers.

Every contender runs the same trivial agents (agent.c), which stamp their own main(): what is
measured needs no quick poller beside it. All contenders take turns within one run, so that
whatever else the machine does meets them alike; ratios to the C floor of the same run say more
than milliseconds of different days.

- kill: kill -9 of an agent to its new main(). Each agent is killed once per round, and rounds are
  further apart than `stable`, so for us each is a first restart (later ones back off). s6 and
  supervisord restart after a second by design: their agents are killed all the same, and looked at
  in the end.
- start: for us from an accepted `asmctl start` on a running asmd; and, as `cold`, from the keeper's
  exec with an empty journal. For the others, which have no such difference, from their exec.
- idle: CPU time and PSS of all processes that are not agents.
- status: the wall time of the command that shows the state of all agents.

Of a busy machine the ratios still hold roughly, and `chrt -r 1` before the command takes most of
the others' work out of the way: everything measured inherits it.

    python -m bench.supervisors [--quick] [--only kill,start,cold,idle] [--peers "asm;floor, C"]
"""

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.contenders import KINDS, PEER_KINDS, Contender
from bench.ours import ROOT, Ours
from bench.processes import cpu_ns, map_pss_bytes, pss_bytes, run_timed
from bench.report import conditions, keep, spread, table
from bench.slots import BENCH, Slots, build

OURS = "asm"
MS = 1e6
KILL_P50_MAX_MS, KILL_P99_MAX_MS = 2.0, 6.0
START_MAX_MS = {100: 120.0, 1000: 1500.0}
COLD_MAX_MS = 600.0
IDLE_MAX_PERCENT = 2.0
STATUS_MAX_MS = 250.0
PSS_MAX_MIB = 60e6 / (1 << 20)


@dataclass
class Plan:
    """How much is measured."""

    kill_agents: int = 100
    kill_rounds: int = 3
    sizes: tuple[int, ...] = (1, 100, 1000)
    start_rounds: int = 7
    cold_rounds: int = 7
    idle_agents: int = 1000
    idle_s: int = 30
    # Ours shows rates over the last minute: for so long after a start there is something to say.
    settle_s: float = 65.0
    status_rounds: int = 20
    names: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    def kinds(self) -> list[type[Contender]]:
        """Return those of the others that are wanted and there."""
        wanted = [kind for kind in KINDS if not self.names or kind.name in self.names]
        return [kind for kind in wanted if kind.missing() is None]

    @property
    def has_ours(self) -> bool:
        """Whether we are measured, too."""
        return not self.names or OURS in self.names


class Fleet:
    """N agents under one contender, or under us, with their slots."""

    def __init__(self, kind: type[Contender] | None, count: int, start: str = "auto") -> None:
        self.name = kind.name if kind else OURS
        self.is_slow = kind.is_slow if kind else False
        self.slots = Slots(self.name.replace(", ", "-"), count)
        self.count = count
        agent = build("agent")
        self.contender: Contender | Ours = (
            kind(agent, self.slots, count) if kind else Ours(agent, self.slots, count, start=start)
        )

    def launch(self) -> float:
        """Start it; return the milliseconds until all agents were up."""
        before = self.slots.starts()
        began_ns = self.contender.launch()
        return (self.slots.wait_up(before) - began_ns) / MS

    def supervisors(self) -> dict[str, list[int]]:
        """Return the pids of what is not an agent, by program where there are several."""
        if isinstance(self.contender, Ours):
            return {name: [pid] for name, pid in self.contender.pids().items()}
        return {"": self.contender.supervisors()}

    def close(self) -> None:
        """Take everything away."""
        self.contender.remove()
        self.slots.close()


def measure_kill(plan: Plan) -> dict[str, Any]:
    """Kill agents of all contenders in turn."""
    fleets = [Fleet(kind, plan.kill_agents) for kind in plan.kinds()]
    if plan.has_ours:
        fleets.append(Fleet(None, plan.kill_agents))
    waits: dict[str, list[float]] = {fleet.name: [] for fleet in fleets}
    try:
        for fleet in fleets:
            fleet.launch()
        time.sleep(2.0)  # supervisord calls an agent running after a second
        gc.collect()
        gc.disable()
        for _ in range(plan.kill_rounds):
            killed: dict[str, list[int]] = {fleet.name: [] for fleet in fleets}
            befores = {fleet.name: fleet.slots.starts() for fleet in fleets}
            for index in range(plan.kill_agents):
                for fleet in fleets:
                    killed[fleet.name].append(fleet.slots.kill(index))
                    if not fleet.is_slow:
                        fleet.slots.wait_one(index, befores[fleet.name][index])
                    time.sleep(0.004)
            for fleet in fleets:
                fleet.slots.wait_up(befores[fleet.name])
                stamps = [fleet.slots.read(i)[0] for i in range(plan.kill_agents)]
                took = zip(stamps, killed[fleet.name], strict=True)
                waits[fleet.name] += [(up - kill) / MS for up, kill in took]
            time.sleep(1.0)
    finally:
        gc.enable()
        for fleet in fleets:
            fleet.close()
    return {name: spread(values) for name, values in waits.items()}


def measure_start(plan: Plan) -> dict[str, Any]:
    """Start 1, 100 and 1,000 agents, in turn; median of the rounds."""
    found: dict[str, dict[str, Any]] = {}
    for size in plan.sizes:
        rounds: dict[str, list[float]] = {}
        ours = Fleet(None, size, "manual") if plan.has_ours else None
        try:
            if ours is not None:
                assert isinstance(ours.contender, Ours)
                ours.contender.launch()
                ours.contender.wait_ready()
                time.sleep(1.0)
            for number in range(plan.start_rounds):
                if ours is not None:
                    rounds.setdefault(OURS, []).append(_start_ours(ours))
                for kind in plan.kinds():
                    if kind.is_slow and number >= 2:
                        continue  # a second or more each; two are enough to see it
                    rounds.setdefault(kind.name, []).append(_launch_once(kind, size))
        finally:
            if ours is not None:
                ours.close()
        for name, values in rounds.items():
            found.setdefault(name, {})[str(size)] = spread(values)
    return found


def _start_ours(fleet: Fleet) -> float:
    assert isinstance(fleet.contender, Ours)
    before = fleet.slots.starts()
    began_ns = fleet.contender.order_start(None)
    took_ms = (fleet.slots.wait_up(before) - began_ns) / MS
    time.sleep(0.2)
    fleet.contender.stop_agents()
    time.sleep(0.3)
    return took_ms


def _launch_once(kind: type[Contender] | None, size: int) -> float:
    fleet = Fleet(kind, size)
    try:
        return fleet.launch()
    finally:
        fleet.close()


def measure_cold(plan: Plan) -> dict[str, Any]:
    """From the keeper's exec, with an empty journal, to 100 agents up; the floors beside it."""
    rounds: dict[str, list[float]] = {}
    kinds = [kind for kind in plan.kinds() if not kind.is_slow]
    for _ in range(plan.cold_rounds):
        for kind in (*kinds, None) if plan.has_ours else kinds:
            name = kind.name if kind else OURS
            rounds.setdefault(name, []).append(_launch_once(kind, 100))
    return {name: spread(values) for name, values in rounds.items()}


def measure_idle(plan: Plan) -> dict[str, Any]:
    """CPU time and memory with N idle agents, and the time of a status of all of them."""
    found: dict[str, Any] = {}
    for kind in (*plan.kinds(), None) if plan.has_ours else plan.kinds():
        fleet = Fleet(kind, plan.idle_agents)
        try:
            fleet.launch()
            time.sleep(plan.settle_s if kind is None else 3.0)
            pids = fleet.supervisors()
            before = {name: cpu_ns(group) for name, group in pids.items()}
            began = time.monotonic()
            time.sleep(plan.idle_s)
            passed_s = time.monotonic() - began
            record: dict[str, Any] = {
                "cpu_ms_per_s": {
                    name: round((cpu_ns(group) - before[name]) / MS / passed_s, 3)
                    for name, group in pids.items()
                },
                "pss_mib": {
                    name: round(pss_bytes(group) / (1 << 20), 1) for name, group in pids.items()
                },
                "map_pss_mib": round(sum(map(map_pss_bytes, pids.values())) / (1 << 20), 2),
                "processes": sum(map(len, pids.values())),
            }
            record["status_ms"] = _measure_status(fleet, plan.status_rounds)
            found[fleet.name] = record
        finally:
            fleet.close()
    return found


def _measure_status(fleet: Fleet, rounds: int) -> dict[str, float] | None:
    environment = dict(os.environ)
    if isinstance(fleet.contender, Ours):
        environment["PYTHONPATH"] = str(ROOT)
        socket = ("--socket", str(fleet.contender.control_socket))
        command = ["/usr/bin/python3", "-m", "supervisord_asm.cli.asmlist", *socket]
    else:
        words = fleet.contender.status()
        if words is None:
            return None
        command, environment = [str(word) for word in words], fleet.contender.environment
    values = []
    for _ in range(rounds):
        took_ms, output = run_timed(command, environment)
        assert output.count(b"\n") >= fleet.count, "it shows every agent"
        values.append(took_ms)
    return spread(values)


# -- Printing.


def print_kill(found: dict[str, Any]) -> None:
    """Print the restarts."""
    floor = found.get("floor, C", {})
    rows = [
        (name, one["p50"], one["p99"], one["max"], _ratio(one, floor, "p50"), one["n"])
        for name, one in found.items()
    ]
    columns = ("", "p50", "p99", "max", "x floor", "kills")
    print(table("kill -9 of an agent to its new main(), ms (bar: 2 / 6)", columns, rows))


def print_start(found: dict[str, Any]) -> None:
    """Print the starts."""
    sizes = sorted({int(size) for one in found.values() for size in one})
    floor = found.get("floor, C", {})
    rows = []
    for name, one in found.items():
        medians = [one[str(size)]["p50"] if str(size) in one else None for size in sizes]
        ratios = [_ratio(one.get(str(size)), floor.get(str(size)), "p50") for size in sizes]
        rows.append((name, *medians, *ratios))
    columns = ("agents", *map(str, sizes), *(f"x floor {size}" for size in sizes))
    title = "from the order to all main()s, ms, median (bar: 100: 120, 1000: 1500)"
    print(table(title, columns, rows))


def print_cold(found: dict[str, Any]) -> None:
    """Print the cold starts."""
    rows = [(name, one["p50"], one["min"], one["max"]) for name, one in found.items()]
    print(table("cold start to 100 main()s, ms (bar: 600)", ("", "p50", "min", "max"), rows))


def print_idle(found: dict[str, Any]) -> None:
    """Print idling, memory and the status of all."""
    rows: list[tuple[Any, ...]] = []
    for name, one in found.items():
        status = one["status_ms"]["p50"] if one["status_ms"] else None
        cpu, pss = one["cpu_ms_per_s"], one["pss_mib"]
        rows.append((name, sum(cpu.values()), sum(pss.values()), one["processes"], status))
        if one.get("map_pss_mib"):
            rows.append(("  of it BPF maps", None, one["map_pss_mib"], None, None))
        if len(cpu) > 1:
            rows += [(f"  {part}", cpu[part], pss[part], 1, None) for part in cpu]
    columns = ("", "CPU ms/s", "PSS MiB", "processes", "status of all, ms")
    print(table("idle with 1,000 agents (bars: asmd 20 ms/s, 57.2 MiB)", columns, rows))


def _ratio(one: Any, floor: Any, key: str) -> float | None:
    return one[key] / floor[key] if one and floor else None


FIGURES: dict[str, tuple[Callable[[Plan], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
    "kill": (measure_kill, print_kill),
    "start": (measure_start, print_start),
    "cold": (measure_cold, print_cold),
    "idle": (measure_idle, print_idle),
}


def missed(figures: dict[str, Any]) -> list[str]:
    """Name the bars that we miss."""
    found = []

    def hold(what: str, value: float | None, bar: float) -> None:
        if value is not None and value > bar:
            found.append(f"{what}: {value:.3g}, bar {bar:g}")

    kill = figures.get("kill", {}).get(OURS, {})
    hold("kill p50, ms", kill.get("p50"), KILL_P50_MAX_MS)
    hold("kill p99, ms", kill.get("p99"), KILL_P99_MAX_MS)
    start = figures.get("start", {}).get(OURS, {})
    for size, bar in START_MAX_MS.items():
        hold(f"start of {size}, ms", start.get(str(size), {}).get("p50"), bar)
    hold("cold start, ms", figures.get("cold", {}).get(OURS, {}).get("p50"), COLD_MAX_MS)
    idle = figures.get("idle", {}).get(OURS, {})
    asmd_ms = idle.get("cpu_ms_per_s", {}).get("asmd")
    hold("asmd idle, % of a core", asmd_ms and asmd_ms / 10, IDLE_MAX_PERCENT)
    hold("PSS of asmd with 1,000, MiB", idle.get("pss_mib", {}).get("asmd"), PSS_MAX_MIB)
    hold("status of 1,000, ms", (idle.get("status_ms") or {}).get("p50"), STATUS_MAX_MS)
    return found


def main() -> int:
    """Measure, print, keep; status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--only", default=",".join(FIGURES), help="figures, by comma")
    parser.add_argument("--peers", default="", help="contenders, by semicolon; default all")
    arguments = parser.parse_args()
    plan = Plan(names=tuple(filter(None, arguments.peers.split(";"))))
    if arguments.quick:
        plan.kill_rounds, plan.start_rounds, plan.cold_rounds, plan.idle_s = 1, 2, 2, 5
    figures: dict[str, Any] = {"conditions": conditions()}
    if any(kind.missing() for kind in PEER_KINDS):
        subprocess.run([BENCH / "peers.sh"], check=False, timeout=300)
    for kind in KINDS:
        why = kind.missing()
        if why:
            print(f"left out: {why}")
            figures.setdefault("left_out", []).append(why)
    for name in arguments.only.split(","):
        measure, show = FIGURES[name]
        figures[name] = measure(plan)
        show(figures[name])
    figures["conditions_after"] = conditions()
    figures["missed"] = missed(figures)
    for line in figures["missed"]:
        print(f"missed: {line}")
    keep("supervisors", figures)
    return 1 if figures["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
