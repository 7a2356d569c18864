"""What the daemon makes of its files: refusing at start, and applying a change or none of it."""

import json
import os
import stat
from collections.abc import Iterator

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import Host, Part, hosted, sh

pytestmark = pytest.mark.host

EX_CONFIG = 78
SLEEPS = sh("exec sleep 1000")


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as host:
        yield host


@pytest.fixture
def running(host: Host) -> Host:
    """Three agents that sleep."""
    for number, name in enumerate(("first", "second", "third")):
        host.write_agent(name, SLEEPS, agent_id=100 + number)
    host.start()
    for name in ("first", "second", "third"):
        host.wait_state(name, "active")
    return host


def pids(host: Host) -> dict[str, int]:
    """Return the agents' pids by name."""
    return {name: view["pid"] for name, view in host.agents().items()}


# -- Starting.


def test_a_second_daemon_refuses_to_start(running: Host) -> None:
    before, asmd = pids(running), running.find("asmd")
    done = running.run_asmd()
    assert done.returncode == EX_CONFIG
    assert done.stderr == (
        f"asmd: another asmd (pid {asmd}) holds {running.paths.lock_file};"
        " stop it first: asmctl shutdown\n"
    )
    assert running.answers()
    assert running.find("asmd") == asmd
    assert running.paths.pid_file.read_text() == f"{asmd}\n"
    assert pids(running) == before


def test_a_bad_file_is_told_by_its_line_and_nothing_starts(host: Host) -> None:
    host.write_agent("good", SLEEPS, agent_id=100)
    bad = host.paths.agents_folder / "bad.yaml"
    bad.write_text(
        "name: bad\ncommand: [/bin/true]\nrestrt: always\nlimits:\n  memory: 5 parsecs\n"
    )
    done = host.run_asmd()
    assert done.returncode == EX_CONFIG
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:3:")
    assert "restart" in lines[0], "did you mean"
    assert lines[1].startswith(f"{bad}:5:")
    assert lines[-1] == "asmd: not started: 2 error(s)"
    assert host.leftovers() == []
    # The keeper does not try what must fail again.
    host.start_keeper()
    assert host.keeper_status() == 0
    assert f"{bad}:3:" in host.keeper_log.read_text()
    assert host.processes() == []
    assert not host.paths.control_socket.exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_others_may_write_is_refused(host: Host, what: str) -> None:
    host.write_agent("good", SLEEPS, agent_id=100)
    path = host.paths.agents_folder / ("good.yaml" if what == "file" else "")
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    done = host.run_asmd()
    assert done.returncode == EX_CONFIG
    assert done.stderr.startswith(str(path))
    assert "write" in done.stderr


def test_an_agent_of_no_user_is_left_out_and_the_others_start(host: Host) -> None:
    host.write_agent("good", SLEEPS, agent_id=100)
    host.write_agent("lost", SLEEPS, agent_id=101, user="no-such-user")
    host.start()
    assert host.wait_state("good", "active")
    assert "no-such-user" in host.paths.daemon_log.read_text()


# -- Reloading.


def test_a_reload_without_a_change_changes_nothing(running: Host) -> None:
    before = pids(running)
    events = running.system()["events_total"]
    done = running.ctl("reload")
    assert (done.returncode, done.stdout) == (0, "nothing changed\n")
    assert pids(running) == before
    assert running.system()["events_total"] == events


def test_an_added_agent_is_started_and_a_manual_one_is_not(running: Host) -> None:
    before = pids(running)
    running.write_agent("fourth", SLEEPS)
    running.write_agent("waiting", SLEEPS, start="manual")
    done = running.ctl("reload")
    assert (done.returncode, done.stdout) == (0, "added: fourth, waiting\n")
    view = running.wait_state("fourth", "active")
    assert view["agent_id"] >= 1000
    assert running.info("waiting")["state"] == "stopped"
    assert {name: pid for name, pid in pids(running).items() if name in before} == before


def test_a_removed_agent_is_stopped_and_forgotten(running: Host) -> None:
    before = pids(running)
    second = Part(before["second"])
    running.remove_agent("second")
    done = running.ctl("reload")
    assert (done.returncode, done.stdout) == (0, "removed: second\n")
    second.wait_gone()
    running.wait_tree()
    assert pids(running) == {name: before[name] for name in ("first", "third")}
    assert not (running.cgroup / "agents" / "101").exists()
    # Its end is recorded, and it is seen among those that have ended.
    assert "second" in running.ctl("list", "--all").stdout
    assert running.system()["total_exits"] == 1
    # Its log and home stay for whoever wants to know.
    assert running.paths.agent_state("second").is_dir()


def test_a_change_that_can_be_taken_up_live_costs_no_restart(running: Host) -> None:
    before = pids(running)
    running.write_agent(
        "first", SLEEPS, agent_id=100, restart={"kind": "on-failure", "max": 7},
        limits={"pids": 50}, stop={"grace": "3s"},
    )  # fmt: skip
    done = running.ctl("reload")
    assert (done.returncode, done.stdout) == (0, "changed: first\n")
    assert pids(running) == before
    view = running.info("first")
    assert (view["max_restarts"], view["limits"]["pids_max"]) == (7, 50)
    # And it rules from now on.
    running.ctl("kill", "first")
    running.wait_view("first", lambda view: view["restart_count"] == 1, "a restart by the new rule")


