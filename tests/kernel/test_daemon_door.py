"""What agents say of themselves: heartbeats and tool calls; who may say it, and what is shown."""

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

from supervisord_asm.api.calls import CALLS, Action
from tests.kernel.daemon_host import Host, eventually, hosted, sh
from tests.kernel.test_daemon_sockets import STRANGER, ask_as, ask_as_agent

AMOUNT_MAX = 10**12
# Makes the calls that its lines of input name, and prints what each came to.
CALLER = """
import os, socket, struct, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(os.environ["ASM_SOCKET"])
for line in sys.argv[1:]:
    number, *words = line.split()
    payload = b"".join(word.encode() for word in words if not word.lstrip("-").isdigit())
    words = [int(word) for word in words if word.lstrip("-").isdigit()]
    body = struct.pack("<4q", *(words + [0] * 4)[:4]) + payload
    peer.sendall(struct.pack("<IHHIQIq", 0x314D5341, 1, int(number), 0, 1, len(body), 0) + body)
    header = peer.recv(32, socket.MSG_WAITALL)
    length, result = struct.unpack_from("<Iq", header, 20)
    peer.recv(length, socket.MSG_WAITALL) if length else b""
    print(result)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        host.start()
        host.wait_state("sleeper", "active")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def say(host: Host, name: str, *calls: str) -> list[int]:
    """Run an agent that makes these calls; return their results."""
    command = ["/usr/bin/python3", "-I", "-c", CALLER, *calls]
    done = host.ctl("run", "--wait", "--name", name, "--", *command)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def printed(host: Host, agent: str) -> dict[str, Any]:
    """Return what `asminfo --json` prints of an agent."""
    answer: dict[str, Any] = json.loads(host.ctl(agent, "--json", name="asminfo").stdout)
    return answer


def test_heartbeats_and_tool_calls_are_counted_and_shown(host: Host) -> None:
    calls = ("504", "504", "505 1500 20 search", "505 0 0 read.file", "504")
    assert say(host, "counted", *calls) == [0, 0, Action.ALLOW, Action.ALLOW, 0]
    view = printed(host, "counted")
    assert (view["heartbeat_count"], view["tool_call_count"]) == (3, 2)
    assert (view["tool_credits_milli"], view["tool_tokens"]) == (1500, 20)
    assert view["started_us"] is None  # it has ended
    assert view["last_heartbeat_us"] > 0
    _, text = ask_as(0, host.paths.agent_socket, 500, 65536, 0, 0, 0)
    member = json.loads(text)["agents"][str(view["agent_id"])]
    assert (member["heartbeat_count"], member["tool_call_count"]) == (3, 2)
    _, text = ask_as(0, host.paths.agent_socket, 502, view["agent_id"], 4096, 0, 0)
    assert json.loads(text)["tool_tokens"] == 20


@pytest.mark.parametrize(
    ("credits_milli", "tokens", "tool"),
    [
        (-1, 0, "tool"), (0, -1, "tool"), (AMOUNT_MAX + 1, 0, "tool"), (0, AMOUNT_MAX + 1, "tool"),
        (0, 0, ""), (0, 0, "x" * 129), (0, 0, "a\nb"), (0, 0, "a\x01b"),
    ],
)  # fmt: skip
def test_a_tool_call_that_is_none_is_refused_and_not_counted(
    host: Host, credits_milli: int, tokens: int, tool: str
) -> None:
    result, _ = ask_as_agent(
        host, host.paths.agent_socket, 505, credits_milli, tokens, 0, 0,
        options=("--name", "sloppy"), payload=tool,
    )  # fmt: skip
    assert result == -errno.EINVAL
    assert printed(host, "sloppy")["tool_call_count"] == 0


def test_the_largest_amounts_are_counted(host: Host) -> None:
    assert say(host, "large", f"505 {AMOUNT_MAX} {AMOUNT_MAX} tool") == [0]
    view = printed(host, "large")
    assert (view["tool_credits_milli"], view["tool_tokens"]) == (AMOUNT_MAX, AMOUNT_MAX)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_stranger_gets_telemetry_and_nothing_else(host: Host, call: Any) -> None:
    result, _ = ask_as(STRANGER, host.paths.agent_socket, call.number, 4096, 4096, 0, 0)
    assert result > 0 if call.number == 500 else result == -errno.EPERM


@pytest.mark.parametrize(
    "call", [call for call in CALLS if not call.is_built], ids=lambda c: c.name
)
def test_an_agent_is_told_what_is_not_built(host: Host, call: Any) -> None:
    result, _ = ask_as_agent(host, host.paths.agent_socket, call.number, 0, 0, 0, 0)
    assert result == -errno.EOPNOTSUPP


def test_counts_outlive_asmd_and_restarts_of_the_agent() -> None:
    with hosted() as host:
        script = host.folder / "beats.py"
        # Beats once in each life, then waits to be ended.
        script.write_text(CALLER + "\nimport time\ntime.sleep(1000)\n")
        command = ["/usr/bin/python3", "-I", str(script), "504", "505 10 1 tool"]
        host.write_agent("beating", command, agent_id=100, scope={"paths": [str(script)]})
        host.start()
        beaten(host, 1)
        first = host.info("beating")["last_heartbeat_us"]
        host.kill_asmd()
        view = host.info("beating")
        assert (view["heartbeat_count"], view["tool_credits_milli"]) == (1, 10)
        assert view["last_heartbeat_us"] == first  # the same run goes on
        assert host.ctl("restart", "beating").returncode == 0
        view = beaten(host, 2)
        assert view["last_heartbeat_us"] > first
        assert (view["tool_call_count"], view["tool_credits_milli"], view["tool_tokens"]) == (
            2, 20, 2,
        )  # fmt: skip
        host.remove_agent("beating")
        assert host.ctl("reload").returncode == 0
        rows = host.paths.tallies.read_bytes()[64:]
        assert rows == bytes(len(rows)), "its row is free again"


def beaten(host: Host, times: int) -> dict[str, Any]:
    """Wait until the agent's heartbeats and tool calls are so many."""
    return host.wait_view(
        "beating",
        lambda view: view["heartbeat_count"] == view["tool_call_count"] == times,
        f"{times} heartbeats",
    )


def test_a_grandchild_beats_for_the_agent(host: Host) -> None:
    script = host.folder / "caller.py"
    script.write_text(CALLER)
    call = f"/usr/bin/python3 -I {script} 504"
    shell = f'(setsid sh -c "{call}; touch done" &); until [ -e done ]; do sleep 0.02; done'
    options = ("--wait", "--name", "parent", "--scope", str(script))
    done = host.ctl("run", *options, "--", "/bin/sh", "-c", shell)
    assert done.returncode == 0, done.stderr
    eventually(lambda: printed(host, "parent")["heartbeat_count"] == 1, "its heartbeat")
