"""The procfs protocol's Python side: frames byte by byte, and a sender that never waits."""

import errno
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel import procfs_channel as frames
from supervisord_asm.kernel.procfs_channel import (
    EVENTS_QUEUED_MAX,
    ConnectionLost,
    ProcfsChannel,
    Verb,
)

SHIM = Path(__file__).resolve().parents[2] / "procfs_shim"


def parse(data: bytes) -> list[tuple[Verb, str, str]]:
    """The frames of a whole stream, as the receiver reads them."""
    found = []
    while data:
        body_length, verb, name_length, reserved = struct.unpack_from("<IHHQ", data)
        assert reserved == 0
        end = 16 + name_length + body_length
        assert len(data) >= end
        name, body = data[16 : 16 + name_length], data[16 + name_length : end]
        found.append((Verb(verb), name.decode(), body.decode()))
        data = data[end:]
    return found


def test_a_frame_byte_by_byte() -> None:
    assert frames.encode_put_text("agents/100/status", "ok\n") == (
        b"\x03\0\0\0\x01\0\x11\0\0\0\0\0\0\0\0\0agents/100/statusok\n"
    )
    assert frames.encode_tick() == b"\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frames.encode_put_text("a", "ü\n"), (Verb.PUT_TEXT, "a", "ü\n")),
        (frames.encode_put_json("a", '{"b": {}}\n'), (Verb.PUT_JSON, "a", '{"b": {}')),
        (frames.encode_put_json("a", "{}"), (Verb.PUT_JSON, "a", "{")),
        (frames.encode_put_json("a", "{ }"), (Verb.PUT_JSON, "a", "{")),
        (frames.encode_put_link("agents/x", "100"), (Verb.PUT_LINK, "agents/x", "100")),
        (frames.encode_remove("agents/x"), (Verb.REMOVE, "agents/x", "")),
        (frames.encode_begin_sync(), (Verb.BEGIN_SYNC, "", "")),
        (frames.encode_end_sync(), (Verb.END_SYNC, "", "")),
        (frames.encode_event('{"a":1}\n'), (Verb.EVENT, "", '{"a":1}')),
    ],
)
def test_each_verb(frame: bytes, expected: tuple[Verb, str, str]) -> None:
    assert parse(frame) == [expected]


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", ".", "a/../b", "a/b/c/d/e", "a\0b", "a\nb", "a" * 256, "ü" * 128],
)
def test_what_the_receiver_would_refuse_is_refused_here(name: str) -> None:
    for encode in (frames.encode_put_text, frames.encode_put_link):
        with pytest.raises(ValueError, match="name"):
            encode(name, "100")
    with pytest.raises(ValueError, match="name"):
        frames.encode_remove(name)


def test_wrong_bodies_are_refused() -> None:
    for body in ("", "[]", "{", "null", '{"a":1} x'):
        with pytest.raises(ValueError, match="not a JSON object"):
            frames.encode_put_json("a", body)
    for line in ("", "\n", "a\nb", "x" * 65536):
        with pytest.raises(ValueError, match="one line"):
            frames.encode_event(line)
    with pytest.raises(ValueError, match="over 8388608 bytes"):
        frames.encode_put_text("a", "x" * ((8 << 20) + 1))
    with pytest.raises(ValueError, match="plain relative"):
        frames.encode_put_link("agents/x", "../../etc/passwd")


def test_numbers_and_bounds_are_those_of_the_c_side() -> None:
    """Both sides are read, so neither can move alone."""
    header = (SHIM / "protocol.h").read_text()
    enum = re.findall(r"\bSASM_([A-Z_]+)\b(?: = 1)?,", header.split("enum sasm_verb")[1])
    assert enum == [verb.name for verb in Verb]
    limits = (SHIM / "limits.h").read_text()
    bounds = {
        name: eval(value.replace("u", ""))  # arithmetic of our own header
        for name, value in re.findall(r"#define SASM_(\w+) (\(?[0-9u <]+\)?)\n", limits)
    }
    assert bounds["NAME_BYTES_MAX"] == frames.NAME_BYTES_MAX
    assert bounds["BODY_BYTES_MAX"] == frames.BODY_BYTES_MAX
    assert bounds["LINE_BYTES_MAX"] == frames.LINE_BYTES_MAX
    assert bounds["DEPTH_MAX"] == frames.DEPTH_MAX
    assert bounds["RING_LINES"] == EVENTS_QUEUED_MAX


