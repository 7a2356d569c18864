"""Whether anything of ours grows as agents come and go: 100,000 lifetimes, and some real ones.

- simulated: each lifetime's six records through asmd's recorder into a journal, in this process:
  100,000 of them. What must not grow is the history and the memory.
- real: `asmctl run`s of /bin/true on a daemon of the bench's own, by as many workers as there are
  cores and two; each replaces the one that had its name. Watched: memory of the three programs,
  their descriptors, and the cgroups.

The first part of each is left out, and of the real ones also more than a minute before: rings and
caches fill. The bar is on the rest, per lifetime, taken as the difference of the medians of its
first and its last third: 100,000 lifetimes may add 2 % of asmd's 60 MB, which is 12 bytes each. The
journal's file grows by design (its size per lifetime is printed); `journal.retention_days` bounds
it.

    python -m bench.churn [--simulated 100000] [--real 10000] [--json]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.ours import Ours
from bench.processes import anonymous_bytes
from bench.report import conditions, keep, table
from bench.slots import Slots, build
from supervisord_asm.api.client import Client
from supervisord_asm.api.numbers import Control
from supervisord_asm.core.events import EventType
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.store.journal import Journal

GROWTH_MAX_BYTES = 12.0  # per lifetime
SAMPLES = 40
SETTLE_PART = 0.25
TIMEOUT_S = 30.0
# An ended agent is remembered by a timer for a minute: at a steady rate, as many after as before.
WARM_S = 75.0
GROUP = 32  # lifetimes that are handed to the journal at once
FIRST_ID = 1_000


async def durably(recorder: Recorder) -> None:
    """Wait until all that was recorded is durable."""
    durable = asyncio.Event()
    recorder.after_durable(lambda error: durable.set())
    await durable.wait()


def record_lifetime(recorder: Recorder, number: int) -> None:
    """Record one short life."""
    name = f"job-{number % 64}"
    steps: tuple[tuple[EventType, dict[str, Any]], ...] = (
        (EventType.REGISTER, {"name": name, "transient": True}),
        (EventType.SPAWN, {"run": 1, "cgroup_id": 7}),
        (EventType.STARTED, {"pid": 4242, "start_time_ticks": 99}),
        (EventType.EXIT, {"code": 0, "run": 1, "cause": "agent", "crashed": False}),
        (EventType.STOPPED, {"cpu_time_us": 900, "syscall_count": 120}),
        (EventType.RETIRE, {"name": name}),
    )
    for kind, data in steps:
        recorder.record(kind, FIRST_ID + number, data)


async def simulate(lives: int) -> dict[str, Any]:
    """Record so many lifetimes; return how memory and the history went."""
    sizes: list[int] = []
    rows: list[int] = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "journal.db"
        journal = Journal.open(path, clock=time.monotonic_ns, queue_max=65_536)
        recorder = Recorder(journal, asyncio.get_running_loop(), "boot")
        began = time.monotonic()
        for number in range(0, lives, GROUP):
            for one in range(number, min(number + GROUP, lives)):
                record_lifetime(recorder, one)
            await asyncio.wait_for(durably(recorder), TIMEOUT_S)
            if number // GROUP % max(lives // GROUP // SAMPLES, 1) == 0:
                sizes.append(anonymous_bytes(os.getpid()))
                rows.append(len(recorder.history.agents))
        took_s = time.monotonic() - began
        journal.close()
        file_bytes = path.stat().st_size
    return {
        "lives": lives,
        "seconds": round(took_s, 1),
        "rows_most": max(rows),
        "bytes_per_life": growth(sizes, lives),
        "journal_bytes_per_life": round(file_bytes / lives),
    }


def growth(sizes: Sequence[int], lives: int) -> float:
    """Return the bytes that each lifetime added, once all was settled."""
    settled = sizes[int(len(sizes) * SETTLE_PART) :]
    third = max(len(settled) // 3, 1)
    risen = statistics.median(settled[-third:]) - statistics.median(settled[:third])
    # The medians of the outer thirds lie two thirds of the settled part apart.
    between = lives * (1 - SETTLE_PART) * 2 / 3
    return round(risen / between, 2)


class Rig:
    """A daemon and workers that run agents on it."""

    def __init__(self) -> None:
        self._slots = Slots("churn", 1)
        self.daemon = Ours(build("agent"), self._slots, 1, start="auto")
        before = self._slots.starts()
        self.daemon.launch()
        self._slots.wait_up(before)
        self.daemon.wait_ready()

    def live(self, name: str, lives: int) -> None:
        """Run so many agents of one name after each other."""
        with Client(str(self.daemon.control_socket), TIMEOUT_S) as client:
            for _ in range(lives):
                run = client.control(Control.RUN, name=name, command=["/bin/true"])
                client.control(Control.WAIT, agent=str(run["agent_id"]), run=run["run"])

    def live_all(self, workers: int, lives: int) -> None:
        """Do that with several names at a time."""
        threads = [
            threading.Thread(target=self.live, args=(f"churn-{number}", lives))
            for number in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def watch(self) -> dict[str, int]:
        """Return what must not grow."""
        found = {}
        for name, pid in self.daemon.pids().items():
            found[f"{name} memory"] = anonymous_bytes(pid)
            found[f"{name} descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
        found["cgroups"] = sum(1 for _ in self.daemon.cgroup.glob("**/"))
        return found

    def close(self) -> None:
        """Take everything away."""
        self.daemon.remove()
        self._slots.close()


def run_real(lives: int) -> dict[str, Any]:
    """Run so many agents; return what each added, by what was watched."""
    rig = Rig()
    workers = (os.cpu_count() or 1) + 2
    share = max(lives // workers // SAMPLES, 1)
    watched: dict[str, list[int]] = {}
    try:
        warm = time.monotonic() + WARM_S
        while time.monotonic() < warm:
            rig.live_all(workers, share)
        began = time.monotonic()
        for _ in range(SAMPLES):
            rig.live_all(workers, share)
            for name, value in rig.watch().items():
                watched.setdefault(name, []).append(value)
        spawned = rig.daemon.control(Control.STATUS)["system"]["total_spawns"]
    finally:
        rig.close()
    done = share * workers * SAMPLES
    assert spawned >= done, "a worker failed"
    return {
        "lives": done,
        "seconds": round(time.monotonic() - began, 1),
        "first": {name: values[0] for name, values in watched.items()},
        "last": {name: values[-1] for name, values in watched.items()},
        "per_life": {name: growth(values, done) for name, values in watched.items()},
    }


def main() -> int:
    """Print the figures; status 1 when something grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulated", type=int, default=100_000, help="lifetimes; 0: none")
    parser.add_argument("--real", type=int, default=10_000, help="lifetimes; 0: none")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {**conditions(), "bar_bytes_per_life": GROWTH_MAX_BYTES}
    missed = []
    if arguments.simulated:
        found = figures["simulated"] = asyncio.run(simulate(arguments.simulated))
        if found["bytes_per_life"] > GROWTH_MAX_BYTES:
            missed.append("simulated memory")
        rows = list(found.items())
        if not arguments.json:
            print(table("simulated lifetimes", ("", ""), rows))
    if arguments.real:
        found = figures["real"] = run_real(arguments.real)
        for name, added in found["per_life"].items():
            bar = GROWTH_MAX_BYTES if name.endswith("memory") else 0.001
            if added > bar:
                missed.append(f"real {name}")
        rows = [
            (name, found["first"][name], found["last"][name], float(found["per_life"][name]))
            for name in found["first"]
        ]
        if not arguments.json:
            title = f"{found['lives']} real lifetimes in {found['seconds']:g} s"
            print(table(title, ("", "first", "last", "per lifetime"), rows))
    figures["missed"] = missed
    keep("churn", figures)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"grows: {what}" for what in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
