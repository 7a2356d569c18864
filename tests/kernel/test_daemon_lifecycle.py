"""An agent's life under the real daemon: starts, ends of every kind, restarts, stops, counts.

One daemon serves the file; each test has agents of its own, which nothing starts but the test.
"""

import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import Host, Part, eventually, hosted, sh

AT_ONCE = {"kind": "on-failure", "max": 3, "backoff": "10ms"}
# A second restart that comes in a moment, and a third that does not come while a test runs.
IN_A_MOMENT = {"kind": "on-failure", "max": 9, "backoff": "300ms", "jitter": "0%"}
LATER = {"kind": "on-failure", "max": 9, "backoff": "1h", "backoff_max": "1h"}
# Children in the background let sh run its trap at once.
STUBBORN = "trap '' TERM; echo deaf; while :; do sleep 1; done"
POLITE = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 1 & wait; done"
INTERRUPTIBLE = "trap 'exit 5' INT; trap '' TERM; echo up; while :; do sleep 1 & wait; done"
COUNTING = "trap 'echo hit' USR1; echo up; while :; do sleep 1 & wait; done"
# Forked twice, in a session of its own, and deaf: nothing but the cgroup knows it.
NEST = "(setsid sh -c \"trap '' TERM HUP; echo nested; sleep 1000\" &); exec sleep 1000"


def write_agents(host: Host) -> None:
    """All that this file's tests start."""
    for name, script, keys in (
        ("crasher", "kill -SEGV $$", {"restart": AT_ONCE}),
        ("relapser", "kill -SEGV $$", {"restart": AT_ONCE}),
        ("failing", "exit 3", {"restart": {"kind": "no"}}),
        ("clean", "exit 0", {"restart": AT_ONCE}),
        ("sleeper", "exec sleep 1000", {"restart": AT_ONCE}),
        ("polite", POLITE, {"restart": AT_ONCE, "stop": {"grace": "1h"}}),
        ("stubborn", STUBBORN, {"restart": AT_ONCE, "stop": {"grace": "200ms"}}),
        ("interrupted", INTERRUPTIBLE, {"stop": {"signal": "SIGINT", "grace": "1h"}}),
        ("nest", NEST, {"stop": {"grace": "1h"}}),
        ("deserter", "(setsid sleep 1000 &); exit 0", {}),
        ("waiting", "exit 1", {"restart": LATER}),
        ("patient", "exit 1", {"restart": IN_A_MOMENT}),
        ("witness", "exit 1", {"restart": IN_A_MOMENT}),
        ("victim", "exec sleep 1000", {"restart": AT_ONCE}),
        ("counting", COUNTING, {}),
        ("felled", "exec sleep 1000", {"restart": AT_ONCE}),
    ):  # fmt: skip
        host.write_agent(name, sh(script), start="manual", **keys)
    host.write_agent("absent", ["/no/such/program"], start="manual", restart=AT_ONCE)
    host.write_agent("folder", ["/usr"], start="manual")
    host.write_agent("homeless", ["/bin/true"], start="manual", working_directory="/no/such")


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        write_agents(host)
        host.start()
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def start(host: Host, name: str) -> dict[str, object]:
    """Start an agent that stays; return its view."""
    (result,) = host.act(Control.START, name)
    assert (result["result"], result["message"]) == (0, "active")
    return host.info(name)


def cgroup_pids(view: dict[str, object]) -> list[int]:
    """Return the pids in the agent's cgroup."""
    return [int(pid) for pid in (Path(str(view["cgroup"])) / "cgroup.procs").read_text().split()]


def test_a_crashing_agent_is_restarted_up_to_its_limit_and_then_failed(host: Host) -> None:
    host.act(Control.START, "crasher")
    view = host.wait_state("crasher", "failed")
    assert (view["spawn_count"], view["exit_count"], view["crash_count"]) == (4, 4, 4)
    assert (view["restart_count"], view["total_restarts"], view["fault_count"]) == (3, 3, 4)
    assert (view["last_exit_code"], view["last_exit_signal"]) == (None, signal.SIGSEGV)
    assert view["last_exit_cause"] == "signal"
    assert view["pid"] is None
    events = host.events(view["agent_id"])
    assert [event["attempt"] for event in events if event["type"] == "restart"] == [1, 2, 3]
    assert [event["run"] for event in events if event["type"] == "spawn"] == [1, 2, 3, 4]
    assert [event["run"] for event in events if event["type"] == "exit"] == [1, 2, 3, 4]
    assert events[-1]["type"] == "failed"
    assert not Path(f"{host.cgroup}/agents/{view['agent_id']}").exists()


