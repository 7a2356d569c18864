"""Who may ask what on the two sockets, by the kernel's word; and what the calls answer.

The callers here speak the wire format by themselves, so that the codec is held to the contract too.
"""

import errno
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.client import Client, Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.api.wire import Frame, encode_arguments, encode_frame
from tests.kernel.daemon_host import DEADLINE_S, Host, eventually, hosted, sh

STRANGER = 64123
# An existing group in the place of "asm", which a test's host need not have.
GROUP = "daemon"
NUMBERS_UNBUILT = [501, 503, 506, 507, *range(509, 512)]

# Prints [result, answer]; needs nothing but the standard library, so that any user may run it.
CALLER = """
import json, socket, struct, sys
path, number, payload, *arguments = sys.argv[1:]
body = struct.pack("<4q", *map(int, arguments)) if arguments else b""
body += payload.encode()
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(path)
    peer.sendall(struct.pack("<IHHIQIq", 0x314D5341, 1, int(number), 0, 77, len(body), 0) + body)
    data = b""
    while len(data) < 32 or len(data) < 32 + length:
        part = peer.recv(65536)
        if not part:
            print(json.dumps(["cut", None]))
            sys.exit()
        data += part
        magic, version, number_, flags, id_, length, result = struct.unpack_from("<IHHIQIq", data)
assert (magic, version, number_, flags, id_) == (0x314D5341, 1, int(number), 0, 77)
print(json.dumps([result, data[32:].decode()]))
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        rates = {"agent_requests": "200/s", "agent_requests_burst": 400}
        host.write_settings(sockets={"group": GROUP, "idle_timeout": "500ms", **rates})
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        host.write_agent("crasher", sh("exit 9"), agent_id=101, restart={"kind": "no"})
        host.start()
        host.wait_state("sleeper", "active")
        host.wait_state("crasher", "failed")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


Answer = tuple[int, str]


def ask_as(
    uid: int, path: Path, number: int, *arguments: int, group: int | str | None = None,
    groups: tuple[str, ...] = (), payload: str = "",
) -> Answer:  # fmt: skip
    """Call from a process of that user, outside every agent."""
    words = [str(path), str(number), payload, *map(str, arguments)]
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", CALLER, *words],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd="/", user=uid,
        group=uid if group is None else group, extra_groups=list(groups),
    )  # fmt: skip
    if "PermissionError" in done.stderr:
        return -errno.EACCES, "connect"
    assert done.returncode == 0, done.stderr
    result, answer = json.loads(done.stdout)
    return result, answer


def ask_as_agent(
    host: Host, path: Path, number: int, *arguments: int, options: tuple[str, ...] = (),
    payload: str = "",
) -> Answer:  # fmt: skip
    """Call from inside an agent's cgroup."""
    words = [str(path), str(number), payload, *map(str, arguments)]
    done = host.ctl("run", "--wait", *options, "--", "/usr/bin/python3", "-I", "-c", CALLER, *words)
    assert done.returncode == 0, done.stderr
    result, answer = json.loads(done.stdout)
    return result, answer


# -- 500 and 502.


def test_telemetry_is_for_everybody_and_says_the_same(host: Host) -> None:
    path = host.paths.agent_socket
    answers = {
        "operator": ask_as(0, path, 500, 65536, 0, 0, 0),
        "stranger": ask_as(STRANGER, path, 500, 65536, 0, 0, 0),
        "agent": ask_as_agent(host, path, 500, 65536, 0, 0, 0),
    }
    for who, (result, text) in answers.items():
        assert result == len(text), who
        answer = json.loads(text)
        assert answer["agents"]["100"]["state"] == "active"
        assert answer["agents"]["101"]["crash_count"] == 1
        assert answer["system"]["active_agents"] >= 1
        assert answer["truncated"] is False, who


def test_events_are_shown_to_operators_and_to_each_agent_its_own(host: Host) -> None:
    path = host.paths.agent_socket
    _, text = ask_as(0, path, 500, 65536, 0, 0, 0)
    assert {event["agent_id"] for event in json.loads(text)["recent_events"]} - {0}
    _, text = ask_as(STRANGER, path, 500, 65536, 0, 0, 0)
    assert json.loads(text)["recent_events"] == []
    _, text = ask_as_agent(host, path, 500, 65536, 0, 0, 0, options=("--name", "asker"))
    asker = host.ctl("list", "--all", "--json").stdout
    own = max(v["agent_id"] for v in json.loads(asker)["agents"] if v["name"] == "asker")
    events = json.loads(text)["recent_events"]
    assert events
    assert {event["agent_id"] for event in events} == {own}


def test_a_small_buffer_gets_a_whole_smaller_answer(host: Host) -> None:
    for size in (512, 600, 700, 1000):
        result, text = ask_as(0, host.paths.agent_socket, 500, size, 0, 0, 0)
        assert result == len(text) <= size
        answer = json.loads(text)
        assert answer["truncated"] is True
        assert answer["agents_total"] >= 2


