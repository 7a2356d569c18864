"""What durability costs: the journal beside the least that could be called one.

The floor is 40 lines below: one thread, SQLite in WAL mode with synchronous=FULL, a hash chain, no
derived tables, no checks, no callbacks. Below it lies the disk: overwriting 4 KiB and fdatasync.

Measured in alternating rounds, since the machine is shared:
- a lone event, from append to the callback that wakes the main thread (bar: p50 450 us), beside a
  bare commit of the floor and the raw disk; what append itself takes; and the same while the main
  thread computes without a pause (the interpreter's switch interval decides then);
- pairs per second, a pair being two events appended together (reserve and settle): as fast as they
  go in, and from 64 callers that each wait for durability.
Then, once: opening, folding and verifying a journal of --events events.

    bench/journal.py [--folder DIR] [--events N] [--json]
"""

import argparse
import hashlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.store.connection import open_reader
from supervisord_asm.store.errors import JournalFull
from supervisord_asm.store.journal import Journal, verify
from supervisord_asm.store.replay import refold

LONE_P50_MAX_US = 450
ROUNDS = 5
LONE_PER_ROUND = 400
BUSY_PER_ROUND = 20
PAIRS_PER_ROUND = 20_000
CALLERS = 64
BOOT_ID = "0d6f2c0e-9d5c-4b8a-8a3f-6a2b9b1f0c11"


# -- The floor: 40 lines.