def test_the_first_restart_is_at_once_and_later_ones_back_off(host: Host) -> None:
    host.act(Control.START, "patient")
    view = host.wait_view("patient", lambda view: view["restart_count"] == 2, "two restarts")
    host.act(Control.STOP, "patient")
    delays = [event["delay_us"] for event in host.events(view["agent_id"], "restart")]
    assert delays[:2] == [0, 300_000]


def test_a_clean_exit_stays_stopped_and_an_unclean_one_without_a_policy_is_failed(
    host: Host,
) -> None:
    host.act(Control.START, "clean", "failing")
    view = host.wait_view("clean", lambda view: view["exit_count"] == 1, "its exit")
    view = host.wait_state("clean", "stopped")
    assert (view["spawn_count"], view["crash_count"], view["last_exit_cause"]) == (1, 0, "clean")
    view = host.wait_state("failing", "failed")
    assert (view["last_exit_code"], view["last_exit_cause"], view["crash_count"]) == (3, "error", 1)
    assert view["spawn_count"] == 1


def test_a_failed_agent_is_reset_and_started_again(host: Host) -> None:
    host.act(Control.START, "relapser")
    host.wait_state("relapser", "failed")
    done = host.ctl("reset", "relapser")
    assert done.returncode == 0, done.stderr
    view = host.info("relapser")
    assert (view["state"], view["restart_count"]) == ("stopped", 0)
    host.act(Control.START, "relapser", wait=False)
    view = host.wait_view("relapser", lambda view: view["spawn_count"] == 8, "four more lives")
    # And without a reset: whoever starts it by hand has looked at it.
    host.wait_state("relapser", "failed")
    host.act(Control.START, "relapser", wait=False)
    view = host.wait_view("relapser", lambda view: view["spawn_count"] == 12, "four more lives")
    assert host.wait_state("relapser", "failed")["total_restarts"] == 9


def test_a_stop_asks_politely_and_takes_the_exit_as_the_operators(host: Host) -> None:
    start(host, "polite")
    eventually(lambda: host.said("polite") == ["up"], "its trap")
    done = host.ctl("stop", "polite")
    assert done.returncode == 0, done.stderr
    view = host.info("polite")
    assert (view["state"], view["pid"]) == ("stopped", None)
    assert (view["last_exit_code"], view["last_exit_cause"]) == (7, "operator")
    assert (view["crash_count"], view["spawn_count"]) == (0, 1)
    assert host.said("polite") == ["up", "bye"]


def test_the_stop_signal_is_the_agents_own(host: Host) -> None:
    start(host, "interrupted")
    eventually(lambda: host.said("interrupted") == ["up"], "its trap")
    host.act(Control.STOP, "interrupted")
    assert host.info("interrupted")["last_exit_code"] == 5


def test_a_stop_kills_after_the_grace_and_not_before(host: Host) -> None:
    view = start(host, "stubborn")
    eventually(lambda: host.said("stubborn") == ["deaf"], "its trap")
    host.act(Control.STOP, "stubborn")
    view = host.info("stubborn")
    assert (view["state"], view["last_exit_signal"]) == ("stopped", signal.SIGKILL)
    assert view["last_exit_cause"] == "operator"
    times = {e["type"]: e["timestamp_us"] for e in host.events(int(str(view["agent_id"])))}
    assert times["exit"] - times["stop"] >= 200_000


def test_a_double_forked_grandchild_in_a_session_of_its_own_dies_on_stop(host: Host) -> None:
    view = start(host, "nest")
    eventually(lambda: host.said("nest") == ["nested"], "the grandchild")
    parts = [Part(pid) for pid in cgroup_pids(view)]
    assert len(parts) == 3
    assert len({os.getsid(part.pid) for part in parts}) == 2
    host.act(Control.STOP, "nest")
    for part in parts:
        part.wait_gone()
    assert not Path(str(view["cgroup"])).exists()


