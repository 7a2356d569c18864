"""The resource monitor and the profiler through a real daemon: samples, rates, files, verbs."""

import errno
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.client import Refused
from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import PACKAGE, Host, eventually, hosted, sh

SLEEPS = sh("exec sleep 1000")
SPINS = ["/usr/bin/python3", "-I", "-c", "while True: pass"]
# Reports of itself what a test reads: its own operations, then what it may not report.
REPORTER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from supervisord_asm.api.client import Client, Refused
from supervisord_asm.api.profile import RemoteProfiler
with Client(os.environ["ASM_SOCKET"]) as client:
    profiler = RemoteProfiler(client)
    for number in range(20):
        profiler.record("llm_request", number, number != 7)
    with profiler.guard("think"):
        time.sleep(0.02)
    for name in ("spawn", "call_500", "a b", "", "n" * 65, "\\u00e4"):
        try:
            profiler.record(name, 1, True)
        except Refused as error:
            print("refused", error.errno)
    taken = 0
    try:
        for number in range(100):
            profiler.record(f"own-{number}", 1, True)
            taken += 1
    except Refused as error:
        print("refused", error.errno, "after", taken)
    print(client.call(508, (-1, 1, 0, 0), b"x")[0], client.call(508, (1, 2, 0, 0), b"x")[0])
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("sleeper", SLEEPS, agent_id=100)
        host.write_agent(
            "crasher", sh("kill -SEGV $$"), agent_id=101,
            restart={"kind": "on-failure", "max": 3, "backoff": "10ms"},
        )  # fmt: skip
        host.write_agent("spinner", SPINS, agent_id=102)
        host.write_agent("lost", ["/nonexistent"], agent_id=103, restart={"kind": "no"})
        host.write_agent(
            "deaf", sh("trap '' TERM; while :; do sleep 0.01; done"), agent_id=104,
            stop={"grace": "200ms"},
        )  # fmt: skip
        reporter = host.folder / "reporter.py"
        reporter.write_text(REPORTER)
        reports = ["/usr/bin/python3", "-u", str(reporter), str(PACKAGE.parent)]
        host.write_agent("reporter", reports, agent_id=105, user="root", start="manual")
        host.start()
        host.wait_state("crasher", "failed")
        host.wait_tree()
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def holds(path: Path, text: str) -> bool:
    """Whether the file holds just this."""
    return path.read_text() == text


def operations(host: Host, agent: str = "", **request: Any) -> dict[str, dict[str, Any]]:
    """Return a profile's statistics by operation."""
    answer = host.control(Control.PROFILE, agent=agent, **request)
    return {record["operation"]: record for record in answer["operations"]}


# -- The profiler.


def test_every_start_and_restart_is_a_sample(host: Host) -> None:
    found = operations(host, "crasher")
    assert set(found) == {"spawn", "exec", "restart"}
    assert [found[name]["sample_count"] for name in ("spawn", "exec", "restart")] == [4, 4, 3]
    for stats in found.values():
        assert stats["success_rate"] == 1.0
        durations = [
            stats[f"{name}_duration_us"] for name in ("min", "median", "p95", "p99", "max")
        ]
        assert durations == sorted(durations)
        assert 0 < durations[0] <= stats["avg_duration_us"] <= durations[-1] < 30_000_000
    assert found["exec"]["min_duration_us"] <= found["spawn"]["min_duration_us"]


def test_a_program_that_does_not_exist_is_a_failed_spawn(host: Host) -> None:
    found = operations(host, "lost")
    assert (found["spawn"]["sample_count"], found["spawn"]["success_rate"]) == (1, 0.0)


def test_a_stop_that_had_to_kill_has_failed_and_a_kill_has_not(host: Host) -> None:
    host.wait_state("deaf", "active")
    host.act(Control.STOP, "deaf")
    stopped = operations(host, "deaf")["stop"]
    assert (stopped["sample_count"], stopped["success_count"]) == (1, 0)
    assert 200_000 <= stopped["min_duration_us"] < 30_000_000
    host.act(Control.START, "deaf")
    host.act(Control.KILL, "deaf")
    assert operations(host, "deaf")["kill"]["success_rate"] == 1.0
    host.act(Control.RESTART, "sleeper")
    found = operations(host, "sleeper")
    assert found["stop"]["success_rate"] == found["restart"]["success_rate"] == 1.0


def test_the_daemon_profiles_itself(host: Host) -> None:
    def look() -> dict[str, dict[str, Any]]:
        found = operations(host, "0")
        return found if {"sampler_pass", "publish", "journal_commit"} <= set(found) else {}

    found = eventually(look, "samples of asmd's own work")
    assert found["journal_commit"]["success_rate"] == 1.0
    assert found["control_status"]["sample_count"] > 0
    with host.agent_client() as client:
        client.call(500, (4096, 0, 0, 0))
        client.call(502, (4711, 4096, 0, 0))
    found = operations(host, "0")
    assert found["call_500"]["success_count"] > 0
    assert found["call_502"]["success_rate"] < 1.0