def test_a_change_that_is_fixed_at_exec_restarts_that_agent_alone(running: Host) -> None:
    before = pids(running)
    running.write_agent("third", sh("echo new; exec sleep 1000"), agent_id=102)
    done = running.ctl("reload")
    assert (done.returncode, done.stdout) == (0, "changed: third\nrestarted: third\n")
    view = running.wait_view(
        "third", lambda view: view["state"] == "active" and view["spawn_count"] == 2, "its new life"
    )
    assert (view["crash_count"], view["restart_count"]) == (0, 0)
    after = pids(running)
    assert after["third"] != before["third"]
    assert {**after, "third": 0} == {**before, "third": 0}


def test_everything_at_once(running: Host) -> None:
    running.write_agent("first", SLEEPS, agent_id=100, environment={"NEW": "1"})
    running.remove_agent("second")
    running.write_agent("third", SLEEPS, agent_id=102, restart={"kind": "always"})
    running.write_agent("fourth", SLEEPS, agent_id=103)
    answer = running.control(Control.RELOAD)
    assert answer["added"] == ["fourth"]
    assert answer["changed"] == ["first", "third"]
    assert answer["removed"] == ["second"]
    assert answer["restarted"] == ["first"]
    running.wait_state("fourth", "active")
    assert running.events(kind="reload")[-1]["added"] == 1


def test_a_bad_file_changes_nothing_and_is_told(running: Host) -> None:
    before, events = pids(running), running.system()["events_total"]
    running.remove_agent("first")
    running.write_agent("fourth", SLEEPS)
    bad = running.paths.agents_folder / "bad.yaml"
    bad.write_text("name: bad\ncommand: /bin/true\n")
    done = running.ctl("reload")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:2:")
    assert "nothing was changed" in lines[-1]
    assert pids(running) == before
    assert running.system()["events_total"] == events
    bad.unlink()
    assert running.ctl("reload").returncode == 0
    assert set(pids(running)) == {"second", "third", "fourth"}


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"user": "no-such-user"}, "no-such-user"),
        ({"group": "no-such-group"}, "no-such-group"),
        ({"agent_id": 102}, "102"),
    ],
)
def test_what_only_this_host_refuses_changes_nothing_either(
    running: Host, keys: dict[str, object], word: str
) -> None:
    before = pids(running)
    running.write_agent("first", sh("exec sleep 2000"), agent_id=100)
    running.write_agent("fourth", SLEEPS, **keys)
    done = running.ctl("reload")
    assert done.returncode == 1
    assert word in done.stderr
    assert "nothing was changed" in done.stderr
    assert pids(running) == before
    assert running.info("first")["spawn_count"] == 1


def test_a_new_name_with_the_old_id_needs_the_old_one_stopped(running: Host) -> None:
    running.remove_agent("first")
    running.write_agent("renamed", SLEEPS, agent_id=100)
    done = running.ctl("reload")
    assert done.returncode == 1
    assert "first" in done.stderr
    assert running.info("first")["state"] == "active"
    running.act(Control.STOP, "first")
    assert running.ctl("reload").returncode == 0
    assert running.wait_state("renamed", "active")["agent_id"] == 100
    assert set(running.agents()) == {"renamed", "second", "third"}
    # The id's history is the new agent's own only in what comes.
    assert running.info("100")["name"] == "renamed"


def test_a_stopped_agent_stays_stopped_through_a_reload(running: Host) -> None:
    running.act(Control.STOP, "first")
    running.write_agent("first", sh("exec sleep 2000"), agent_id=100)
    answer = running.control(Control.RELOAD)
    assert (answer["changed"], answer["restarted"]) == (["first"], [])
    assert running.info("first")["state"] == "stopped"
    running.act(Control.START, "first")
    pid = running.info("first")["pid"]
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        assert b"2000" in line.read()


def test_check_config_says_what_a_reload_would_say(running: Host) -> None:
    done = running.ctl("check-config", str(running.paths.config_file))
    assert done.returncode == 0, done.stderr
    bad = running.paths.agents_folder / "bad.yaml"
    bad.write_text("name: bad\ncommand: /bin/true\n")
    checked = running.ctl("check-config", str(running.paths.config_file))
    reloaded = running.ctl("reload")
    assert checked.returncode == reloaded.returncode == 1
    assert checked.stderr.splitlines()[0] == reloaded.stderr.splitlines()[0]


def test_settings_that_need_a_start_are_named(running: Host) -> None:
    running.write_settings(agents_max=77)
    answer = running.control(Control.RELOAD)
    assert answer["needs_daemon_restart"] == ["agents_max"]


def test_a_reload_comes_as_json_too(running: Host) -> None:
    running.write_agent("fourth", SLEEPS)
    done = running.ctl("reload", "--json")
    assert json.loads(done.stdout)["added"] == ["fourth"]


def test_folders_have_their_modes(running: Host) -> None:
    for path, mode in (
        (running.paths.run, 0o755), (running.paths.state, 0o711), (running.paths.logs, 0o750),
        (running.paths.agent_state("first"), 0o700), (running.paths.agent_log("first"), 0o640),
        (running.paths.agent_socket, 0o666), (running.paths.control_socket, 0o660),
        (running.paths.keeper_socket, 0o600), (running.paths.procfs_socket, 0o600),
    ):  # fmt: skip
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) == mode, path
    home = running.paths.agent_state("first").stat()
    assert home.st_uid == running.info("first")["uid"] == 1879048192 + 100
    assert os.readlink(f"/proc/{running.info('first')['pid']}/cwd") == str(
        running.paths.agent_state("first")
    )