def test_what_a_main_process_leaves_behind_dies_with_it(host: Host) -> None:
    host.act(Control.START, "deserter", wait=False)
    host.wait_view("deserter", lambda view: view["exit_count"] == 1, "its exit")
    view = host.wait_state("deserter", "stopped")
    assert view["last_exit_cause"] == "clean"
    assert not Path(f"{host.cgroup}/agents/{view['agent_id']}").exists()


def test_a_stop_during_backoff_stays_stopped(host: Host) -> None:
    host.act(Control.START, "waiting", wait=False)
    view = host.wait_state("waiting", "backoff")
    assert (view["spawn_count"], view["pid"]) == (2, None)
    host.act(Control.STOP, "waiting")
    assert host.info("waiting")["state"] == "stopped"
    # The delay of another agent's second restart is the time in which this one must not return.
    host.act(Control.START, "witness", wait=False)
    host.wait_state("witness", "backoff")
    host.act(Control.STOP, "witness")
    spawned = host.info("witness")["spawn_count"]
    host.act(Control.START, "patient", wait=False)
    host.wait_view("patient", lambda view: view["restart_count"] >= 2, "its second restart")
    host.act(Control.STOP, "patient")
    assert host.info("witness")["spawn_count"] == spawned
    assert host.info("witness")["state"] == host.info("waiting")["state"] == "stopped"


def test_a_start_ends_a_backoff(host: Host) -> None:
    host.act(Control.START, "waiting", wait=False)
    view = host.wait_state("waiting", "backoff")
    host.act(Control.START, "waiting", wait=False)
    again = host.wait_view(
        "waiting", lambda now: now["spawn_count"] == view["spawn_count"] + 2, "two more lives"
    )
    assert again["restart_count"] == 1  # forgiven, and restarted once since
    host.act(Control.STOP, "waiting")


def test_restart_gives_a_new_process_without_a_charge(host: Host) -> None:
    before = start(host, "sleeper")
    done = host.ctl("restart", "sleeper")
    assert done.returncode == 0, done.stderr
    after = host.info("sleeper")
    assert after["state"] == "active"
    assert after["pid"] != before["pid"]
    assert (after["restart_count"], after["crash_count"]) == (0, 0)
    assert (after["spawn_count"], after["exit_count"]) == (2, 1)
    # Of a stopped one it is a start.
    host.act(Control.STOP, "sleeper")
    host.act(Control.RESTART, "sleeper")
    assert host.info("sleeper")["state"] == "active"
    host.act(Control.STOP, "sleeper")


def test_a_start_of_what_runs_changes_nothing(host: Host) -> None:
    before = start(host, "sleeper")
    assert host.ctl("start", "sleeper").returncode == 0
    assert host.info("sleeper")["pid"] == before["pid"]
    host.act(Control.STOP, "sleeper")
    assert host.ctl("stop", "sleeper").returncode == 0


def test_kill_leaves_the_restart_to_the_policy(host: Host) -> None:
    before = start(host, "victim")
    done = host.ctl("kill", "victim")
    assert done.returncode == 0, done.stderr
    view = host.wait_view(
        "victim",
        lambda view: view["state"] == "active" and view["spawn_count"] == 2,
        "its second life",
    )
    assert view["pid"] != before["pid"]
    assert (view["last_exit_signal"], view["last_exit_cause"]) == (signal.SIGKILL, "signal")
    assert (view["crash_count"], view["restart_count"]) == (1, 1)
    host.act(Control.STOP, "victim")
    done = host.ctl("kill", "victim")
    assert done.returncode == 1
    assert "does not run" in done.stderr


def test_kill_without_a_signal_on_the_socket_ends_the_tree_for_good(host: Host) -> None:
    start(host, "felled")
    host.act(Control.KILL, "felled", wait=True)
    view = host.wait_state("felled", "stopped")
    assert (view["last_exit_signal"], view["last_exit_cause"]) == (signal.SIGKILL, "operator")
    assert (view["spawn_count"], view["crash_count"]) == (1, 0)