def test_the_system_is_the_sum_of_the_real_samples(host: Host) -> None:
    whole = operations(host)["spawn"]
    each = host.control(Control.PROFILE, operation="spawn")["agents"]
    assert {one["name"] for one in each} >= {"sleeper", "crasher", "spinner", "lost", "deaf"}
    assert whole["sample_count"] == sum(one["sample_count"] for one in each)
    assert whole["max_duration_us"] == max(one["max_duration_us"] for one in each)
    assert whole["min_duration_us"] == min(one["min_duration_us"] for one in each)


def test_the_files_say_what_the_verb_says(host: Host) -> None:
    for agent in ("crasher", "lost", "sleeper"):
        path = host.paths.fuse / "agents" / agent / "profiling"
        said = host.ctl("profile", agent)
        assert said.returncode == 0, said.stderr
        eventually(partial(holds, path, said.stdout), f"the file of {agent}")

    def is_equal() -> bool:
        shown = (host.paths.fuse / "profiling").read_text().splitlines()
        said = host.ctl("profile").stdout.splitlines()
        # asmd's own work goes on between the two looks; the agents' does not.
        rows = [
            [line for line in lines if line.split()[:1] in (["spawn"], ["exec"], ["restart"])]
            for lines in (shown, said)
        ]
        assert len(rows[1]) == 3
        return shown[:3] == said[:3] and rows[0] == rows[1]

    eventually(is_equal, "the system's file")


def test_what_asmctl_profile_prints_and_refuses(host: Host) -> None:
    lines = host.ctl("profile", "crasher", "--operation", "spawn").stdout.splitlines()
    assert lines[1] == "Profile of Agent 101:"
    assert lines[-1].split()[:3] == ["spawn", "4", "100.0%"]
    assert "101/crasher" in host.ctl("profile", "--operation", "spawn").stdout
    answer = json.loads(host.ctl("profile", "crasher", "--json").stdout)
    assert (answer["schema"], answer["agent_id"]) == (1, 101)
    done = host.ctl("profile", "nobody")
    assert (done.returncode, done.stderr) == (1, "Error: Agent nobody not found\n")
    done = host.ctl("profile", "crasher", "--operation", "fly")
    assert (done.returncode, done.stdout) == (1, "")
    assert "fly" in done.stderr


def test_a_reset_drops_the_samples_and_keeps_the_operations(host: Host) -> None:
    host.act(Control.RESTART, "sleeper")
    assert operations(host, "sleeper", reset=True)["spawn"]["sample_count"] > 0
    stats = operations(host, "sleeper")["spawn"]
    assert (stats["sample_count"], stats["max_duration_us"], stats["success_rate"]) == (0, 0, 0.0)
    assert operations(host, "crasher")["spawn"]["sample_count"] == 4


def test_an_agent_reports_operations_of_its_own(host: Host) -> None:
    host.act(Control.START, "reporter")
    eventually(lambda: len(host.said("reporter")) == 8, "the reporter's words")
    said = host.said("reporter")
    refused = [errno.EPERM, errno.EPERM, *[errno.EINVAL] * 4]
    assert said[:6] == [f"refused {number}" for number in refused]
    assert said[6].startswith(f"refused {errno.ENOSPC} after ")
    assert said[7] == f"{-errno.EINVAL} {-errno.EINVAL}"
    found = operations(host, "reporter")
    assert {"spawn", "exec", "call_508"} <= set(found), "ours have their room"
    stats = found["llm_request"]
    assert (stats["sample_count"], stats["success_count"]) == (20, 19)
    assert (stats["median_duration_us"], stats["p95_duration_us"]) == (10, 19)
    assert found["think"]["min_duration_us"] >= 20_000
    assert host.control(Control.PROFILE, agent="reporter")["refused_count"] == 1
    with host.agent_client() as client:
        assert client.call(508, (1, 1, 0, 0), b"x")[0] == -errno.EPERM, "we are no agent"


# -- The resource monitor.


def usage_us(host: Host, agent_id: int) -> int:
    """Return what the kernel has charged the agent."""
    return int((host.cgroup / "agents" / str(agent_id) / "cpu.stat").read_text().split()[1])


def sleep_to_second() -> int:
    """Sleep to the next whole second of CLOCK_BOOTTIME; return it."""
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    second = now_ns // 10**9 + 1
    time.sleep((second * 10**9 - now_ns) / 1e9)
    return second