class Floor:
    """A chained, durable event table and nothing else."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute(
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, agent_id INTEGER, type TEXT, data TEXT,"
            " hash BLOB)"
        )
        self.seq = 0
        self.hash = bytes(32)

    def commit(self, events: list[tuple[int, str, dict[str, object]]]) -> None:
        rows = []
        for agent_id, word, data in events:
            self.seq += 1
            text = json.dumps(data)
            record = f"{self.seq}|{agent_id}|{word}|{text}".encode()
            self.hash = hashlib.sha256(self.hash + record).digest()
            rows.append((self.seq, agent_id, word, text, self.hash))
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO event VALUES (?,?,?,?,?)", rows)
        self.db.execute("COMMIT")

    def pairs(self, count: int) -> float:
        begun_s = time.perf_counter()
        batch: list[tuple[int, str, dict[str, object]]] = []
        for number in range(count):
            batch.append((number % 100, "reserve", {"amount": number}))
            batch.append((number % 100, "settle", {"amount": number}))
            if len(batch) == 512:
                self.commit(batch)
                batch = []
        self.commit(batch)
        return count / (time.perf_counter() - begun_s)


# -- Ours.


def made(number: int) -> Event:
    data = {"code": 0, "signal": None, "cause": "clean", "pid": number, "run": 1, "crashed": False}
    now_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    return Event(EventType.EXIT, 1_000 + number % 100, now_us, time.time_ns(), data, BOOT_ID)


def lone(journal: Journal, count: int) -> tuple[list[float], list[float]]:
    """Return (until durable, append alone) of single events, in microseconds."""
    wake = os.eventfd(0)
    durable, appends = [], []
    for number in range(count):
        event = made(number)
        begun = time.perf_counter_ns()
        journal.append([event], lambda error: os.eventfd_write(wake, 1))
        appends.append((time.perf_counter_ns() - begun) / 1_000)
        os.eventfd_read(wake)
        durable.append((time.perf_counter_ns() - begun) / 1_000)
    os.close(wake)
    return durable, appends


def lone_beside_work(journal: Journal, count: int) -> list[float]:
    """The same while the appending thread computes instead of waiting."""
    durable = []
    for number in range(count):
        done: list[int] = []
        begun = time.perf_counter_ns()
        journal.append([made(number)], lambda error: done.append(time.perf_counter_ns()))  # noqa: B023  # called before the next round begins
        while not done:
            sum(range(50))
        durable.append((done[0] - begun) / 1_000)
    return durable


def flood(journal: Journal, count: int) -> float:
    """Pairs per second when nobody waits."""
    begun_s = time.perf_counter()
    for number in range(count):
        event = made(number)
        while True:
            try:
                journal.append([event, event])
                break
            except JournalFull:
                time.sleep(0.005)
    reached = threading.Event()
    journal.append([], lambda error: reached.set())
    reached.wait()
    return count / (time.perf_counter() - begun_s)


def closed_loop(journal: Journal, count: int) -> tuple[float, list[float]]:
    """Pairs per second, and microseconds until durable, of callers that each wait.

    The callers are not threads but what a server has: a pair goes out for each that came back.
    """
    wake = os.eventfd(0)
    back: list[float] = []
    is_awake = False

    def send(number: int) -> None:
        event = made(number)
        begun = time.perf_counter_ns()

        def durable(error: BaseException | None) -> None:
            nonlocal is_awake
            back.append((time.perf_counter_ns() - begun) / 1_000)
            if not is_awake:
                is_awake = True
                os.eventfd_write(wake, 1)

        journal.append([event, event], durable)

    begun_s = time.perf_counter()
    sent = seen = 0
    while seen < count:
        while sent < min(seen + CALLERS, count):
            send(sent)
            sent += 1
        os.eventfd_read(wake)
        is_awake = False
        seen = len(back)
    rate = count / (time.perf_counter() - begun_s)
    os.close(wake)
    return rate, back


def raw_disk(folder: Path, count: int) -> list[float]:
    """Overwrite 4 KiB and wait for the disk."""
    path = folder / "raw"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, bytes(4_096 * count), 0)
    os.fsync(descriptor)
    took = []
    for number in range(count):
        begun = time.perf_counter_ns()
        os.pwrite(descriptor, b"x" * 4_096, 4_096 * number)
        os.fdatasync(descriptor)
        took.append((time.perf_counter_ns() - begun) / 1_000)
    os.close(descriptor)
    path.unlink()
    return took


def bare_commits(floor: Floor, count: int) -> list[float]:
    took = []
    for number in range(count):
        begun = time.perf_counter_ns()
        floor.commit([(number, "exit", {"code": 0})])
        took.append((time.perf_counter_ns() - begun) / 1_000)
    return took


def timed(action: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    action()
    return time.perf_counter() - begun_s


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50_us": round(statistics.median(ordered)),
        "p99_us": round(ordered[len(ordered) * 99 // 100]),
    }


def measure_appends(folder: Path) -> dict[str, object]:
    """Alternate floor and ours; return latencies and medians of rates."""
    samples: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    floor = Floor(folder / "floor.db")
    journal = Journal.open(folder / "journal.db", clock=time.monotonic_ns)
    usual_s = sys.getswitchinterval()
    for _ in range(ROUNDS):
        samples.setdefault("raw_disk", []).extend(raw_disk(folder, LONE_PER_ROUND))
        samples.setdefault("floor_commit", []).extend(bare_commits(floor, LONE_PER_ROUND))
        durable, appends = lone(journal, LONE_PER_ROUND)
        samples.setdefault("lone_durable", []).extend(durable)
        samples.setdefault("append_alone", []).extend(appends)
        for interval_us in (5_000, 500):
            sys.setswitchinterval(interval_us / 1e6)
            busy = lone_beside_work(journal, BUSY_PER_ROUND)
            samples.setdefault(f"lone_busy_switch_{interval_us}_us", []).extend(busy)
        sys.setswitchinterval(usual_s)
        rates.setdefault("floor_pairs", []).append(floor.pairs(PAIRS_PER_ROUND))
        rates.setdefault("flood_pairs", []).append(flood(journal, PAIRS_PER_ROUND))
        for interval_us in (5_000, 500):
            sys.setswitchinterval(interval_us / 1e6)
            rate, waits = closed_loop(journal, PAIRS_PER_ROUND)
            label = f"{CALLERS}_callers_switch_{interval_us}_us"
            rates.setdefault(f"pairs_of_{label}", []).append(rate)
            samples.setdefault(f"pair_of_{label}", []).extend(waits)
        sys.setswitchinterval(usual_s)
    assert journal.close() == 0
    result: dict[str, object] = {name: spread(values) for name, values in samples.items()}
    result |= {f"{name}_per_s": round(statistics.median(values)) for name, values in rates.items()}
    return result


def measure_reading(folder: Path, events: int) -> dict[str, object]:
    """Fill a journal and time what reads all of it, or little of it."""
    path = folder / "large.db"
    journal = Journal.open(path, clock=time.monotonic_ns)
    flood(journal, events // 2)
    journal.close()

    def reopen() -> None:
        Journal.open(path, clock=time.monotonic_ns).close()

    reader = open_reader(path)
    fold_s = timed(lambda: refold(reader))
    reader.close()
    return {
        "events": events,
        "bytes_per_event": path.stat().st_size // events,
        "open_ms": round(1_000 * min(timed(reopen) for _ in range(3)), 1),
        "refold_s": round(fold_s, 2),
        "verify_s": round(timed(lambda: verify(path)), 2),
    }


def main() -> int:
    """Measure, print, and return 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description="Measure the journal beside its floor.")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to use")
    parser.add_argument("--events", type=int, default=200_000, help="in the journal that is read")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asm-bench-journal-", dir=arguments.folder) as name:
        figures = measure_appends(Path(name)) | measure_reading(Path(name), arguments.events)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for label, value in figures.items():
            text = value
            if isinstance(value, dict):
                text = f"p50 {value['p50_us']:>7} us   p99 {value['p99_us']:>7} us"
            print(f"{label:32} {text}")
    measured = figures["lone_durable"]
    assert isinstance(measured, dict)
    return 0 if measured["p50_us"] <= LONE_P50_MAX_US else 1


if __name__ == "__main__":
    sys.exit(main())
