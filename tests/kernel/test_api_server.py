"""The server's side of a socket: what a slow, broken or hostile client may do, and what it costs.

What the daemon answers to whom: test_daemon_sockets.py; the client's side: test_api_client.py.
"""

import contextlib
import errno
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.api.server import Caps
from supervisord_asm.api.wire import (
    HEADER,
    PAYLOAD_BYTES_MAX,
    Frame,
    encode_frame,
)
from tests.kernel.api_rig import (
    BIG,
    ECHO,
    FAIL,
    FAIL_LATER,
    LATER,
    NOTHING,
    TIMEOUT_S,
    TOO_BIG,
    Running,
    is_cut,
    is_served,
    replies,
    request,
    wait_for,
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path / "s") as server:
        yield server


@pytest.fixture
def client(running: Running) -> Iterator[socket.socket]:
    with running.connect() as connected:
        yield connected


# -- Answers.


def test_replies_carry_what_was_asked_and_come_in_order(client: socket.socket) -> None:
    # Every third answer comes later than those behind it could.
    asked = [
        Frame(LATER, n, struct.pack("<d", 0.003)) if n % 3 == 0 else Frame(ECHO, n, b"%d" % n)
        for n in range(1, 101)
    ]
    client.sendall(b"".join(map(encode_frame, asked)))
    expected = [Frame(f.number, f.request_id, f.payload, len(f.payload)) for f in asked]
    assert replies(client, 100) == expected


def test_a_request_that_comes_while_another_is_awaited_waits_its_turn(
    client: socket.socket,
) -> None:
    client.sendall(request(LATER, 1, struct.pack("<d", 0.1)))
    time.sleep(0.02)
    client.sendall(request(ECHO, 2))
    assert [frame.request_id for frame in replies(client, 2)] == [1, 2]


def test_a_thousand_requests_in_one_write_are_all_answered(client: socket.socket) -> None:
    client.sendall(b"".join(request(ECHO, n) for n in range(1000)))
    assert [frame.request_id for frame in replies(client, 1000)] == list(range(1000))


def test_a_request_may_come_byte_by_byte(client: socket.socket) -> None:
    for byte in request(ECHO, 3, b"slow"):
        client.sendall(bytes([byte]))
        time.sleep(0.001)
    assert replies(client, 1) == [Frame(ECHO, 3, b"slow", 4)]


def test_the_largest_payload_goes_both_ways(client: socket.socket) -> None:
    sender = threading.Thread(
        target=client.sendall, args=(request(ECHO, 1, bytes(PAYLOAD_BYTES_MAX)),)
    )
    sender.start()
    (reply,) = replies(client, 1)
    sender.join()
    assert len(reply.payload) == PAYLOAD_BYTES_MAX


@pytest.mark.parametrize("number", [FAIL, FAIL_LATER, TOO_BIG])
def test_a_handler_that_fails_costs_one_answer_and_is_reported(
    running: Running, client: socket.socket, number: int
) -> None:
    client.sendall(request(number, 1) + request(ECHO, 2))
    assert replies(client, 2) == [Frame(number, 1, b"", -errno.EIO), Frame(ECHO, 2)]
    assert running.counter("handler_errors") == 1
    (reported,) = running.errors
    assert reported["message"] == f"unable to answer call {number} of peer"
    running.errors.clear()


def test_two_hundred_clients_at_once_are_all_answered(running: Running) -> None:
    clients = [running.connect() for _ in range(200)]
    for number, client in enumerate(clients):
        client.sendall(request(ECHO, number, b"%d" % number) * 3)
    for number, client in enumerate(clients):
        text = b"%d" % number
        assert replies(client, 3) == [Frame(ECHO, number, text, len(text))] * 3
        client.close()
    wait_for(lambda: running.connections() == 0, "every connection is counted out")


# -- Slow clients.


def test_a_client_that_takes_no_replies_is_cut_and_harms_nobody(running: Running) -> None:
    with running.connect() as client:
        client.sendall(request(BIG) * 100)
        wait_for(lambda: running.counter("slow_clients_cut") == 1, "the slow client is cut")
        assert running.asked[BIG] == 1  # the second waited for the first to be taken
        assert is_served(running)


def test_a_client_that_reads_slowly_but_does_read_is_served(running: Running) -> None:
    with running.connect() as client:
        client.sendall(request(BIG, 1) + request(BIG, 2) + request(ECHO, 3))
        time.sleep(0.1)
        assert [frame.request_id for frame in replies(client, 3)] == [1, 2, 3]
        assert running.counter("slow_clients_cut") == 0