def test_agent_info_is_the_guides_json(host: Host) -> None:
    path = host.paths.agent_socket
    view = host.info("sleeper")
    for result, text in (
        ask_as(0, path, 502, 100, 4096, 0, 0),
        ask_as_agent(host, path, 502, 100, 4096, 0, 0),
    ):
        assert result == len(text)
        answer = json.loads(text)
        assert list(answer)[:9] == [
            "agent_id", "pid", "name", "capabilities", "auto_restart", "max_restarts",
            "restart_count", "spawn_count", "fault_count",
        ]  # fmt: skip
        assert (answer["agent_id"], answer["pid"]) == (100, view["pid"])
        assert answer["name"] == "sleeper"
    assert ask_as(STRANGER, path, 502, 100, 4096, 0, 0)[0] == -errno.EPERM


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (500, (511, 0, 0, 0), errno.ENOSPC),
        (500, (0, 0, 0, 0), errno.ENOSPC),
        (500, (-1, 0, 0, 0), errno.EINVAL),
        (502, (100, 511, 0, 0), errno.ENOSPC),
        (502, (100, -1, 0, 0), errno.EINVAL),
        (502, (4711, 4096, 0, 0), errno.ESRCH),
        (502, (-100, 4096, 0, 0), errno.ESRCH),
        *((number, (0, 0, 0, 0), errno.EOPNOTSUPP) for number in NUMBERS_UNBUILT),
        # About oneself: an operator has no self there.
        *((number, (0, 0, 0, 0), errno.EPERM) for number in (504, 505)),
        *((number, (0, 0, 0, 0), errno.EINVAL) for number in (0, 1, 499, 512, 1023)),
        *((int(verb), (0, 0, 0, 0), errno.EPERM) for verb in Control),
        (65535, (0, 0, 0, 0), errno.EPERM),
    ],
)
def test_what_is_refused_on_the_agents_socket(
    host: Host, number: int, arguments: tuple[int, int, int, int], expected: int
) -> None:
    with host.agent_client() as client:
        assert client.call(number, arguments)[0] == -expected


def test_a_door_call_without_its_arguments_is_refused(host: Host) -> None:
    assert ask_as(0, host.paths.agent_socket, 500, payload="short")[0] == -errno.EINVAL


@pytest.mark.parametrize("number", [0, 500, 502, 511, 1023, 2000, 65535])
def test_unknown_verbs_are_refused_on_the_control_socket(host: Host, number: int) -> None:
    with host.client() as client, pytest.raises(Refused) as caught:
        client.control(number)
    assert caught.value.errno == errno.EINVAL


# -- Who is who.


def test_strangers_do_not_reach_the_control_socket(host: Host) -> None:
    assert ask_as(STRANGER, host.paths.control_socket, 1024) == (-errno.EACCES, "connect")


@pytest.mark.parametrize(("group", "groups"), [(GROUP, ()), (None, (GROUP,))])
def test_members_of_the_group_are_operators(
    host: Host, group: str | None, groups: tuple[str, ...]
) -> None:
    result, text = ask_as(STRANGER, host.paths.control_socket, 1024, group=group, groups=groups)
    assert result == len(text)
    assert "system" in json.loads(text)
    assert ask_as(
        STRANGER, host.paths.agent_socket, 502, 100, 4096, 0, 0, group=group, groups=groups
    )[0] > 0  # fmt: skip


def test_an_agent_that_is_root_is_an_agent(host: Host) -> None:
    options = ("--user", "root")
    for verb in Control:
        payload = json.dumps({"agents": ["sleeper"], "agent": "sleeper", "command": ["/bin/true"]})
        result, text = ask_as_agent(
            host, host.paths.control_socket, verb, options=options, payload=payload
        )
        assert result == -errno.EPERM, verb
        assert "no operator" in json.loads(text)["error"]
    assert host.info("sleeper")["state"] == "active"
    _, text = ask_as_agent(host, host.paths.agent_socket, 500, 65536, 0, 0, 0, options=options)
    assert len({event["agent_id"] for event in json.loads(text)["recent_events"]}) == 1


def test_a_detached_grandchild_is_still_the_agent(host: Host) -> None:
    caller = host.folder / "caller.py"
    caller.write_text(CALLER)
    call = f"/usr/bin/python3 -I {caller} {host.paths.control_socket} 1024 '{{}}' > answer.new"
    script = f'(setsid sh -c "{call}; mv answer.new answer" &); until [ -e answer ]; do sleep 0.02; done; cat answer'  # noqa: E501 # one line of shell
    done = host.ctl("run", "--wait", "--user", "root", "--", "/bin/sh", "-c", script)
    assert json.loads(done.stdout)[0] == -errno.EPERM, done