def test_kill_with_a_signal_reaches_the_main_process(host: Host) -> None:
    before = start(host, "counting")
    eventually(lambda: host.said("counting") == ["up"], "its trap")
    assert host.ctl("kill", "--signal", "USR1", "counting").returncode == 0
    eventually(lambda: host.said("counting") == ["up", "hit"], "its answer")
    assert host.info("counting")["pid"] == before["pid"]
    assert host.ctl("kill", "--signal", "SIGNOTHING", "counting").returncode == 2
    host.act(Control.STOP, "counting")


@pytest.mark.parametrize(
    ("name", "stage", "number", "status"),
    [
        ("absent", "executing", errno.ENOENT, 1),
        ("folder", "executing", errno.EACCES, 4),
        ("homeless", "directory", errno.ENOENT, 1),
    ],
)
def test_an_exec_failure_is_told_with_its_stage_and_errno(
    host: Host, name: str, stage: str, number: int, status: int
) -> None:
    done = host.ctl("start", name)
    assert done.returncode == status, done
    assert stage in done.stderr
    assert os.strerror(number) in done.stderr
    view = host.wait_state(name, "failed")
    (event, *_) = host.events(view["agent_id"], "exec_failed")
    assert event["errno"] == number
    assert stage in event["stage"]
    assert view["last_exit_cause"] == "exec-failure"
    assert view["spawn_count"] == view["exit_count"]


def test_an_unknown_agent_is_said_and_the_others_are_served(host: Host) -> None:
    done = host.ctl("start", "no_such", "sleeper", "4711")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: Agent no_such not found",
        "Error: Agent 4711 not found",
    ]
    assert host.info("sleeper")["state"] == "active"
    agent_id = str(host.info("sleeper")["agent_id"])
    assert host.ctl("stop", agent_id).returncode == 0
    assert host.info("sleeper")["state"] == "stopped"


def test_results_come_as_json_too(host: Host) -> None:
    done = host.ctl("start", "--json", "sleeper")
    (result,) = json.loads(done.stdout)["results"]
    assert (result["name"], result["result"], result["message"]) == ("sleeper", 0, "active")
    host.act(Control.STOP, "sleeper")


def test_all_means_every_agent() -> None:
    with hosted() as host:
        for number in range(5):
            host.write_agent(f"worker-{number}", sh("exec sleep 1000"), agent_id=100 + number)
        host.start()
        for verb, state in (("stop", "stopped"), ("start", "active"), ("restart", "active")):
            done = host.ctl(verb, "--all")
            assert done.returncode == 0, done.stderr
            assert {view["state"] for view in host.agents().values()} == {state}
        assert {view["spawn_count"] for view in host.agents().values()} == {3}
        assert host.ctl("kill", "--all").returncode == 0
        eventually(
            lambda: {view["state"] for view in host.agents().values()} == {"failed"}, "all dead"
        )
        assert host.ctl("reset", "--all").returncode == 0
        assert {view["state"] for view in host.agents().values()} == {"stopped"}


def test_every_spawn_has_its_exit_or_lives(host: Host) -> None:
    """Last in the file: over all that happened above."""
    start(host, "sleeper")
    system, agents = host.system(), host.agents()
    active = [view for view in agents.values() if view.get("pid") is not None]
    assert active
    assert system["active_agents"] == len(active)
    assert system["total_spawns"] == system["total_exits"] + len(active)
    for total, count in (
        ("total_spawns", "spawn_count"), ("total_exits", "exit_count"),
        ("total_crashes", "crash_count"), ("total_faults", "fault_count"),
        ("total_restarts", "total_restarts"),
    ):  # fmt: skip
        assert system[total] == sum(view[count] for view in agents.values()), total
    with host.agent_client() as client:
        _, answer = client.call(500, (1 << 20, 0, 0, 0))
    telemetry = json.loads(answer)
    assert telemetry["system"]["total_agents_spawned"] == system["total_spawns"]
    assert telemetry["system"]["total_agents_exited"] == system["total_exits"]
    assert telemetry["system"]["active_agents"] == len(active)
    host.act(Control.STOP, "sleeper")
