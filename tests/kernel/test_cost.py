"""What we cost, with a real daemon: the kernel's statistics say what an agent's syscalls cost.

The loop counts its own calls into a file that it maps, so what it made in the measured seconds is
known from itself; more runs than that there may be, since the programs run for the whole host.
"""

import contextlib
import json
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.client import Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.kernel import bpf_cost
from supervisord_asm.kernel.process_cost import cpu_time_ns, pss_bytes
from tests.kernel.daemon_host import Host, eventually, hosted
from tests.kernel.programs import build

LOOP = Path(__file__).parent / "c" / "counted_loop.c"
SECONDS = 2
NOBODY = 4_194_304  # the kernel's pids end below (PID_MAX_LIMIT)


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as made:
        yield made
        made.print_logs()


class Counter:
    """The number of calls that the loop says it has made."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(4096))
        path.chmod(0o666)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)

    def value(self) -> int:
        """Return it as of now."""
        return int.from_bytes(self._map[:8], "little")


def test_doctor_cost_is_at_least_what_a_loop_of_syscalls_makes(host: Host) -> None:
    path = host.folder / "calls"
    counter = Counter(path)
    program = host.folder / "loop"
    program.write_bytes(build("counted_loop", LOOP).read_bytes())
    program.chmod(0o755)
    host.write_agent("loop", [str(program), str(path)], agent_id=7, scope=str(path))
    host.start()
    eventually(counter.value, "the loop runs")
    host.wait_tree()  # asm-procfs is there to be measured

    before, begun = counter.value(), time.monotonic()
    cost = host.control(Control.COST, seconds=SECONDS)
    made, took_s = counter.value() - before, time.monotonic() - begun

    assert cost["statistics_trouble"] is None
    assert cost["cpus"] == os.cpu_count()
    interval_s = cost["interval_ns"] / 1e9
    assert SECONDS <= interval_s <= took_s
    programs = {item["name"]: item for item in cost["programs"]}
    assert {"sys_enter", "sched_switch", "sched_process_exit"} <= programs.keys()
    entered = programs["sys_enter"]
    # The loop's rate changes with what else the machine does while it is asked: a tenth of room.
    assert entered["runs_per_second"] >= 0.9 * made / took_s > 0
    assert 1_000 < entered["ns_per_run_milli"] < 20_000_000
    for item in [*programs.values(), cost["programs_sum"]]:
        assert item["cpu_percent_milli"] == item["run_time_ns"] * 100_000 // cost["interval_ns"]
        assert item["host_percent_milli"] <= item["cpu_percent_milli"]
        assert item["recursion_misses"] >= 0
    assert cost["programs_sum"]["run_count"] == sum(item["run_count"] for item in programs.values())
    assert 0 < cost["programs_sum"]["host_percent_milli"] < 100_000

    processes = {item["name"]: item for item in cost["processes"]}
    assert [*processes] == ["asmd", "asmd/sampler", "asm-keeper", "asm-procfs"]
    assert 0 < processes["asmd/sampler"]["cpu_ns"] < processes["asmd"]["cpu_ns"]
    for name in ("asmd", "asm-keeper", "asm-procfs"):
        assert processes[name]["pss_bytes"] > 0
    maps = {item["name"]: item for item in cost["maps"]}
    assert maps["rows"]["memory_bytes"] >= 128 * maps["rows"]["entries_max"]
    assert cost["maps_memory_bytes"] == sum(item["memory_bytes"] for item in cost["maps"])


def test_the_command_prints_tables_and_json(host: Host) -> None:
    host.start()
    done = host.ctl("doctor", "--cost", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert "BPF program" in done.stdout
    assert "sys_enter" in done.stdout
    assert "two clock reads per run" in done.stdout
    printed = json.loads(host.ctl("doctor", "--cost", "--seconds=1", "--json").stdout)
    assert printed["schema"] == 1
    assert printed["programs_sum"]["run_count"] > 0
    # Adopted programs have no name of their own here and are found all the same.
    host.kill_asmd()
    names = {item["name"] for item in host.control(Control.COST, seconds=1)["programs"]}
    assert names == {item["name"] for item in printed["programs"]}


def test_seconds_are_bounded(host: Host) -> None:
    host.start()
    for seconds in (0, 61):
        with pytest.raises(Refused, match="from 1 to 60"):
            host.control(Control.COST, seconds=seconds)
    assert host.ctl("doctor", "--cost", "--seconds", "99").returncode == 2
    assert host.ctl("doctor", "--seconds", "3").returncode == 2


def test_the_statistics_are_on_within_the_block_only() -> None:
    with bpf_cost.statistics():
        assert "anon_inode:bpf-stats" in descriptors()
    assert "anon_inode:bpf-stats" not in descriptors()


def descriptors() -> list[str]:
    """Return what each open descriptor of this process is of."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


def test_cpu_time_and_memory_of_a_process_are_the_kernels() -> None:
    before = time.process_time_ns()
    read = cpu_time_ns(os.getpid())
    assert before <= read <= time.process_time_ns()
    assert (pss_bytes(os.getpid()) or 0) > 1 << 20
    with pytest.raises(OSError, match="argument"):
        cpu_time_ns(NOBODY)
    assert pss_bytes(NOBODY) is None