class Receiver:
    """A listening socket in the place of asm-procfs."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen()
        self.connection: socket.socket | None = None
        self.channel = ProcfsChannel(self.path)

    def connected(self) -> ProcfsChannel:
        """The channel, connected anew."""
        self.channel.connect()
        self.connection, _ = self.listener.accept()
        self.connection.setblocking(False)
        return self.channel

    def drain(self) -> bytes:
        """Everything that has arrived."""
        assert self.connection is not None
        data = b""
        try:
            while piece := self.connection.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass  # that was all
        return data

    def drain_all(self, channel: ProcfsChannel) -> list[tuple[Verb, str, str]]:
        """Let the channel finish, and parse."""
        data = self.drain()
        while not channel.flush():
            data += self.drain()
        return parse(data + self.drain())

    def close(self) -> None:
        self.channel.close()
        if self.connection is not None:
            self.connection.close()
        self.listener.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path / "procfs.sock")
    yield receiver
    receiver.close()


def names_of(sent: list[tuple[Verb, str, str]]) -> list[str]:
    return [name or verb.name for verb, name, _ in sent]


def test_a_round_is_sent_in_order(receiver: Receiver) -> None:
    channel = receiver.connected()
    channel.begin_sync()
    channel.put_text("status", "s\n")
    channel.put_json("telemetry", "{}")
    channel.put_link("agents/x", "100")
    channel.event("{}")
    channel.end_sync()
    channel.tick()
    assert channel.queued_bytes > 0
    assert channel.flush()
    assert channel.queued_bytes == 0
    assert names_of(parse(receiver.drain())) == [
        "BEGIN_SYNC", "EVENT", "status", "telemetry", "agents/x", "END_SYNC", "TICK",
    ]  # fmt: skip


def test_what_has_not_changed_is_not_sent_again(receiver: Receiver) -> None:
    channel = receiver.connected()
    for _ in range(3):
        channel.put_text("status", "same\n")
        channel.tick()
        channel.flush()
    channel.put_text("status", "other\n")
    channel.flush()
    channel.remove("status")
    channel.put_text("status", "other\n")
    channel.flush()
    assert names_of(parse(receiver.drain())) == [
        "status", "TICK", "TICK", "TICK", "status", "status",
    ]  # fmt: skip
    channel.begin_sync()
    channel.put_text("status", "other\n")
    channel.end_sync()
    channel.flush()
    assert names_of(parse(receiver.drain())) == ["BEGIN_SYNC", "status", "END_SYNC"]


def fill(channel: ProcfsChannel) -> None:
    """Until the socket takes no more."""
    number = 0
    while channel.flush():
        channel.put_text("filler", f"{number}" + "x" * 100_000)
        number += 1


def test_while_the_socket_is_full_only_the_last_version_waits(receiver: Receiver) -> None:
    channel = receiver.connected()
    fill(channel)
    before = channel.queued_bytes
    for version in range(1000):
        channel.put_text("status", f"version {version:04d}\n")
        channel.put_text("agents/1/status", f"version {version:04d}\n")
        channel.tick()
        assert not channel.flush()
    assert channel.queued_bytes - before < 200
    sent = [frame for frame in receiver.drain_all(channel) if frame[1] != "filler"]
    assert sent == [
        (Verb.PUT_TEXT, "status", "version 0999\n"),
        (Verb.PUT_TEXT, "agents/1/status", "version 0999\n"),
        (Verb.TICK, "", ""),
    ]
    assert channel.queued_bytes == 0


def test_what_waits_ends_in_the_right_state(receiver: Receiver) -> None:
    channel = receiver.connected()
    fill(channel)
    channel.put_text("agents/1/status", "old\n")
    channel.put_text("gone", "x\n")
    channel.begin_sync()
    channel.put_text("agents/2/status", "two\n")
    channel.put_text("agents/3/status", "three\n")
    channel.end_sync()
    channel.put_text("agents/2/status", "two, newer\n")
    channel.remove("agents/3")
    channel.put_text("agents/4/status", "four\n")
    sent = [frame for frame in receiver.drain_all(channel) if frame[1] != "filler"]
    assert sent == [
        (Verb.BEGIN_SYNC, "", ""),
        (Verb.PUT_TEXT, "agents/2/status", "two, newer\n"),
        (Verb.END_SYNC, "", ""),
        (Verb.REMOVE, "agents/3", ""),
        (Verb.PUT_TEXT, "agents/4/status", "four\n"),
    ]


def test_events_that_wait_are_bounded_and_the_loss_is_told(receiver: Receiver) -> None:
    channel = receiver.connected()
    fill(channel)
    for number in range(EVENTS_QUEUED_MAX + 100):
        channel.event(f'{{"n":{number}}}')
    bodies = [body for verb, _, body in receiver.drain_all(channel) if verb is Verb.EVENT]
    assert bodies[0] == '{"type":"lost","count":100}'
    assert bodies[1] == '{"n":100}'
    assert len(bodies) == 1 + EVENTS_QUEUED_MAX
    assert channel.queued_bytes == 0


def test_nobody_there_is_an_error_with_its_errno(tmp_path: Path) -> None:
    channel = ProcfsChannel(str(tmp_path / "absent"))
    for call, expected in ((channel.connect, errno.ENOENT), (channel.flush, errno.ENOTCONN)):
        with pytest.raises(ConnectionLost) as caught:
            call()
        assert caught.value.errno == expected
    assert not channel.is_connected


def test_a_hangup_is_told_until_closed_and_a_new_connection_starts_empty(
    receiver: Receiver,
) -> None:
    channel = receiver.connected()
    channel.put_text("status", "s\n")
    assert receiver.connection is not None
    receiver.connection.close()
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            channel.flush()
    # An event loop still knows the descriptor: it is open until close().
    assert channel.fileno() >= 0
    channel.close()
    assert not channel.is_connected
    assert channel.queued_bytes == 0
    receiver.connected()
    channel.put_text("status", "s\n")
    assert channel.flush()
    assert names_of(parse(receiver.drain())) == ["status"]


def test_a_receiver_that_never_reads_costs_a_bounded_queue(receiver: Receiver) -> None:
    channel = receiver.connected()

    def publish() -> None:
        for number in range(200):
            channel.put_text(f"file{number}", "x" * 200_000)
            channel.flush()

    with pytest.raises(ConnectionLost) as caught:
        publish()
    assert caught.value.errno == errno.ENOBUFS
    assert channel.queued_bytes < frames.QUEUED_BYTES_MAX + 300_000
