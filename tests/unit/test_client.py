"""The client without a daemon: what it needs, what it sends, what it makes of what comes back."""

import asyncio
import errno
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.calls import (
    BY_NUMBER,
    CALLS,
    DependencyChange,
    DependencyType,
    Door,
    Patch,
)
from supervisord_asm.api.wire import Decoder, Frame, decode_arguments, encode_frame
from supervisord_asm.client import (
    AsmError,
    AsyncClient,
    Client,
    LlmResponse,
    NoDoor,
    NotPermitted,
    OutcomeUnknown,
    TimedOut,
    TryAgain,
)
from supervisord_asm.client import request as requests
from supervisord_asm.client.errors import error_of
from supervisord_asm.client.heartbeat import interval
from tests.clients.client_rig import copy_client

PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
from supervisord_asm import client
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names)))
print(sorted(name for name in sys.modules if name.startswith("supervisord_asm.") and
             name.split(".")[1] not in ("api", "client")))
try:
    client.Client(socket="/nowhere").heartbeat()
except client.NoDoor as error:
    print(error.errno)
"""


def test_it_needs_the_standard_library_only_and_no_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    alone = copy_client(tmp_path)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", PROBE, str(alone)],
        capture_output=True, text=True, check=False, cwd="/",
        user=65534 if os.geteuid() == 0 else None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['supervisord_asm']", "[]", str(errno.ENOSYS)]


# -- What is sent.


@pytest.mark.parametrize(
    ("request_", "words", "data"),
    [
        (requests.telemetry(4096), (4096, 0, 0, 0), b""),
        (requests.policy_patch(7, Patch.ADD_CAPABILITY, 2), (7, 1, 2, 0), b""),
        (requests.policy_patch(7, Patch.UPDATE_SCOPE, "/a b"), (7, 3, 0, 0), b"/a b"),
        (requests.agent_info(7), (7, 4096, 0, 0), b""),
        (requests.heartbeat(), (0, 0, 0, 0), b""),
        (requests.track_tool_call("é", 1, 2), (1, 2, 0, 0), "é".encode()),
        (requests.lock("/a", 5), (5, 0, 0, 0), b"/a"),
        (requests.unlock("/a"), (0, 0, 0, 0), b"/a"),
        (requests.profile_sample("a", 9, True), (9, 1, 0, 0), b"a"),
        (requests.compliance_event({"a": 1}), (0, 0, 0, 0), b'{"a":1}'),
        (requests.budget({"a": 1}, 512), (512, 0, 0, 0), b'{"a":1}'),
        (
            requests.dependency(DependencyChange.ADD, 7, DependencyType.PEER),
            (1, 7, 3, 0),
            b"",
        ),
    ],
)
def test_a_request_is_the_tables_words_and_its_bytes(
    request_: requests.Request, words: tuple[int, ...], data: bytes
) -> None:
    assert decode_arguments(request_.frame_payload()) == (words, data)


def test_an_llm_request_leaves_out_what_is_the_gateways_to_choose() -> None:
    request = requests.llm_request("hi", {"max_tokens": None, "temperature": 0.5}, 512)
    assert json.loads(request.data or b"") == {"agent_id": 0, "prompt": "hi", "temperature": 0.5}


def test_what_cannot_be_sent_is_refused_before() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        requests.track_tool_call("a", 1 << 63, 0)
    with pytest.raises(ValueError, match="path"):
        requests.policy_patch(7, Patch.ADD_CAPABILITY, "/a")
    with pytest.raises(ValueError, match="path"):
        requests.policy_patch(7, Patch.UPDATE_SCOPE, 7)
    with pytest.raises(ValueError, match="above 0"):
        interval(0)


# -- What comes back: a server of one connection at a time, whose answers are the test's.

Answer = Callable[[Frame], "bytes | None"]


class Responder:
    """Answers each connection's frames by a function; None cuts the connection."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = str(path)
        self.answer = answer
        self.connections = 0
        self.asked: list[int] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; connections end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        decoder = Decoder()
        with peer:
            while data := peer.recv(1 << 16):
                for frame in decoder.feed(data):
                    self.asked.append(frame.number)
                    answer = self.answer(frame)
                    if answer is None:
                        return
                    peer.sendall(answer)


@pytest.fixture
def responder(tmp_path: Path) -> Iterator[Responder]:
    made = Responder(tmp_path / "s", lambda frame: None)
    yield made
    made.close()


