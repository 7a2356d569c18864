"""What a command costs: wall time from exec to exit, of ours and of the interpreter alone.

With Debian's /usr/bin/python3, as people run it; the floor is that interpreter with nothing to do.
The daemon has 1,000 idle agents. All commands take turns, round by round.

    python -m bench.cli [--agents N] [--rounds N]
"""

import argparse
import os
import sys
import time
from typing import Any

from bench.ours import ROOT, Ours
from bench.processes import run_timed
from bench.report import conditions, keep, spread, table
from bench.slots import Slots, build

PYTHON = "/usr/bin/python3"
START_UP_MAX_MS = 60.0
STATUS_MAX_MS = 250.0


def commands(ours: Ours) -> dict[str, list[str]]:
    """Return what is measured, by the name in the table."""
    socket = ["--socket", str(ours.control_socket)]

    def cli(name: str, *arguments: str) -> list[str]:
        return [PYTHON, "-m", f"supervisord_asm.cli.{name}", *arguments]

    return {
        "python3 -c pass (floor)": [PYTHON, "-c", "pass"],
        "asmstatus --help": cli("asmstatus", "--help"),
        "asmctl --help": cli("asmctl", "--help"),
        # Two that load much, but not to explain themselves.
        "asmctl top --help": cli("asmctl", "top", "--help"),
        "asmctl plot --help": cli("asmctl", "plot", "--help"),
        "asmstatus": cli("asmstatus", *socket),
        "asmlist": cli("asmlist", *socket),
        "asmlist --json": cli("asmlist", "--json", *socket),
        "asminfo 1": cli("asminfo", "1", *socket),
        "asmctl list": cli("asmctl", "list", *socket),
    }


def measure(agents: int, rounds: int) -> dict[str, Any]:
    """Time every command `rounds` times."""
    slots = Slots("cli", agents)
    ours = Ours(build("agent"), slots, agents, start="auto")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    values: dict[str, list[float]] = {}
    try:
        ours.launch()
        slots.wait_up([0] * agents)
        ours.wait_ready()
        time.sleep(2.0)
        for _ in range(rounds):
            for name, command in commands(ours).items():
                took_ms, _ = run_timed(command, environment)
                values.setdefault(name, []).append(took_ms)
    finally:
        ours.remove()
        slots.close()
    return {name: spread(found) for name, found in values.items()}


def main() -> int:
    """Measure, print, keep; status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    before = conditions()
    found = measure(arguments.agents, arguments.rounds)
    floor = found["python3 -c pass (floor)"]["p50"]
    rows = [
        (name, one["p50"], one["p99"], one["min"], one["p50"] / floor)
        for name, one in found.items()
    ]
    title = f"commands, {arguments.agents} agents, ms (bars: --help 60, asmstatus 250)"
    print(table(title, ("", "p50", "p99", "min", "x floor"), rows))
    helps = [name for name in found if name.endswith("--help")]
    bars = {**dict.fromkeys(helps, START_UP_MAX_MS), "asmstatus": STATUS_MAX_MS}
    missed = [
        f"{name}: {found[name]['p50']:.0f} ms, bar {bar:g}"
        for name, bar in bars.items()
        if found[name]["p50"] > bar
    ]
    for line in missed:
        print(f"missed: {line}")
    keep("cli", {"conditions": before, "commands": found, "missed": missed})
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
