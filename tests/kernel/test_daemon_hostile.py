"""Garbage and half-right requests on both sockets, made by Hypothesis, beside an honest client.

Whatever is sent, asmd stays the process that it was, answers the honest client, and leaves no trace
of a mistake of its own in its log.
"""

import contextlib
import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.api.client import Client
from supervisord_asm.api.numbers import Control
from supervisord_asm.api.wire import HEADER, MAGIC, Frame, encode_frame
from tests.kernel.daemon_host import DEADLINE_S, Host, hosted, sh

pytestmark = pytest.mark.host

# What an operator's nonsense may do on this host is left out: end the daemon, write files.
HARMLESS = [int(verb) for verb in Control if verb not in (Control.SHUTDOWN, Control.BACKUP)]

words = st.sampled_from(
    ["100", "101", "sleeper", "crasher", "no-such", "-1", "0", "1e3", "²", "", "9" * 30, "9" * 5000,
     "a" * 300, "\0"]
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), words
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
numbers = st.one_of(st.integers(-2, 5), st.integers())
# Each member as it should be, or nearly, or anything; nothing stands where a verb needs it not.
members = {
    "agents": st.lists(words, max_size=3), "agent": words, "all": st.booleans(),
    "wait": st.booleans(), "run": numbers, "since": numbers, "limit": numbers, "after": numbers,
    "signal": st.sampled_from(["KILL", "sigterm", "15", "0", "99", "no"]), "name": words,
    "command": st.lists(words, max_size=3), "environment": st.dictionaries(words, words),
    "user": words, "working_directory": words, "capabilities": st.lists(words, max_size=2),
    "scope": words, "limits": st.dictionaries(st.sampled_from(["cpu", "wall", "x"]), words),
}  # fmt: skip
requests = st.fixed_dictionaries(
    {}, optional={name: st.one_of(right, right, values) for name, right in members.items()}
)


@st.composite
def control_frames(draw: st.DrawFn) -> bytes:
    """A well-formed frame with a request that may be anything."""
    payload = draw(
        st.one_of(
            requests.map(lambda request: json.dumps(request).encode()),
            values.map(lambda value: json.dumps(value).encode()),
            st.binary(max_size=64),
        )
    )
    number = draw(st.one_of(st.sampled_from(HARMLESS), st.integers(0, 1023)))
    return encode_frame(Frame(number, draw(st.integers(0, 2**64 - 1)), payload))


@st.composite
def door_frames(draw: st.DrawFn) -> bytes:
    """A well-formed frame on the agents' socket."""
    number = draw(st.one_of(st.integers(498, 514), st.integers(0, 65535)))
    payload = draw(st.binary(max_size=80))
    return encode_frame(Frame(number, draw(st.integers(0, 2**64 - 1)), payload))


@st.composite
def broken_headers(draw: st.DrawFn) -> bytes:
    """Headers that are nearly right."""
    return HEADER.pack(
        draw(st.sampled_from([MAGIC, MAGIC + 1, 0])),
        draw(st.sampled_from([1, 0, 2, 65535])),
        draw(st.integers(0, 65535)),
        draw(st.sampled_from([0, 0, 1, 2**32 - 1])),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.sampled_from([0, 8, 32, 1 << 20, (1 << 20) + 1, 2**32 - 1])),
        draw(st.integers(-(2**63), 2**63 - 1)),
    ) + draw(st.binary(max_size=40))


def streams(frames: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """What one client sends, in pieces."""
    return st.lists(
        st.one_of(frames, frames, st.binary(max_size=100), broken_headers()), max_size=6
    )


class Stage:
    """The daemon, and the honest clients that are served all the time."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.asmd = host.find("asmd")
        self.operator = host.client()
        self.program = host.agent_client()

    def check(self) -> None:
        """The honest ones are answered, by the same process."""
        assert self.operator.control(Control.STATUS)["system"]["agents_total"] >= 2
        assert self.program.call(500, (4096, 0, 0, 0))[0] > 0
        assert self.host.find("asmd") == self.asmd


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with hosted() as host:
        host.write_settings(sockets={"agent_requests": "100000/s", "agent_requests_burst": 100000})
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        host.write_agent("crasher", sh("exit 9"), agent_id=101)
        host.start()
        stage = Stage(host)
        with stage.operator, stage.program:
            yield stage
            stage.check()


def send(path: Path, pieces: list[bytes]) -> None:
    """Send all, say that nothing follows, and take what comes until the end."""
    with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
        peer.settimeout(DEADLINE_S)
        peer.connect(str(path))
        for piece in pieces:
            peer.sendall(piece)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass


EXAMPLES = 150
UNHURRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@UNHURRIED
@given(pieces=streams(door_frames()))
def test_garbage_on_the_agents_socket_hurts_nobody(stage: Stage, pieces: list[bytes]) -> None:
    send(stage.host.paths.agent_socket, pieces)
    stage.check()


@UNHURRIED
@given(pieces=streams(control_frames()))
def test_garbage_on_the_control_socket_hurts_nobody(stage: Stage, pieces: list[bytes]) -> None:
    send(stage.host.paths.control_socket, pieces)
    stage.check()


@UNHURRIED
@given(verb=st.sampled_from(HARMLESS), request=requests)
def test_every_request_of_an_operator_is_answered(
    stage: Stage, verb: int, request: dict[str, object]
) -> None:
    if verb == Control.WAIT:
        request["agent"] = "crasher"  # the others may run for ever
    request["wait"] = False
    with Client(str(stage.host.paths.control_socket), DEADLINE_S) as client:
        frame = client._exchange(verb, json.dumps(request).encode())
        answer = json.loads(frame.payload)
        assert isinstance(answer, dict)
        if frame.result < 0:
            assert answer["error"]
            assert frame.result != -errno.EIO, answer
        else:
            assert frame.result == len(frame.payload)
        # The connection is as good as before.
        assert client.control(Control.STATUS)