def test_a_frame_that_does_not_end_is_cut_in_time(running: Running, client: socket.socket) -> None:
    client.sendall(request(ECHO, 1) + request(ECHO, 2, bytes(100))[:-1])
    assert len(replies(client, 1)) == 1
    started = time.monotonic()
    assert is_cut(client)
    assert 0.2 < time.monotonic() - started < 2.0
    assert running.counter("partial_frames_cut") == 1


def test_a_byte_now_and_then_does_not_keep_a_frame_alive(client: socket.socket) -> None:
    data = itertools.cycle(request(ECHO, 1, bytes(10_000)))
    started = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() - started < TIMEOUT_S:
            client.sendall(bytes([next(data)]))
            time.sleep(0.05)
    assert time.monotonic() - started < 2.0


def test_a_frame_that_waited_for_us_has_its_time_and_no_more(client: socket.socket) -> None:
    later = request(LATER, 1, struct.pack("<d", 0.1))
    client.sendall(later + request(ECHO, 2) * 40 + request(ECHO, 3)[:-1])
    assert len(replies(client, 41)) == 41
    assert is_cut(client)


def test_a_stream_that_is_never_between_frames_is_not_cut(client: socket.socket) -> None:
    frame = request(ECHO, 1, bytes(100))
    client.sendall(frame[:50])
    for _ in range(12):
        time.sleep(0.05)
        client.sendall(frame[50:] + frame[:50])
    assert len(replies(client, 12)) == 12


def test_a_frame_is_not_cut_for_the_time_in_which_we_did_not_read(client: socket.socket) -> None:
    # While the first answer is awaited and many wait behind it, half of the last one waits too.
    later = request(LATER, 1, struct.pack("<d", 0.6))
    half = request(ECHO, 100, b"at last")
    client.sendall(later + request(ECHO, 2) * 40 + half[:-3])
    time.sleep(0.5)
    client.sendall(half[-3:])
    assert replies(client, 42)[-1] == Frame(ECHO, 100, b"at last", 7)


def test_an_idle_connection_may_stay(running: Running, client: socket.socket) -> None:
    time.sleep(0.5)
    client.sendall(request(ECHO, 1))
    assert len(replies(client, 1)) == 1


# -- Broken clients.


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(32),
        b"ASM1\xff\xff" + bytes(26),
        HEADER.pack(0x314D5341, 1, 500, 1, 1, 0, 0),
        HEADER.pack(0x314D5341, 1, 500, 0, 1, PAYLOAD_BYTES_MAX + 1, 0),
    ],
    ids=["text", "zeros", "version", "flags", "length"],
)
def test_garbage_closes_its_own_connection_only(
    running: Running, client: socket.socket, garbage: bytes
) -> None:
    with running.connect() as broken:
        broken.sendall(garbage)
        assert is_cut(broken)
    assert running.counter("protocol_errors") == 1
    client.sendall(request(ECHO, 1))
    assert len(replies(client, 1)) == 1


def test_descriptors_that_somebody_sends_are_not_kept(running: Running) -> None:
    read_end, write_end = socket.socketpair()
    with running.connect() as client, read_end:
        socket.send_fds(client, [request(ECHO, 1)], [write_end.fileno()])
        write_end.close()
        assert len(replies(client, 1)) == 1
        read_end.settimeout(TIMEOUT_S)
        assert read_end.recv(1) == b""  # nobody else holds the other end


def test_a_client_that_leaves_before_its_answer_is_forgotten(running: Running) -> None:
    for _ in range(20):
        with running.connect() as client:
            client.sendall(request(LATER, 1, struct.pack("<d", 1000.0)))
    with running.connect() as client:
        client.sendall(request(ECHO, 1) * 100)
    wait_for(lambda: running.connections() == 0, "every connection is counted out")
    assert running.errors == []
    assert is_served(running)


def test_a_peer_that_cannot_be_named_is_not_heard(running: Running) -> None:
    running.peer = None
    with running.connect() as client:
        assert is_cut(client)
    assert running.connections() == 0


# -- Caps.


def test_a_share_gets_its_connections_and_no_more(tmp_path: Path) -> None:
    caps = Caps(5, 2, 1000, 1000, 1.0)
    with Running(tmp_path / "s", caps) as running, contextlib.ExitStack() as stack:
        first = [stack.enter_context(running.connect()) for _ in range(2)]
        wait_for(lambda: running.connections() == 2, "both are in")
        with running.connect() as third:
            assert is_cut(third)
        running.peer = "another"
        assert is_served(running)
        assert running.counter("connections_refused") == 1
        # Who leaves makes room.
        running.peer = "peer"
        first[0].close()
        wait_for(lambda: running.connections() == 1, "one has left")
        assert is_served(running)


