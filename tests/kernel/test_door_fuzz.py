"""Any frames, from an operator and from inside an agent: an answer that is lawful, or a cut."""

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.api.calls import ANSWER_BYTES_MIN, BY_NUMBER, COMMON_ERRORS
from supervisord_asm.api.wire import Decoder, Frame, encode_arguments, encode_frame
from tests.kernel.daemon_host import DEADLINE_S, Host, eventually, hosted

WORDS = st.one_of(
    st.sampled_from(
        [0, 1, -1, 100, 511, 512, 4096, 10**12, 10**12 + 1, 2**31, 2**63 - 1, -(2**63)]
    ),
    st.integers(-(2**63), 2**63 - 1),
)
PAYLOADS = st.one_of(st.binary(max_size=200), st.text(max_size=150).map(str.encode))
NUMBERS = st.one_of(st.integers(500, 511), st.sampled_from([0, 499, 512, 1023, 1024, 65535]))
CALLS = st.builds(
    lambda number, words, data: Frame(number, 1, encode_arguments(words, data)),
    NUMBERS, st.tuples(WORDS, WORDS, WORDS, WORDS), PAYLOADS,
)  # fmt: skip
CUT_SHORT = st.builds(Frame, NUMBERS, st.just(1), st.binary(max_size=31))
FRAMES = st.lists(st.one_of(CALLS, CALLS, CALLS, CUT_SHORT), min_size=1, max_size=20)

# Connects for us from inside an agent: whoever connects is who asks.
RELAY = """
import os, socket, sys, threading
def pump(source, sink):
    while data := source.recv(65536): sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen()
while True:
    near, _ = listener.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(os.environ["ASM_SOCKET"])
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_settings(sockets={"agent_requests": "50000/s", "agent_requests_burst": 500_000})
        command = ["/usr/bin/python3", "-I", "-c", RELAY, "relay.sock"]
        host.write_agent("relay", command, agent_id=100)
        host.start()
        eventually(lambda: relay(host).exists(), "the relay")
        yield host


def relay(host: Host) -> Path:
    return host.paths.agent_state("relay") / "relay.sock"


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def ask(path: Path, frames: list[Frame]) -> list[Frame]:
    """Send all frames and read as many replies."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(str(path))
        peer.sendall(b"".join(map(encode_frame, frames)))
        decoder, found = Decoder(), list[Frame]()
        while len(found) < len(frames):
            data = peer.recv(1 << 16)
            assert data, "cut without having broken the format"
            found += decoder.feed(data)
        return found


def check(asked: Frame, reply: Frame) -> None:
    """A reply is of its request, and says what the table lets it say."""
    assert (reply.number, reply.request_id) == (asked.number, asked.request_id)
    call = BY_NUMBER.get(asked.number)
    if reply.result < 0:
        names = COMMON_ERRORS.keys() | (call.errors.keys() if call else set())
        assert -reply.result in {getattr(errno, name) for name in names}, (asked, reply)
        assert reply.payload == b""
        return
    assert call is not None
    assert call.is_built
    if call.number in (500, 502):
        room = int.from_bytes(asked.payload[8 * (call.number == 502) :][:8], "little", signed=True)
        assert room >= ANSWER_BYTES_MIN
        assert len(reply.payload) == reply.result <= room
        assert isinstance(json.loads(reply.payload), dict)
    else:
        assert reply.payload == b""
        assert reply.result == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=FRAMES)
def test_an_operators_frames_get_lawful_answers(host: Host, frames: list[Frame]) -> None:
    for asked, reply in zip(frames, ask(host.paths.agent_socket, frames), strict=True):
        check(asked, reply)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=FRAMES)
def test_an_agents_frames_get_lawful_answers(host: Host, frames: list[Frame]) -> None:
    for asked, reply in zip(frames, ask(relay(host), frames), strict=True):
        check(asked, reply)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_are_answered_or_cut_and_break_nothing(host: Host, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(str(host.paths.agent_socket))
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        try:
            while peer.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass  # cut before it had read everything
    assert host.system()["drops"].get("handler_errors", 0) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.binary(max_size=5000))
def test_any_datagram_breaks_nothing(host: Host, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.sendto(data, str(host.paths.notify_socket))
    assert host.answers()


def test_nothing_of_it_was_an_error_of_ours(host: Host) -> None:
    assert host.system()["drops"].get("handler_errors", 0) == 0
    assert host.complaints() == []
