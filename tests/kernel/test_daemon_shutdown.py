"""Leaving: all stopped and nothing left, or the agents kept for the next asmd; and many at once."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.api.wire import Frame, encode_frame
from tests.kernel.daemon_host import DEADLINE_S, Host, Part, eventually, hosted, sh

SLEEPS = sh("exec sleep 1000")
NEST = sh("(setsid sh -c \"trap '' TERM HUP; echo up; sleep 1000\" &); exec sleep 1000")
AT_ONCE = {"kind": "on-failure", "max": 3, "backoff": "10ms"}
MANY = 100


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as host:
        yield host


def write_fleet(host: Host) -> None:
    """Agents of several kinds of life."""
    host.write_agent("sleeper", SLEEPS, agent_id=100, restart=AT_ONCE)
    host.write_agent("nest", NEST, agent_id=101, restart=AT_ONCE)
    host.write_agent("failed", sh("exit 1"), agent_id=102, restart=AT_ONCE)
    waiting = {"kind": "on-failure", "max": 9, "backoff": "1h", "backoff_max": "1h"}
    host.write_agent("waiting", sh("exit 1"), agent_id=103, restart=waiting)
    stubborn = sh("trap '' TERM; echo deaf; while :; do sleep 1; done")
    host.write_agent("stubborn", stubborn, agent_id=104, stop={"grace": "200ms"})


def wait_fleet(host: Host) -> None:
    """Wait until each is where its life leads."""
    eventually(lambda: host.said("nest") == ["up"], "the grandchild")
    eventually(lambda: host.said("stubborn") == ["deaf"], "the trap")
    host.wait_state("failed", "failed")
    host.wait_state("waiting", "backoff")
    host.wait_tree()


def wait_nothing_left(host: Host) -> None:
    """Wait until neither process, cgroup, mount, socket nor pin is there; name what is."""
    left: list[str] = []

    def look() -> bool:
        left[:] = host.leftovers()
        return not left

    try:
        eventually(look, "nothing left")
    except AssertionError:
        assert left == []
        raise


def test_a_shutdown_stops_all_and_leaves_nothing(host: Host) -> None:
    write_fleet(host)
    host.start()
    wait_fleet(host)
    asmd, keeper = host.part("asmd"), host.part("keeper")
    done = host.ctl("shutdown")
    assert done.returncode == 0, done.stderr
    assert list((host.cgroup / "agents").glob("*/")) == [], "answered when the agents are stopped"
    asmd.wait_gone()
    keeper.wait_gone()
    assert host.keeper_status() == 0
    wait_nothing_left(host)
    assert not host.paths.pid_file.exists()
    assert list(host.paths.fuse.parent.glob("tree/*")) == []
    assert list(Path("/dev/shm").glob(f"*{host.name}*")) == []


def test_after_a_shutdown_the_fleet_begins_anew_with_its_counts(host: Host) -> None:
    write_fleet(host)
    host.start()
    wait_fleet(host)
    host.act(Control.STOP, "stubborn")
    totals = host.system()
    assert host.ctl("shutdown").returncode == 0
    assert host.keeper_status() == 0
    wait_nothing_left(host)
    host.start()
    for name in ("sleeper", "nest", "stubborn"):
        assert host.wait_state(name, "active")["spawn_count"] == 2
    view = host.info("sleeper")
    assert (view["exit_count"], view["last_exit_cause"]) == (1, "shutdown")
    assert (view["crash_count"], view["restart_count"]) == (0, 0)
    # What had failed stays so; what waited for its restart was no failure and begins anew.
    view = host.info("failed")
    assert (view["state"], view["spawn_count"]) == ("failed", 4)
    assert host.info("waiting")["spawn_count"] > 2
    assert host.system()["total_spawns"] > totals["total_spawns"]


def test_kept_agents_run_on_and_the_next_asmd_adopts_them(host: Host) -> None:
    write_fleet(host)
    host.start()
    wait_fleet(host)
    host.act(Control.STOP, "stubborn")
    before = host.agents()
    asmd = host.part("asmd")
    done = host.ctl("shutdown", "--keep-agents")
    assert done.returncode == 0, done.stderr
    asmd.wait_gone()
    for name in ("sleeper", "nest"):
        assert Path(f"/proc/{before[name]['pid']}").exists()
    assert len(host.command_lines(101)) == 3
    # The tree is still there, and says that it is stale.
    eventually(lambda: "Stale:" in (host.paths.fuse / "status").read_text(), "the mark")
    # As install/service.sh does it: the keeper that kept them starts asmd again.
    host.part("keeper").send(signal.SIGUSR1)
    host.wait_ready()
    after = host.agents()
    for name, state in (
        ("sleeper", "active"), ("nest", "active"), ("failed", "failed"), ("stubborn", "stopped"),
    ):  # fmt: skip
        assert after[name]["state"] == state, name
        assert after[name]["pid"] == before[name]["pid"], name
        assert after[name]["spawn_count"] == before[name]["spawn_count"], name
    assert host.info("waiting")["restart_count"] == 1
    host.wait_tree()
    # And the keeper minds it again.
    host.kill_asmd()
    assert host.info("sleeper")["pid"] == before["sleeper"]["pid"]
    assert host.ctl("shutdown").returncode == 0
    wait_nothing_left(host)


def test_sigusr2_makes_room_for_a_newer_asmd(host: Host) -> None:
    write_fleet(host)
    host.start()
    wait_fleet(host)
    before, asmd = host.agents(), host.part("asmd")
    asmd.send(signal.SIGUSR2)
    asmd.wait_gone()
    eventually(lambda: host.find("asmd") not in (None, asmd.pid), "the next asmd")
    host.wait_ready()
    after = host.agents()
    assert {name: view["pid"] for name, view in after.items()} == {
        name: view["pid"] for name, view in before.items()
    }
    assert {name: view["state"] for name, view in after.items()} == {
        name: view["state"] for name, view in before.items()
    }


@pytest.mark.parametrize("program", ["keeper", "procfs"])
def test_a_part_that_dies_meanwhile_does_not_keep_the_rest(host: Host, program: str) -> None:
    slow = sh("trap '' TERM; echo up; while :; do sleep 1; done")
    host.write_agent("slow", slow, agent_id=100, stop={"grace": "500ms"})
    host.write_agent("sleeper", SLEEPS, agent_id=101, restart=AT_ONCE)
    host.start()
    host.wait_tree()
    eventually(lambda: host.said("slow") == ["up"], "its trap")
    part = host.part(program)
    with subprocess.Popen(host.command("asmctl", "shutdown"), env=host.environment) as command:
        host.wait_state("slow", "stopping")
        part.kill()
        assert command.wait(DEADLINE_S) == 0
    wait_nothing_left(host)


def test_a_shutdown_with_a_reader_in_the_tree_ends(host: Host) -> None:
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.start()
    host.wait_tree()
    with subprocess.Popen(
        ["cat", host.paths.fuse / "events"], stdout=subprocess.PIPE
    ) as reader:  # fmt: skip
        assert reader.stdout is not None
        assert reader.stdout.readline()
        assert host.ctl("shutdown").returncode == 0
        assert host.keeper_status() == 0
        reader.communicate(timeout=DEADLINE_S)
    wait_nothing_left(host)


def test_a_shutdown_may_be_asked_for_twice_and_with_open_connections(host: Host) -> None:
    host.write_agent("slow", sh("trap '' TERM; echo up; while :; do sleep 1; done"), agent_id=100,
                     stop={"grace": "500ms"})  # fmt: skip
    host.start()
    eventually(lambda: host.said("slow") == ["up"], "its trap")
    with host.client() as first, host.agent_client() as second:
        assert second.call(500, (4096, 0, 0, 0))[0] > 0
        frame = encode_frame(Frame(int(Control.SHUTDOWN), 1, b"{}"))
        with socket.socket(socket.AF_UNIX) as impatient:
            impatient.connect(str(host.paths.control_socket))
            impatient.sendall(frame)
        assert first.control(Control.STATUS)["system"]["agents_total"] == 1
        first.control(Control.SHUTDOWN)
        assert host.keeper_status() == 0
    wait_nothing_left(host)


def descriptors(part: Part) -> Counter[str]:
    """Return what a process has open, by kind."""
    names: Counter[str] = Counter()
    for path in Path(f"/proc/{part.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we looked
            names[re.sub(r"\d+", "N", os.readlink(path))] += 1
    return names


def settled_descriptors(*parts: Part) -> list[Counter[str]]:
    """Return what they have open once many looks agree."""
    seen: list[list[Counter[str]]] = []

    def look() -> bool:
        seen.append([descriptors(part) for part in parts])
        return len(seen) > 50 and all(counts == seen[-1] for counts in seen[-50:])

    eventually(look, "a settled number of descriptors")
    return seen[-1]


def wait_descriptors(parts: list[Part], expected: list[Counter[str]]) -> None:
    """Wait until they have open what they should: the last pipes go a moment later."""
    eventually(
        lambda: [descriptors(part) for part in parts] == expected, f"descriptors: {expected}"
    )


def test_a_hundred_agents_come_and_go_and_leave_nothing(host: Host) -> None:
    names = [f"agent-{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        host.write_agent(name, SLEEPS, agent_id=100 + number, start="manual")
    host.start()
    host.wait_tree()
    parts = [host.part("asmd"), host.part("keeper")]
    before = settled_descriptors(*parts)
    # What is made once for all of an agent's lives.
    log = re.sub(r"\d+", "N", str(host.paths.agent_log("agent-1")))
    kept = before[0] + Counter({"/memfd:asm-exec-spec (deleted)": MANY, log: MANY})
    for round_ in range(1, 4):
        assert host.ctl("start", "--all").returncode == 0
        views = host.agents().values()
        assert {view["state"] for view in views} == {"active"}
        assert len({view["pid"] for view in views}) == MANY
        assert host.ctl("stop", "--all").returncode == 0
        system = host.system()
        assert system["active_agents"] == 0
        assert system["total_spawns"] == system["total_exits"] == round_ * MANY
        assert list((host.cgroup / "agents").glob("*/")) == []
        eventually(lambda: len(host.processes()) == 4, "only our own programs")
        wait_descriptors(parts, [kept, before[1]])
    with host.agent_client() as client:
        answer = json.loads(client.call(500, (1 << 20, 0, 0, 0))[1])
    assert len(answer["agents"]) == MANY
    for name in names:
        host.remove_agent(name)
    assert host.ctl("reload").returncode == 0
    assert host.agents() == {}
    wait_descriptors(parts, before)