def test_a_share_may_have_fewer_than_the_others(tmp_path: Path) -> None:
    caps = Caps(5, 3, 1000, 1000, 1.0, share_limits={"few": 1})
    with Running(tmp_path / "s", caps) as running:
        running.peer = "few"
        with running.connect(), running.connect() as second:
            assert is_cut(second)


def test_the_total_of_connections_is_bounded(tmp_path: Path) -> None:
    caps = Caps(3, 3, 1000, 1000, 1.0)
    with Running(tmp_path / "s", caps) as running, contextlib.ExitStack() as stack:
        for number in range(3):
            running.peer = number
            stack.enter_context(running.connect())
            wait_for(lambda number=number: running.connections() == number + 1, "it is in")  # type: ignore[misc]  # a lambda with a default
        running.peer = "one more"
        with running.connect() as refused:
            assert is_cut(refused)


def test_requests_over_the_rate_are_answered_eagain_and_cost_nothing_else(tmp_path: Path) -> None:
    caps = Caps(5, 5, requests_per_sec=10, requests_burst=5, partial_frame_timeout_s=5.0)
    with Running(tmp_path / "s", caps) as running, running.connect() as client:
        client.sendall(b"".join(request(ECHO, n) for n in range(8)))
        results = [(frame.request_id, frame.result) for frame in replies(client, 8)]
        assert results[:6] == [*((n, 0) for n in range(5)), (5, -errno.EAGAIN)]
        assert running.counter("requests_refused") >= 1
        # The rate is the share's, not the connection's; and another share has its own.
        with running.connect() as second:
            second.sendall(request(ECHO, 1) * 2)
            assert -errno.EAGAIN in [frame.result for frame in replies(second, 2)]
        running.peer = "another"
        assert is_served(running)
        running.peer = "peer"
        time.sleep(0.3)  # at 10 a second there are tokens again
        client.sendall(request(ECHO, 99))
        assert replies(client, 1)[0].result == 0


@pytest.mark.timing
def test_a_flood_does_not_keep_others_waiting(tmp_path: Path) -> None:
    caps = Caps(50, 20, requests_per_sec=1000, requests_burst=100, partial_frame_timeout_s=5.0)
    with Running(tmp_path / "s", caps) as running, contextlib.ExitStack() as stack:
        running.peer = "flooder"
        flooders = [stack.enter_context(running.connect()) for _ in range(10)]
        wait_for(lambda: running.connections() == 10, "all flooders are in")
        flood = request(ECHO, 1) * 2000
        for flooder in flooders:
            flooder.setblocking(False)
        running.peer = "operator"
        waits = []
        with running.connect() as client:
            for number in range(30):
                for flooder in flooders:
                    with contextlib.suppress(BlockingIOError):
                        flooder.send(flood)
                    with contextlib.suppress(BlockingIOError):
                        flooder.recv(1 << 20)
                started = time.monotonic()
                client.sendall(request(ECHO, number))
                replies(client, 1)
                waits.append(time.monotonic() - started)
        assert sorted(waits)[len(waits) // 2] < 0.05


# -- Anything at all.

FRAMES = st.lists(
    st.one_of(
        st.binary(max_size=100),
        st.builds(
            request,
            st.sampled_from([ECHO, FAIL, FAIL_LATER, TOO_BIG, NOTHING, 0, 0xFFFF]),
            st.integers(0, 2**64 - 1),
            st.binary(max_size=50),
        ),
        st.builds(
            lambda frame, place, byte: frame[:place] + bytes([byte]) + frame[place + 1 :],
            st.just(request(ECHO, 1, b"12345678")), st.integers(0, 39), st.integers(0, 255),
        ),
        st.just(request(ECHO, 1, bytes(10_000))[:5000]),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=FRAMES, leaves=st.booleans())
def test_no_bytes_crash_or_hang_the_server(
    running: Running, pieces: list[bytes], leaves: bool
) -> None:
    gone = contextlib.suppress(BrokenPipeError, ConnectionResetError)
    with running.connect() as client, gone:
        for piece in pieces:
            client.sendall(piece)
        if not leaves:
            client.shutdown(socket.SHUT_WR)
            assert is_cut(client)
    assert is_served(running)
    assert all("unable to answer" in error["message"] for error in running.errors)
