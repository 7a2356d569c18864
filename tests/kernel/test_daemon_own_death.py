"""The deaths of our own programs, alone and together: what agents and operators see of them."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.core.events import Event, EventType
from supervisord_asm.kernel.clock import boot_id, boottime_us, realtime_ns
from supervisord_asm.store.journal import Journal
from tests.kernel.daemon_host import Host, Part, eventually, hosted, sh

AT_ONCE = {"kind": "on-failure", "max": 3, "backoff": "10ms"}
SLEEPS = sh("exec sleep 1000")
WAITS_FOR_GO = sh("until [ -e go ]; do sleep 0.02; done; exit 42")
WORKS = sh("i=0; while :; do i=$((i+1)); /bin/true; sleep 0.02; done")
# It minds SIGTERM only when it is told to go, and ends then with a status that is no clean one.
LINGERS = sh("trap '' TERM; echo up; until [ -e go ]; do sleep 0.02; done; exit 3")


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as host:
        yield host


def go(host: Host, name: str) -> None:
    """Let an agent that waits for its file "go" go on."""
    (host.paths.agent_state(name) / "go").touch()


def has_balance(host: Host) -> bool:
    """Whether every spawn has its exit or lives."""
    system = host.system()
    active = sum(view.get("pid") is not None for view in host.agents().values())
    return bool(system["total_spawns"] == system["total_exits"] + active)


def wait_for_spawns(host: Host, least: int) -> None:
    """Wait for that many in all."""
    eventually(lambda: host.system()["total_spawns"] >= least, "more lives")


# -- asmd.


def test_agents_outlive_asmd_and_keep_their_pids_and_counts(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.write_agent("worker", WORKS, agent_id=101)
    host.start()
    host.wait_view("worker", lambda view: view["fork_count"] >= 5, "some work")
    before = {name: host.info(name) for name in ("sleeper", "worker")}
    for _ in range(2):
        host.kill_asmd()
        for name, old in before.items():
            new = host.info(name)
            assert (new["pid"], new["state"]) == (old["pid"], "active")
            for figure in (
                "syscall_count", "cpu_time_us", "fork_count", "exec_count", "process_exit_count",
                "started_us", "spawn_count", "exit_count",
            ):  # fmt: skip
                assert new[figure] >= old[figure], (name, figure)
            assert (new["spawn_count"], new["exit_count"]) == (1, 0)
            before[name] = new
    # Counted by the kernel all the time, not only while asmd looked.
    host.wait_view(
        "worker", lambda view: view["fork_count"] > before["worker"]["fork_count"], "more work"
    )
    assert host.system()["total_spawns"] == 2


def test_an_exit_while_asmd_is_away_is_reported_with_its_status(host: Host) -> None:
    host.write_agent("leaver", WAITS_FOR_GO, agent_id=100)
    host.write_agent("returner", WAITS_FOR_GO, agent_id=101, restart=AT_ONCE)
    host.start()
    parts = [Part(host.wait_state(name, "active")["pid"]) for name in ("leaver", "returner")]
    with host.asmd_kept_away():
        go(host, "leaver")
        go(host, "returner")
        for part in parts:
            part.wait_gone()
        (host.paths.agent_state("returner") / "go").unlink()
    view = host.wait_state("leaver", "failed")
    assert (view["last_exit_code"], view["last_exit_cause"]) == (42, "error")
    assert (view["spawn_count"], view["exit_count"], view["crash_count"]) == (1, 1, 1)
    view = host.wait_state("returner", "active")
    assert (view["last_exit_code"], view["restart_count"]) == (42, 1)
    assert (view["spawn_count"], view["exit_count"]) == (2, 1)
    assert has_balance(host)


def test_an_exit_that_a_dying_asmd_had_not_read_is_not_lost(host: Host) -> None:
    host.write_agent("leaver", WAITS_FOR_GO, agent_id=100)
    host.start()
    leaver = Part(host.wait_state("leaver", "active")["pid"])
    asmd = host.part("asmd")
    asmd.send(signal.SIGSTOP)
    go(host, "leaver")
    leaver.wait_gone()
    asmd.kill()
    host.wait_ready()
    view = host.wait_state("leaver", "failed")
    assert (view["last_exit_code"], view["exit_count"]) == (42, 1)


def test_no_status_is_lost_or_told_twice_however_often_asmd_dies(host: Host) -> None:
    crashing = {"kind": "always", "max": 100_000, "backoff": "5ms", "backoff_max": "5ms"}
    for number in range(3):
        host.write_agent(f"crasher-{number}", sh("exit 9"), agent_id=100 + number, restart=crashing)
    host.start()
    for _ in range(4):
        wait_for_spawns(host, host.system()["total_spawns"] + 20)
        host.kill_asmd()
    host.act(Control.STOP)
    assert has_balance(host)
    for view in host.agents().values():
        events = host.events(view["agent_id"])
        assert view["spawn_count"] == view["exit_count"]
        for kind in ("spawn", "exit"):
            runs = [event["run"] for event in events if event["type"] == kind]
            assert runs == list(range(runs[0], runs[0] + len(runs))), kind
            assert runs[-1] == view["spawn_count"]
        codes = {e["code"] for e in events if e["type"] == "exit" and e["cause"] == "error"}
        assert codes == {9}


def test_what_was_stopped_or_failed_stays_so(host: Host) -> None:
    host.write_agent("stopped", SLEEPS, agent_id=100, restart=AT_ONCE)
    host.write_agent("failed", sh("exit 1"), agent_id=101, restart=AT_ONCE)
    host.write_agent("manual", SLEEPS, agent_id=102, start="manual")
    host.write_agent("clean", sh("exit 0"), agent_id=103, start="manual")
    host.start()
    host.act(Control.STOP, "stopped")
    host.wait_state("failed", "failed")
    before = host.agents()
    host.kill_asmd()
    after = host.agents()
    for name, state in (("stopped", "stopped"), ("failed", "failed"), ("manual", "stopped")):
        assert after[name]["state"] == state, name
        assert after[name]["spawn_count"] == before[name]["spawn_count"]
    assert after["failed"]["restart_count"] == 3
    # And what ran by hand and ended well is not begun again by our accident.
    host.act(Control.START, "clean", wait=False)
    host.wait_view("clean", lambda view: view["exit_count"] == 1, "its exit")
    host.kill_asmd()
    assert host.info("clean")["spawn_count"] == 1


def test_a_stop_in_progress_is_not_forgotten(host: Host) -> None:
    host.write_agent("lingerer", LINGERS, agent_id=100, restart=AT_ONCE, stop={"grace": "1h"})
    host.start()
    eventually(lambda: host.said("lingerer") == ["up"], "its trap")
    host.act(Control.STOP, "lingerer", wait=False)
    host.kill_asmd()
    assert host.info("lingerer")["state"] == "stopping"
    go(host, "lingerer")
    view = host.wait_state("lingerer", "stopped")
    assert (view["last_exit_code"], view["last_exit_cause"]) == (3, "operator")
    assert (view["spawn_count"], view["crash_count"]) == (1, 0)


def test_a_stop_while_the_last_processes_ended_is_not_forgotten(host: Host) -> None:
    """The exit was recorded, then the stop; asmd and keeper died before the cgroup was empty."""
    host.write_agent("crasher", SLEEPS, agent_id=100, restart=AT_ONCE)
    host.start()
    main = host.info("crasher")["pid"]
    with host.asmd_kept_away():
        host.part("keeper").kill()
        eventually(lambda: not Path(f"/proc/{main}").exists(), "PDEATHSIG for the main process")
        journal = Journal.open(host.paths.journal, clock=time.monotonic_ns)
        crash = {
            "code": 1,
            "signal": None,
            "cause": "error",
            "pid": main,
            "run": 1,
            "crashed": True,
        }
        stop = {"by": "the test", "cause": "operator"}
        for kind, data in ((EventType.EXIT, crash), (EventType.STOP, stop)):
            journal.append([Event(kind, 100, boottime_us(), realtime_ns(), data, boot_id())])
        assert journal.close() == 0
        host.start_keeper()
    view = host.wait_state("crasher", "stopped")
    assert (view["spawn_count"], view["exit_count"], view["last_exit_code"]) == (1, 1, 1)
    assert has_balance(host)


def test_the_restart_limit_is_not_forgiven_by_asmds_death(host: Host) -> None:
    later = {"kind": "on-failure", "max": 2, "backoff": "1h", "backoff_max": "1h"}
    soon = {"kind": "on-failure", "max": 2, "backoff": "1s", "backoff_max": "1s", "jitter": "0%"}
    host.write_agent("later", sh("exit 1"), agent_id=100, restart=later)
    host.write_agent("soon", sh("exit 1"), agent_id=101, restart=soon)
    host.start()
    assert host.wait_state("later", "backoff")["restart_count"] == 1
    host.wait_state("soon", "backoff")
    host.kill_asmd()
    view = host.wait_state("soon", "failed")
    assert (view["spawn_count"], view["restart_count"]) == (3, 2)
    view = host.info("later")
    assert (view["state"], view["spawn_count"], view["restart_count"]) == ("backoff", 2, 1)


def test_a_run_from_the_command_line_outlives_asmd(host: Host) -> None:
    host.start()
    done = host.ctl("run", "--name", "guest", "--", "/bin/sh", "-c", "sleep 1000; exit 5")
    assert done.returncode == 0, done.stderr
    before = host.info("guest")
    host.kill_asmd()
    after = host.info("guest")
    assert (after["pid"], after["agent_id"]) == (before["pid"], before["agent_id"])
    assert after["state"] == "active"
    host.act(Control.STOP, "guest")
    assert host.info("guest")["last_exit_cause"] == "operator"
    assert host.ctl("list", "--all").stdout.count("guest") == 1


def test_an_agent_that_left_the_files_meanwhile_is_ended(host: Host) -> None:
    host.write_agent("staying", SLEEPS, agent_id=100)
    host.write_agent("leaving", SLEEPS, agent_id=101)
    host.start()
    leaving = Part(host.wait_state("leaving", "active")["pid"])
    with host.asmd_kept_away():
        host.remove_agent("leaving")
    leaving.wait_gone()
    assert set(host.agents()) == {"staying"}
    eventually(lambda: has_balance(host), "an exit for its spawn")
    eventually(lambda: not (host.cgroup / "agents" / "101").exists(), "its cgroup gone")


def test_sigterm_to_asmd_leaves_the_agents_and_the_next_asmd_takes_them_over(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.write_agent("stopped", SLEEPS, agent_id=101, restart=AT_ONCE)
    host.start()
    before = host.wait_state("sleeper", "active")
    host.act(Control.STOP, "stopped")
    asmd = host.part("asmd")
    asmd.send(signal.SIGTERM)
    asmd.wait_gone()
    assert Path(f"/proc/{before['pid']}").exists()
    # Asked for, so the keeper does not undo it.
    eventually(lambda: "left with status 0" in host.keeper_log.read_text(), "the keeper's word")
    assert host.find("asmd") is None
    host.start_asmd()
    assert host.info("sleeper")["pid"] == before["pid"]
    assert host.info("sleeper")["spawn_count"] == 1
    assert host.info("stopped")["state"] == "stopped"


# -- asm-procfs.


def test_a_killed_procfs_is_back_and_its_tree_is_right(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.start()
    host.wait_tree()
    sleeper = host.info("sleeper")
    procfs = host.part("procfs")
    procfs.kill()
    eventually(lambda: host.find("procfs") not in (None, procfs.pid), "the next asm-procfs")
    host.wait_tree()
    status = (host.paths.fuse / "agents" / "sleeper" / "status").read_text()
    assert f"{sleeper['pid']}\n" in status
    assert json.loads((host.paths.fuse / "telemetry").read_text())["agents"]["100"]
    mounts = Path("/proc/self/mounts").read_text()
    assert mounts.count(f" {host.paths.fuse} ") == 1
    assert not host.system()["degraded"]


@pytest.mark.timing
def test_a_killed_procfs_is_back_within_a_second(host: Host) -> None:
    host.start()
    host.wait_tree()
    procfs = host.part("procfs")
    for _ in range(3):
        began = time.monotonic()
        procfs.kill()
        host.wait_tree()
        assert time.monotonic() - began < 1.0
        procfs = host.part("procfs")


# -- asm-keeper.


def tree_parts(host: Host, agent_id: int) -> list[Part]:
    """Return every process of an agent."""
    procs = (host.cgroup / "agents" / str(agent_id) / "cgroup.procs").read_text()
    return [Part(int(pid)) for pid in procs.split()]


def test_a_lost_keeper_costs_every_agent_its_life_and_none_a_charge(host: Host) -> None:
    nest = "(setsid sh -c \"trap '' TERM HUP; echo up; sleep 1000\" &); exec sleep 1000"
    host.write_agent("nest", sh(nest), agent_id=100, restart=AT_ONCE)
    host.write_agent("plain", SLEEPS, agent_id=101)
    host.write_agent("idle", SLEEPS, agent_id=102, start="manual")
    host.start()
    eventually(lambda: host.said("nest") == ["up"], "its grandchild")
    old = [*tree_parts(host, 100), *tree_parts(host, 101)]
    asmd, keeper = host.part("asmd"), host.part("keeper")
    keeper.kill()
    for part in old:
        part.wait_gone()
    host.wait_ready()
    for name in ("nest", "plain"):
        view = host.wait_view(
            name,
            lambda view: view["state"] == "active" and view["spawn_count"] == 2,
            f"{name} is back",
        )
        assert (view["restart_count"], view["crash_count"], view["fault_count"]) == (0, 0, 0)
        assert (view["exit_count"], view["last_exit_cause"]) == (1, "keeper-lost")
    assert host.info("idle")["spawn_count"] == 0
    (lost,) = host.events(kind="keeper_lost")
    assert lost["agents"] == 2
    assert host.find("asmd") == asmd.pid
    assert host.part("keeper").pid != keeper.pid
    assert has_balance(host)
    host.wait_tree()
    # The new keeper starts asmd again, as the old one would have.
    pids = {name: host.info(name)["pid"] for name in ("nest", "plain")}
    host.kill_asmd()
    assert {name: host.info(name)["pid"] for name in pids} == pids


@pytest.mark.timing
def test_a_lost_keepers_agents_are_killed_within_a_second(host: Host) -> None:
    deaf = sh("(setsid sh -c \"trap '' TERM HUP; echo up; sleep 1000\" &); exec sleep 1000")
    for number in range(20):
        host.write_agent(f"agent-{number}", deaf, agent_id=100 + number)
    host.start()
    eventually(lambda: len(host.processes()) >= 60, "their grandchildren")
    parts = [part for number in range(20) for part in tree_parts(host, 100 + number)]
    began = time.monotonic()
    host.part("keeper").send(signal.SIGKILL)
    for part in parts:
        part.wait_gone()
    assert time.monotonic() - began < 1.0


def test_a_keeper_that_is_lost_again_and_again_is_not_replaced_in_a_loop(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100, restart=AT_ONCE)
    host.start()
    began = time.monotonic()
    for spawns in range(2, 6):
        host.part("keeper").kill()
        eventually(lambda: host.info("sleeper")["spawn_count"] == spawns, "its next run")  # noqa: B023 - over before the next
        view = host.wait_state("sleeper", "active")
    # None, then 0.25, 0.5 and 1 s.
    assert time.monotonic() - began > 1.7
    assert (view["restart_count"], view["crash_count"]) == (0, 0)
    assert has_balance(host)


def test_what_both_left_behind_is_ended_before_anything_starts(host: Host) -> None:
    nest = (
        "[ -e second ] && exec sleep 1000; touch second;"
        " (setsid sh -c \"trap '' TERM HUP; echo up; sleep 1000\" &); exec sleep 1000"
    )
    host.write_agent("nest", sh(nest), agent_id=100)
    host.start()
    eventually(lambda: host.said("nest") == ["up"], "its grandchild")
    main = host.info("nest")["pid"]
    parts = tree_parts(host, 100)
    with host.asmd_kept_away():
        host.part("keeper").kill()
        eventually(lambda: not Path(f"/proc/{main}").exists(), "PDEATHSIG for the main process")
        assert (host.cgroup / "agents" / "100" / "cgroup.procs").read_text().strip()
        host.start_keeper()
    for part in parts:
        part.wait_gone()
    view = host.wait_state("nest", "active")
    (only,) = tree_parts(host, 100)
    assert only.pid == view["pid"]
    assert (view["spawn_count"], view["exit_count"], view["crash_count"]) == (2, 1, 0)
    assert view["last_exit_cause"] == "unknown"
    assert has_balance(host)


def test_a_second_keeper_does_not_take_the_socket(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.start()
    keeper = host.part("keeper")
    assert host.try_second_keeper() == 1
    assert "Address already in use" in host.keeper_log.read_text()
    assert host.find("keeper") == keeper.pid
    host.kill_asmd()
    assert host.info("sleeper")["spawn_count"] == 1
