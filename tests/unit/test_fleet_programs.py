"""What the sample agents decide: their pure parts, without running them."""

import gzip
import hashlib
import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import pytest

PROGRAMS = Path(__file__).parents[2] / "config" / "fleet"


def load(name: str) -> ModuleType:
    """Import a program of the fleet under its own name; it is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"fleet_{name}", PROGRAMS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_inotify_events_are_split_and_described() -> None:
    fs_monitor = load("fs_monitor")

    def event(mask: int, name: bytes) -> bytes:
        padded = name.ljust(16, b"\0") if name else b""
        return struct.pack("iIII", 1, mask, 0, len(padded)) + padded

    data = event(fs_monitor.IN_CREATE, b"a.txt") + event(fs_monitor.IN_Q_OVERFLOW, b"")
    assert fs_monitor.decode(data) == [
        (fs_monitor.IN_CREATE, "a.txt"),
        (fs_monitor.IN_Q_OVERFLOW, ""),
    ]
    assert fs_monitor.describe(fs_monitor.IN_CREATE, "a.txt") == "a.txt: created"
    assert "missing" in fs_monitor.describe(fs_monitor.IN_Q_OVERFLOW, "")
    assert fs_monitor.describe(fs_monitor.IN_MODIFY, "a.txt") is None


def test_the_servers_answers() -> None:
    answer = load("net_server").answer
    assert answer(b"digest hello", 1) == b"ok " + hashlib.sha256(b"hello").hexdigest().encode()
    assert answer(b"digest", 1) == b"ok " + hashlib.sha256(b"").hexdigest().encode()
    assert answer(b"count", 7) == b"ok 7"
    assert int(answer(b"time", 1).split()[1]) > 10**18
    assert answer(b"GET / HTTP/1.0", 1).startswith(b"error")


def test_the_client_believes_only_the_right_answer() -> None:
    net_agent, server = load("net_agent"), load("net_server")
    net_agent.check(b"text", server.answer(b"digest text", 1))
    with pytest.raises(net_agent.WrongAnswer):
        net_agent.check(b"text", server.answer(b"digest other", 1))
    assert net_agent.report([], 2) == "no answers, 2 failures"
    assert "median 200 us" in net_agent.report([0.0001, 0.0002, 0.0009], 0)


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_primes_counted_in_blocks_are_the_primes(block: int) -> None:
    worker = load("compute_worker")
    assert worker.small_primes(30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert worker.small_primes(1) == []
    assert sum(worker.count_block(first, block) for first in range(2, 1002, block)) == len(
        worker.small_primes(2 + -(-1000 // block) * block - 1)
    )


def test_progress_survives_a_restart_and_a_spoilt_file_begins_anew(tmp_path: Path) -> None:
    worker = load("compute_worker")
    path = tmp_path / "progress.json"
    assert worker.load(path) == (2, 0)
    worker.save(path, 20_002, 2_262)
    assert worker.load(path) == (20_002, 2_262)
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
    for spoilt in ("", "[]", '{"next": "x", "primes": 1}', '{"next": 5}'):
        path.write_text(spoilt)
        assert worker.load(path) == (2, 0)


def test_lives_are_counted_and_ways_to_end_take_turns(tmp_path: Path) -> None:
    probe = load("crash_probe")
    lives = [probe.next_life(tmp_path / "lives") for _ in range(4)]
    assert lives == [1, 2, 3, 4]
    assert {probe.WAYS[life % len(probe.WAYS)] for life in lives} == set(probe.WAYS)
    (tmp_path / "lives").write_text("not a number")
    assert probe.next_life(tmp_path / "lives") == 1
    assert probe.gap(tmp_path / "ended", 5) == "nobody was here before"
    (tmp_path / "ended").write_text("1000000\n")
    assert probe.gap(tmp_path / "ended", 3_500_000) == "back 2.5 ms after the last end"
    assert probe.end("exit code 3") == 3
    with pytest.raises(RuntimeError):
        probe.end("uncaught exception")


def test_the_resident_set_is_read_from_the_status() -> None:
    worker = load("leak_worker")
    assert worker.resident_kib("Name:\tx\nVmRSS:\t   9876 kB\nThreads:\t1\n") == 9876
    with pytest.raises(ValueError):
        worker.resident_kib("Name:\tx\n")


def test_a_sample_is_one_line_of_four_fields() -> None:
    archiver = load("archiver")
    meminfo = "MemTotal:  2000 kB\nMemFree: 5 kB\nMemAvailable:   1500 kB\n"
    assert (
        archiver.sample("0.42 0.1 0.0 1/99 7\n", meminfo, 0)
        == "1970-01-01T00:00:00Z,0.42,1500,2000\n"
    )


def test_compacting_keeps_every_byte_and_pruning_the_newest(tmp_path: Path) -> None:
    archiver = load("archiver")
    for number in range(1, 12):
        current = tmp_path / "samples.csv"
        current.write_text(f"sample {number}\n" * 100)
        segment = archiver.compact(current)
        assert gzip.decompress(segment.read_bytes()).decode() == f"sample {number}\n" * 100
        assert not current.exists()
    assert archiver.prune(tmp_path, 8) == 3
    assert [path.name for path in archiver.segments(tmp_path)] == [
        f"samples-{number:06d}.csv.gz" for number in range(4, 12)
    ]


def test_the_summary_names_differences_and_restarts() -> None:
    agent = load("telemetry_agent")
    before = {
        "system": {"total_syscalls": 1000, "active_agents": 2},
        "agents": {"100": {"cpu_time_us": 0, "total_restarts": 0}},
    }
    now = {
        "system": {"total_syscalls": 6000, "active_agents": 3},
        "agents": {
            "100": {"cpu_time_us": 500_000, "total_restarts": 2},
            "101": {"cpu_time_us": 9_000_000, "total_restarts": 1},  # new: no difference yet
            "102": {"cpu_time_us": None, "total_restarts": 0},
        },
    }
    text = agent.summary(now, before, 10.0)
    assert "3 agents active; 500 syscalls/s; 5.0 % of a core" in text
    assert "agent 100 5.0 %" in text
    assert "agent 100 restarted 2 times" in text
    assert "101 restarted" not in text
    assert agent.increase(3, 5) == 0, "a counter that began anew did not rise"
