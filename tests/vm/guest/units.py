"""The installation under a real systemd: the plain units, their cgroups, restarts, and the end.

Runs in the machine of tests/vm only, hence the name. The tests are the steps of one story, in
order; after a failure the rest would be noise, so the suite runs with -x.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[3]
CGROUPS = Path("/sys/fs/cgroup")
UNITS = ("asm-keeper.service", "asmd.service")
# Starting a dozen interpreters takes long under emulation.
READY_S = 90
# Unpacking and compiling the wheels takes two minutes there, twice that on a busy host.
COMMAND_S = 400
# Of asmd's log, shown when a command fails.
LOG_LINES = 25


def log() -> str:
    """Return the last that asmd said, to its log or, if it fell, to systemd."""
    last = ["journalctl", "-b", "-n", str(LOG_LINES), "-o", "cat", "-u", "asmd.service"]
    journal = subprocess.run(last, capture_output=True, text=True, check=False).stdout
    own = Path("/var/log/asm/asmd.log")
    lines = own.read_text().splitlines()[-LOG_LINES:] if own.exists() else []
    return "\n".join(["-- journal", journal, f"-- {own}", *lines])


def run(*command: str, check: bool = True) -> str:
    """Run a command and return its output, or fail with all that it said."""
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=COMMAND_S, check=False,
    )  # fmt: skip
    if check and done.returncode != 0:
        words = " ".join(command)
        pytest.fail("\n".join([f"exit status {done.returncode} from {words}", done.stdout, log()]))
    return done.stdout


def wait_for(claim: Callable[[], bool], text: str, within_s: float = 30) -> None:
    """Wait until something holds that nobody tells us about."""
    deadline_s = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline_s, f"not after {within_s} s: {text}"
        time.sleep(0.1)


def agents() -> list[dict[str, Any]]:
    """Return what asmlist says."""
    listed: list[dict[str, Any]] = json.loads(run("asmlist", "--json"))["agents"]
    return listed


def main_pid(unit: str) -> int:
    """Return the pid that systemd knows a unit by."""
    return int(run("systemctl", "show", "--property=MainPID", "--value", unit))


def state(unit: str) -> str:
    """Return active, inactive, failed, …"""
    return run("systemctl", "is-active", unit, check=False).strip()


def ours() -> list[str]:
    """Return the processes of ours, by the cgroup that each is in."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            line = path.read_text().strip()
        except ProcessLookupError:
            continue  # it ended between the listing and the reading
        if "/asm.slice" in line:
            found.append(f"{path.parent.name} {line}")
    return found


def left_behind() -> str:
    """Return what an ended fleet must not leave, one a line."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines()
              if "/run/agentsys" in line or "/sys/fs/bpf/asm" in line]  # fmt: skip
    # A lock file is not unlinked while somebody may wait for it; it is empty and goes with /run.
    runtime = [path for path in Path("/run/asm").glob("*") if path.name != "asmd.lock"]
    paths = [*Path("/sys/fs/bpf").glob("asm/*"), *runtime]
    groups = [path for path in (CGROUPS / "asm.slice").glob("**/") if path.name != "asm.slice"]
    return "\n".join(ours() + mounts + [str(path) for path in [*paths, *groups]])


def test_the_scripts_of_make_up_install_the_wheel() -> None:
    for script in ("mounts", "wheel", "accounts", "configuration"):
        run(f"install/{script}.sh")
    run("asmctl", "check-config", "/etc/asm")
    for unit in UNITS:
        assert not Path("/etc/systemd/system", unit).exists()


def test_the_units_start_and_the_sample_fleet_is_ready() -> None:
    run("install/service.sh", "start")
    run("asmctl", "wait-ready", "--within", f"{READY_S}s")
    assert [state(unit) for unit in UNITS] == ["active", "active"]
    assert len(agents()) >= 8
    assert run("systemctl", "is-enabled", *UNITS).split() == ["enabled", "enabled"]


def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    paths = [f"/etc/systemd/system/{unit}" for unit in (*UNITS, "asm.slice")]
    said = [
        line
        for line in run("systemd-analyze", "--man=no", "verify", *paths).splitlines()
        if "asm" in line
    ]
    assert said == []


def test_every_agent_is_in_a_cgroup_of_its_own_below_the_slice_with_all_controllers() -> None:
    places = []
    for agent in agents():
        if agent["pid"] is None:
            continue  # between two lives
        line = Path(f"/proc/{agent['pid']}/cgroup").read_text().strip()
        place = CGROUPS / line.removeprefix("0::/")
        assert CGROUPS / "asm.slice" in place.parents
        assert {"cpu.max", "memory.max", "pids.max"} <= {path.name for path in place.iterdir()}
        places.append(place)
    assert len(set(places)) == len(places) >= 7


def test_people_see_the_fleet_as_text_and_as_files() -> None:
    status = Path("/run/agentsys/status")
    wait_for(status.exists, "the tree at /run/agentsys")
    text, tree = run("asmlist"), status.read_text()
    for agent in agents():
        assert agent["name"] in text
        assert f"Agent {agent['agent_id']}:" in tree


def survivors(before: dict[str, int]) -> set[str]:
    """Return the names of the agents that are the same processes as before."""
    return {agent["name"] for agent in agents() if before.get(agent["name"]) == agent["pid"]}


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_agents_outlive_asmd(how: str) -> None:
    # Those that end by themselves now and then prove nothing here.
    steady = {"idle_agent", "net_server", "compute_worker", "fs_monitor"}
    before = {agent["name"]: agent["pid"] for agent in agents() if agent["pid"]}
    old = main_pid("asmd.service")
    if how == "restart":
        run("systemctl", "restart", "asmd.service")
    else:
        os.kill(old, signal.SIGKILL)
    wait_for(lambda: main_pid("asmd.service") not in (0, old), "systemd starts asmd again")
    run("asmctl", "wait-ready", "--within", f"{READY_S}s")
    assert steady <= survivors(before)


def test_a_lost_keeper_comes_back_and_so_does_the_fleet() -> None:
    old = main_pid("asm-keeper.service")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: main_pid("asm-keeper.service") not in (0, old), "systemd starts the keeper")
    idle = "idle_agent"
    wait_for(
        lambda: any(a["name"] == idle and a["state"] == "active" for a in agents()),
        "the fleet comes back",
        READY_S,
    )
    assert state("asmd.service") == "active"


def test_a_second_daemon_refuses_to_start() -> None:
    done = subprocess.run(["asmd"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert state("asmd.service") == "active"


def test_stopping_the_units_leaves_nothing() -> None:
    assert ours() != []
    run("systemctl", "stop", *UNITS)
    assert [state(unit) for unit in UNITS] == ["inactive", "inactive"]
    assert left_behind() == ""


def test_started_again_and_taken_down_leaves_no_trace_but_the_state() -> None:
    run("systemctl", "start", *UNITS)
    run("asmctl", "wait-ready", "--within", f"{READY_S}s")
    run("install/down.sh")
    assert left_behind() == ""
    assert Path("/etc/asm/asm.yaml").exists()
    assert Path("/var/lib/asm/journal.db").exists()


def test_purge_removes_all_of_ours() -> None:
    run("install/purge.sh")
    kept = [
        path
        for path in ("/opt/asm", "/etc/asm", "/var/lib/asm", "/var/log/asm", "/run/asm",
                     "/usr/local/bin/asmctl", "/etc/systemd/system/asmd.service")
        if Path(path).exists()
    ]  # fmt: skip
    assert kept == []
    assert "asm" not in run("getent", "group")