def test_a_busy_agents_rate_is_what_the_kernel_charged(host: Host) -> None:
    """Within 2 % of one core over 5 s, whatever share of it the spinner gets."""
    host.wait_state("spinner", "active")
    begun_second, begun_us = sleep_to_second(), usage_us(host, 102)
    time.sleep(4.5)
    ended_second = sleep_to_second()
    charged_us = usage_us(host, 102) - begun_us
    seconds = ended_second - begun_second

    def look() -> dict[str, Any] | None:
        answer = host.control(Control.RESOURCES, agent="spinner", seconds=[seconds])
        is_closed = answer["windows"][-1]["timestamp_us"] == (ended_second - 1) * 1_000_000
        return answer if is_closed else None

    (span,) = eventually(look, "the windows of the same seconds")["spans"]
    assert span["windows"] == seconds
    assert charged_us > 0.2 * seconds * 1e6, "it did spin"
    expected_milli = charged_us / (seconds * 1e6) * 100_000
    assert abs(span["cpu_percent_milli"] - expected_milli) < 2_000


def test_windows_are_whole_seconds_and_rates_divide_by_those_that_exist(host: Host) -> None:
    answer = host.control(Control.RESOURCES, agent="102", seconds=[1, 60])
    times = [window["timestamp_us"] for window in answer["windows"]]
    assert times == [times[0] + 1_000_000 * number for number in range(len(times))]
    assert times[0] % 1_000_000 == 0
    last, whole = answer["spans"]
    assert (last["windows"], whole["windows"]) == (1, len(times))
    summed_us = sum(window["cpu_time_us"] for window in answer["windows"])
    assert whole["cpu_percent_milli"] == summed_us // (10 * len(times))
    assert answer["lifetime"]["cpu_time_us"] >= summed_us
    assert answer["peak_memory_bytes"] >= answer["memory_bytes"] > 0
    # The name that this member had first, with what it held first.
    assert {"cpu_percent_milli", "syscall_rate"} <= set(answer["rates"])


def test_all_agents_side_by_side(host: Host) -> None:
    answer = host.control(Control.RESOURCES)
    assert [record["name"] for record in answer["agents"]] == [
        "sleeper", "crasher", "spinner", "lost", "deaf", "reporter",
    ]  # fmt: skip
    assert answer["next"] is None
    assert [span["seconds"] for span in answer["system"]["spans"]] == [5, 10, 60]
    total = answer["system"]["spans"][0]["cpu_percent_milli"]
    assert total == sum(one["spans"][0]["cpu_percent_milli"] or 0 for one in answer["agents"])
    page = host.control(Control.RESOURCES, after=102)["agents"]
    assert [record["agent_id"] for record in page] == [103, 104, 105]


def table_row(text: str, first: str) -> list[str]:
    """Return the cells of the last row that begins with `first`."""
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first]][-1]


def test_what_asmctl_resources_prints(host: Host) -> None:
    done = host.ctl("resources", "spinner")
    assert done.returncode == 0, done.stderr
    assert "Resources of Agent 102 (spinner):" in done.stdout
    assert [table_row(done.stdout, seconds)[0] for seconds in ("5", "10", "60")] == [
        "5", "10", "60",
    ]  # fmt: skip
    assert table_row(host.ctl("resources", "102", "-n", "3").stdout, "3")[1].endswith("%")
    rows = host.ctl("resources", "spinner", "--history").stdout.splitlines()[5:]
    assert 0 < len(rows) <= 60
    assert all(len(row.split()) == 7 for row in rows)
    assert "spinner" in host.ctl("resources").stdout
    record = json.loads(host.ctl("resources", "spinner", "--json").stdout)
    assert record["schema"] == 1
    assert len(record["windows"]) in (len(rows), len(rows) + 1)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nobody",), 1, "Error: No resource data for agent nobody"),
        (("----",), 2, "Invalid agent ID"),
        (("spinner", "--windows", "0"), 2, "from 1 to 60"),
        (("spinner", "--windows", "61"), 2, "from 1 to 60"),
        (("spinner", *(["-n", "1"] * 4)), 2, "at most 3"),
        (("--history",), 2, "name it"),
    ],
)
def test_what_asmctl_resources_refuses(
    host: Host, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = host.ctl("resources", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


@pytest.mark.parametrize("seconds", [[0], [61], [1, 2, 3, 4], "5", [1.5], [True]])
def test_spans_that_make_no_sense_are_refused(host: Host, seconds: object) -> None:
    with pytest.raises(Refused) as caught:
        host.control(Control.RESOURCES, seconds=seconds)
    assert caught.value.errno == errno.EINVAL


def test_the_files_show_rates_that_fall_when_an_agent_rests(host: Host) -> None:
    path: Path = host.paths.fuse / "agents" / "102" / "resources"
    eventually(lambda: float(table_row(path.read_text(), "5")[1][:-1]) > 10, "a busy spinner")
    assert float(table_row((host.paths.fuse / "resources").read_text(), "60")[1][:-1]) > 0
    host.act(Control.STOP, "spinner")
    eventually(lambda: table_row(path.read_text(), "5")[1] == "-", "a spinner without windows")
    assert host.control(Control.RESOURCES, agent="102")["windows"] == []
