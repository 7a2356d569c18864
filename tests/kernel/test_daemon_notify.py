"""NOTIFY_SOCKET: who is heard, as whom, and what comes of it. Agents here are shell and Python."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import DEADLINE_S, Host, eventually, hosted, sh

SAY = """
import os, socket, sys, time
peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[1:]:
    if text.startswith("sleep "):
        time.sleep(float(text[6:]))
        continue
    peer.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.start()
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def saying(*texts: str) -> list[str]:
    """Return the command of an agent that sends these datagrams and then stays."""
    return ["/usr/bin/python3", "-I", "-c", SAY, *texts]


def add(host: Host, name: str, command: list[str], **keys: Any) -> None:
    """Add an agent to the running daemon."""
    host.write_agent(name, command, **keys)
    host.control(Control.RELOAD)


def printed(host: Host, agent: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host.ctl(agent, "--json", name="asminfo").stdout)
    return answer


def test_what_an_agent_says_is_shown_to_operators(host: Host) -> None:
    add(host, "speaker", saying("READY=1\nSTATUS=up: 3 of \x1b[31m7", "WATCHDOG=1", "WATCHDOG=1"))
    host.wait_view("speaker", lambda view: view["heartbeat_count"] == 2, "two signs of life")
    view = printed(host, "speaker")
    assert (view["notify_state"], view["notify_status"]) == ("ready", "up: 3 of [31m7")
    assert view["last_heartbeat_us"] >= view["started_us"]
    assert host.ctl("restart", "speaker").returncode == 0
    host.wait_view("speaker", lambda view: view["heartbeat_count"] == 4, "two more")


def test_stopping_is_shown(host: Host) -> None:
    add(host, "leaver", saying("READY=1", "STOPPING=1\nSTATUS="))
    host.wait_view("leaver", lambda view: view["notify_state"] == "stopping", "its word")
    assert host.info("leaver")["notify_status"] is None
    assert host.info("leaver")["state"] == "active"


def test_who_is_to_say_ready_is_starting_until_then(host: Host) -> None:
    add(host, "late", saying("STATUS=warming up", "sleep 0.3", "READY=1"), ready="notify")
    host.wait_view("late", lambda view: view["notify_status"] == "warming up", "its status")
    view = host.wait_state("late", "active")
    (started,) = host.events(view["agent_id"], "started")
    (spawned,) = host.events(view["agent_id"], "spawn")
    assert started["timestamp_us"] - spawned["timestamp_us"] > 300_000


def test_a_waiting_start_waits_for_ready(host: Host) -> None:
    add(host, "waited", saying("sleep 0.2", "READY=1"), ready="notify", start="manual")
    assert host.ctl("start", "waited").returncode == 0
    assert host.info("waited")["state"] == "active"


def test_who_never_says_ready_is_killed_when_its_time_is_over(host: Host) -> None:
    options = {"ready": "notify", "start_timeout": "300ms", "restart": {"kind": "no"}}
    add(host, "mute", sh("exec sleep 1000"), **options)
    view = host.wait_state("mute", "failed")
    assert view["last_exit_cause"] == "start-timeout"


def test_who_asks_for_more_time_gets_it(host: Host) -> None:
    said = ("EXTEND_TIMEOUT_USEC=20000000", "sleep 0.8", "EXTEND_TIMEOUT_USEC=1", "READY=1")
    add(host, "slow", saying(*said), ready="notify", start_timeout="400ms")
    host.wait_state("slow", "active")
    assert host.info("slow")["total_restarts"] == 0


def test_a_run_that_was_starting_when_asmd_died_is_not_ended_for_it() -> None:
    with hosted() as host:
        host.write_agent("late", sh("exec sleep 1000"), ready="notify", start_timeout="60s")
        host.start()
        pid = host.wait_view("late", lambda view: view["pid"], "its process")["pid"]
        eventually(lambda: host.command_lines(host.info("late")["agent_id"]), "its program")
        host.kill_asmd()
        assert host.wait_state("late", "active")["pid"] == pid