def reply(frame: Frame, payload: bytes = b"", result: int | None = None) -> bytes:
    length = len(payload) if result is None else result
    return encode_frame(Frame(frame.number, frame.request_id, payload, length))


def both(responder: Responder, method: str, *arguments: object, timeout_s: float = 5.0) -> object:
    """Make the call with both clients; return what both return, or raise what both raise."""
    outcomes: list[tuple[object, AsmError | None]] = []
    with Client(doors=("socket",), socket=responder.path, timeout_s=timeout_s) as client:
        try:
            outcomes.append((getattr(client, method)(*arguments), None))
        except AsmError as error:
            outcomes.append((None, error))

    async def ask() -> object:
        path = responder.path
        async with AsyncClient(doors=("socket",), socket=path, timeout_s=timeout_s) as other:
            return await getattr(other, method)(*arguments)

    try:
        outcomes.append((asyncio.run(ask()), None))
    except AsmError as error:
        outcomes.append((None, error))
    (first, raised), (second, raised_too) = outcomes
    assert first == second
    assert type(raised) is type(raised_too)
    assert str(raised) == str(raised_too)
    if raised is not None:
        raise raised
    return first


def test_an_llm_response_is_read_and_a_newer_ones_members_ignored(responder: Responder) -> None:
    body = {"provider": "local", "text": "hi", "tokens_used": 3, "duration_us": 5,
            "was_fallback": False, "colour": "blue"}  # fmt: skip
    responder.answer = lambda frame: reply(frame, json.dumps(body).encode())
    assert both(responder, "llm_request", "hi") == LlmResponse("local", "hi", 3, 5, False)
    del body["text"]
    with pytest.raises(AsmError, match="no 'text'"):
        both(responder, "llm_request", "hi")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff"])
def test_an_answer_that_is_no_object_is_an_error(responder: Responder, payload: bytes) -> None:
    responder.answer = lambda frame: reply(frame, payload)
    with pytest.raises(AsmError) as raised:
        both(responder, "telemetry")
    assert raised.value.errno == errno.EPROTO


def test_who_is_cut_before_an_effect_is_known_does_not_ask_again(responder: Responder) -> None:
    with pytest.raises(OutcomeUnknown):
        both(responder, "track_tool_call", "a")
    assert responder.asked == [505, 505]  # once by each client


def test_who_is_cut_without_an_effect_is_told_to_try_again(responder: Responder) -> None:
    with pytest.raises(TryAgain):
        both(responder, "heartbeat")


def test_a_kept_connection_that_was_cut_is_made_anew(responder: Responder) -> None:
    cut_next = False

    def answer(frame: Frame) -> bytes | None:
        nonlocal cut_next
        cut_next = not cut_next
        return reply(frame) if cut_next else None

    responder.answer = answer
    with Client(doors=("socket",), socket=responder.path) as client:
        client.heartbeat()
        client.heartbeat()  # cut, and answered on another connection
    assert responder.connections == 2
    assert len(responder.asked) == 3


def test_an_answer_that_does_not_come_is_a_time_out_and_is_not_taken_later(
    responder: Responder,
) -> None:
    silent = threading.Event()
    responder.answer = lambda frame: b"" if not silent.is_set() else reply(frame)
    with pytest.raises(TimedOut):
        both(responder, "heartbeat", timeout_s=0.05)
    silent.set()
    assert both(responder, "heartbeat") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: reply(Frame(frame.number, frame.request_id + 1)),
        lambda frame: reply(Frame(501, frame.request_id)),
        lambda frame: reply(frame, b"x" * 100_000),
        lambda frame: b"HTTP/1.1 200 OK\r\n" + bytes(32),
        lambda frame: struct.pack("<IHHIQIq", 0x314D5341, 1, frame.number, 0, 1, 1 << 21, 0),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_an_error(
    responder: Responder, make: Callable[[Frame], bytes]
) -> None:
    responder.answer = make
    with pytest.raises(AsmError) as raised:
        both(responder, "telemetry", 4096)
    assert raised.value.errno == errno.EPROTO


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_errno_has_a_kind_and_words(call: object) -> None:
    known = BY_NUMBER[int(getattr(call, "number", 0))]
    for number in (*map(int, errno.errorcode), 4711):
        error = error_of(known, number)
        assert error.errno == number
        assert known.name in str(error)
    assert isinstance(error_of(known, errno.EPERM), NotPermitted | PermissionError)
    assert isinstance(error_of(known, errno.ENOSYS), NoDoor)
    assert known.number in Door