# -- Order, and the middle of a frame.


def test_requests_of_one_connection_are_answered_in_their_order(host: Host) -> None:
    frames = [
        Frame(500, 1, encode_arguments((4096, 0, 0, 0))),
        Frame(502, 2, encode_arguments((4711, 4096, 0, 0))),
        Frame(500, 3, encode_arguments((4096, 0, 0, 0))),
        Frame(511, 2**64 - 1, encode_arguments((0, 0, 0, 0))),
    ] * 10
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(str(host.paths.agent_socket))
        peer.sendall(b"".join(map(encode_frame, frames)))
        ids = []
        reader = peer.makefile("rb")
        for _ in frames:
            header = reader.read(32)
            ids.append(int.from_bytes(header[12:20], "little"))
            reader.read(int.from_bytes(header[20:24], "little"))
    assert ids == [frame.request_id for frame in frames]


def test_who_stops_in_the_middle_of_a_frame_is_cut_and_who_is_silent_is_not(host: Host) -> None:
    frame = encode_frame(Frame(500, 1, encode_arguments((4096, 0, 0, 0))))
    with Client(str(host.paths.agent_socket), DEADLINE_S) as silent:
        assert silent.call(500, (4096, 0, 0, 0))[0] > 0
        for part in (frame[:1], frame[:31], frame[:40]):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(DEADLINE_S)
                peer.connect(str(host.paths.agent_socket))
                peer.sendall(part)
                assert peer.recv(1) == b""
        # The silent one has been so for longer than the cut ones.
        assert silent.call(500, (4096, 0, 0, 0))[0] > 0


def test_who_writes_nonsense_is_cut_at_once(host: Host) -> None:
    before = host.system()["drops"].get("protocol_errors", 0)
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 32, encode_frame(Frame(500, 1, flags=8))):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE_S)
            peer.connect(str(host.paths.agent_socket))
            peer.sendall(text)
            try:
                assert peer.recv(1) == b""
            except ConnectionResetError:
                pass  # it was cut before it had read everything
    eventually(
        lambda: host.system()["drops"].get("protocol_errors", 0) == before + 3, "their counts"
    )


# -- Many and slow.


def test_a_reader_that_does_not_read_is_cut_and_counted(host: Host) -> None:
    request = encode_frame(Frame(int(Control.DOCTOR), 1))
    with socket.socket(socket.AF_UNIX) as slow, host.client() as honest:
        slow.connect(str(host.paths.control_socket))
        slow.settimeout(DEADLINE_S)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            ask_for_ever(slow, request, honest)
    eventually(lambda: host.system()["drops"].get("slow_clients_cut"), "it is counted")


def ask_for_ever(slow: socket.socket, request: bytes, honest: Client) -> None:
    """Send and never read; meanwhile another client is served."""
    while True:
        slow.sendall(request)
        honest.control(Control.STATUS)


FLOODER = """
import os, socket, struct, sys, time
body = struct.pack("<4q", 65536, 0, 0, 0)
frame = struct.pack("<IHHIQIq", 0x314D5341, 1, 500, 0, 1, len(body), 0) + body
peers = []
print("flooding", flush=True)
while True:
    peer = socket.socket(socket.AF_UNIX)
    peer.setblocking(False)
    try:
        peer.connect(os.environ["ASM_SOCKET"])
        peers.append(peer)
    except OSError:
        pass
    for peer in peers:
        try:
            peer.send(frame * 64)
            peer.recv(1 << 20)
        except BlockingIOError:
            pass
        except OSError:
            peer.close()
    peers = [peer for peer in peers if peer.fileno() >= 0][-40:]
"""


@pytest.mark.slow  # whether a flood passes 1,000 requests a second is the machine's affair
def test_a_flooding_agent_locks_nobody_out(host: Host) -> None:
    flooder = host.folder / "flooder.py"
    flooder.write_text(FLOODER)
    command = ["/usr/bin/python3", "-I", str(flooder)]
    assert host.ctl("run", "--name", "flooder", "--", *command).returncode == 0
    try:
        eventually(lambda: host.system()["drops"].get("connections_refused"), "refusals")
        eventually(lambda: host.system()["drops"].get("requests_refused"), "more refusals")
        with host.client() as operator, host.agent_client() as other:
            for _ in range(50):
                assert operator.control(Control.STATUS)["system"]["total_spawns"]
                assert other.call(500, (65536, 0, 0, 0))[0] > 0
        assert ask_as(STRANGER, host.paths.agent_socket, 500, 4096, 0, 0, 0)[0] > 0
        assert ask_as_agent(host, host.paths.agent_socket, 500, 4096, 0, 0, 0)[0] > 0
        assert host.ctl("stop", "flooder").returncode == 0
    finally:
        host.act(Control.KILL, "flooder")
    assert host.system()["active_agents"] == 1