def test_who_is_no_agent_is_not_heard(host: Host) -> None:
    before = host.system()["drops"].get("notices_of_nobody", 0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"READY=1\nSTATUS=lies", str(host.paths.notify_socket))
    eventually(
        lambda: host.system()["drops"].get("notices_of_nobody", 0) == before + 1, "its count"
    )
    assert all(view.get("notify_status") != "lies" for view in host.agents().values())


def test_who_does_not_stay_is_heard_if_it_waits_as_systemd_notify_does(host: Host) -> None:
    script = """
import array, os, socket
peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = os.environ["NOTIFY_SOCKET"]
peer.sendto(b"STATUS=from a helper", path)
mine, theirs = os.pipe()
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))
peer.sendmsg([b"BARRIER=1"], [rights], 0, path)
os.close(theirs)
assert os.read(mine, 1) == b""
"""
    shell = f"/usr/bin/python3 -I -c '{script}' && exec sleep 1000"
    add(host, "helped", sh(shell))
    host.wait_view("helped", lambda view: view["notify_status"] == "from a helper", "its status")


def test_descriptors_that_come_along_are_closed(host: Host) -> None:
    asmd = host.find("asmd")
    before = len(os.listdir(f"/proc/{asmd}/fd"))
    script = """
import array, os, socket, time
peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
null = os.open("/dev/null", os.O_RDONLY)
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 253))
sent = 0
while sent < 40:
    try:
        peer.sendmsg([b"STATUS=many"], [rights], 0, os.environ["NOTIFY_SOCKET"])
        sent += 1
    except OSError:  # ETOOMANYREFS: so many are under way already
        time.sleep(0.01)
peer.sendto(b"STATUS=done", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
    add(host, "pusher", ["/usr/bin/python3", "-I", "-c", script])
    host.wait_view("pusher", lambda view: view["notify_status"] == "done", "its last word")
    assert len(os.listdir(f"/proc/{asmd}/fd")) < before + 40


def test_nonsense_is_counted_and_harms_nobody(host: Host) -> None:
    before = host.system()["drops"].get("notices_malformed", 0)
    script = """
import os, socket, time
peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for data in (b"\\xff\\xfe", b"x" * 5000, b"STATUS=" + b"y" * 100000):
    peer.sendto(data, os.environ["NOTIFY_SOCKET"])
peer.sendto(b"STATUS=" + b"z" * 3000, os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
    add(host, "babbler", ["/usr/bin/python3", "-I", "-c", script])
    host.wait_view("babbler", lambda view: view["notify_status"] == "z" * 256, "what was cut")
    assert host.system()["drops"]["notices_malformed"] == before + 3


def test_a_flood_does_not_keep_asmd_from_others(host: Host) -> None:
    script = """
import os, socket
peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    peer.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
"""
    add(host, "flooder", ["/usr/bin/python3", "-I", "-c", script])
    eventually(lambda: host.system()["drops"].get("notices_over_rate"), "its count")
    add(host, "patient", saying("STATUS=heard"))
    host.wait_view("patient", lambda view: view["notify_status"] == "heard", "the other's word")
    for _ in range(20):
        with host.client(DEADLINE_S) as operator:
            assert operator.control(Control.STATUS)["system"]["total_spawns"]
    host.act(Control.KILL, "flooder")


def test_the_watchdogs_time_is_in_the_environment_where_it_is_set(host: Host) -> None:
    script = "echo ${WATCHDOG_USEC-unset}; exec sleep 1000"
    add(host, "watched", sh(script), limits={"watchdog": "30s"})
    add(host, "unwatched", sh(script))
    assert eventually(lambda: host.said("watched"), "its output") == ["30000000"]
    assert eventually(lambda: host.said("unwatched"), "its output") == ["unset"]
