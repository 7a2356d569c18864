"""The client of both sockets against a real server: calls, refusals, and what goes wrong."""

import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.client import Client, Refused, Unreachable
from supervisord_asm.api.wire import (
    ARGUMENTS,
    PAYLOAD_BYTES_MAX,
)
from tests.kernel.api_rig import (
    ECHO,
    LATER,
    TIMEOUT_S,
    Running,
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path / "s") as server:
        yield server


def test_a_door_call_carries_its_arguments_and_returns_the_result(running: Running) -> None:
    with Client(running.path) as client:
        result, payload = client.call(ECHO, (1, -2, 3, 4), b"data")
    assert payload == ARGUMENTS.pack(1, -2, 3, 4) + b"data"
    assert result == len(payload)


def test_a_control_call_is_one_object_each_way(running: Running) -> None:
    with Client(running.path) as client:
        assert client.control(1024, agent="a", all=True) == {"agent": "a", "all": True}


def test_a_refusal_carries_the_daemons_words(running: Running) -> None:
    with Client(running.path) as client, pytest.raises(Refused, match=r"^no$") as raised:
        client.control(1025)
    assert (raised.value.errno, raised.value.hint) == (errno.ESRCH, "ask")


@pytest.mark.parametrize("verb", [1026, 1027])
def test_an_answer_that_is_no_object_is_a_broken_protocol(running: Running, verb: int) -> None:
    with Client(running.path) as client, pytest.raises(Refused) as raised:
        client.control(verb)
    assert raised.value.errno == errno.EPROTO


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(running: Running) -> None:
    with Client(running.path) as client:
        with pytest.raises(Refused) as raised:
            client.call(ECHO, payload=bytes(PAYLOAD_BYTES_MAX))
        assert raised.value.errno == errno.EMSGSIZE
        assert client.call(ECHO)[0] == ARGUMENTS.size  # and the connection is as it was


def test_a_late_answer_is_not_taken_for_the_next_one(running: Running) -> None:
    with Client(running.path, timeout_s=0.1) as client:
        (seconds,) = struct.unpack("<q", struct.pack("<d", 0.3))  # as the first argument
        with pytest.raises(Unreachable) as raised:
            client.call(LATER, (seconds, 0, 0, 0))
        assert raised.value.errno == errno.ETIMEDOUT
        client.set_timeout(TIMEOUT_S)
        assert client.call(ECHO, payload=b"mine")[1].endswith(b"mine")


def test_a_server_that_is_not_there_is_named_with_its_errno(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as raised:
        Client(str(tmp_path / "nothing"))
    assert raised.value.errno == errno.ENOENT
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead"))
    dead.close()
    with pytest.raises(Unreachable) as raised:
        Client(str(tmp_path / "dead"))
    assert raised.value.errno == errno.ECONNREFUSED


def test_a_server_that_leaves_in_the_middle_is_unreachable(running: Running) -> None:
    async def close() -> None:
        running.server.close()

    with Client(running.path) as client:
        client.call(ECHO)
        running.call(close)
        with pytest.raises(Unreachable) as raised:
            client.call(ECHO)
    assert raised.value.errno in (errno.ECONNRESET, errno.EPIPE)
