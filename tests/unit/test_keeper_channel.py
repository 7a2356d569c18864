"""The keeper's records are those of native/keeper/protocol.h; the channel and its two ends."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.keeper_channel import (
    FDS_MAX,
    MAGIC,
    RECORD,
    VERSION,
    KeeperChannel,
    KeeperError,
    KeeperMessage,
    Kind,
    pack,
    unpack,
)
from tests.c_header import Header

PROTOCOL = Header("native/keeper/protocol.h")
MESSAGE = KeeperMessage(
    Kind.EXITED, agent_id=(1 << 32) - 1, run=7, pid=42, result=-2, stage=11, wait_code=2,
    wait_status=9, is_exec_done=True, timestamp_us=(1 << 63) + 5, dropped_bytes=1 << 40,
)  # fmt: skip


# -- The record.


def test_the_record_has_the_layout_of_the_c_struct() -> None:
    assert PROTOCOL.layout("sasm_keeper_message", unused=("spare",)) == RECORD.format
    assert RECORD.size == 72


def test_the_kinds_have_the_numbers_of_the_c_enum() -> None:
    theirs = PROTOCOL.enum("sasm_keeper_type")
    assert {f"SASM_KEEPER_{kind.name}": kind.value for kind in Kind} == theirs


def test_magic_version_and_descriptors_are_those_of_c() -> None:
    assert PROTOCOL.number("SASM_KEEPER_MAGIC") == MAGIC
    assert PROTOCOL.number("SASM_KEEPER_VERSION") == VERSION
    assert PROTOCOL.enum("sasm_spawn_fd")["SASM_SPAWN_FD_NUM"] == FDS_MAX
    assert PROTOCOL.number("SASM_CHILD_FD_NUM") <= FDS_MAX


def test_a_record_comes_back_as_it_was() -> None:
    assert unpack(pack(MESSAGE)) == MESSAGE
    assert unpack(pack(KeeperMessage(Kind.HELLO)), (3, 4)) == KeeperMessage(Kind.HELLO, fds=(3, 4))


@pytest.mark.parametrize(
    "data",
    [b"", pack(MESSAGE)[:-1], pack(MESSAGE) + b"\0", bytes(72), b"X" + pack(MESSAGE)[1:]],
    ids=["empty", "short", "long", "zeros", "magic"],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"keeper record|magic"):
        unpack(data)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    data = bytearray(pack(MESSAGE))
    data[6] = 99
    with pytest.raises(ValueError, match="99"):
        unpack(bytes(data))


# -- The channel, on a socket of its own.


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "k"))
        listening.listen(1)
        yield listening


@pytest.fixture
def ends(tmp_path: Path, listener: socket.socket) -> Iterator[tuple[KeeperChannel, socket.socket]]:
    channel = KeeperChannel(str(tmp_path / "k"))
    keeper, _ = listener.accept()
    with keeper:
        yield channel, keeper
    channel.close()


Ends = tuple[KeeperChannel, socket.socket]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_orders_and_news_cross_with_their_descriptors(ends: Ends) -> None:
    channel, keeper = ends
    channel.send(KeeperMessage(Kind.ACK, 5, 6, fds=(0, 1)))
    data, fds, _, _ = socket.recv_fds(keeper, 100, 8)
    assert unpack(data) == KeeperMessage(Kind.ACK, 5, 6)
    assert len(fds) == 2
    socket.send_fds(keeper, [pack(MESSAGE)], fds)
    for fd in fds:
        os.close(fd)
    (message,) = channel.receive()
    assert message.kind is Kind.EXITED
    assert len(message.fds) == 2
    for fd in message.fds:
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_receiving_never_waits_and_takes_all_that_is_there(ends: Ends) -> None:
    channel, keeper = ends
    assert list(channel.receive()) == []
    for run in range(3):
        keeper.send(pack(KeeperMessage(Kind.EXITED, 1, run)))
    assert [message.run for message in channel.receive()] == [0, 1, 2]


def test_the_peer_is_named_by_its_pid(ends: Ends) -> None:
    assert ends[0].peer_pid() == os.getpid()


def test_the_end_of_the_connection_is_an_error(ends: Ends) -> None:
    channel, keeper = ends
    keeper.close()
    with pytest.raises(KeeperError, match="reset"):
        list(channel.receive())
    with pytest.raises(KeeperError) as raised:
        channel.send(KeeperMessage(Kind.QUIT))
    assert raised.value.errno == 32  # EPIPE


@pytest.mark.parametrize("data", [b"x", pack(MESSAGE) + b"\0", bytes(72)])
def test_nonsense_is_an_error_that_leaves_no_descriptor_open(ends: Ends, data: bytes) -> None:
    channel, keeper = ends
    before = open_descriptors()
    socket.send_fds(keeper, [data], [0, 1])
    with pytest.raises(KeeperError, match=r"understand.*Protocol error"):
        list(channel.receive())
    assert open_descriptors() == before


def test_more_descriptors_than_fit_are_an_error_that_leaves_none_open(ends: Ends) -> None:
    channel, keeper = ends
    before = open_descriptors()
    socket.send_fds(keeper, [pack(MESSAGE)], [0] * (FDS_MAX + 3))
    with pytest.raises(KeeperError, match="Too many open files"):
        list(channel.receive())
    assert open_descriptors() == before


def test_a_keeper_that_is_not_there_is_named_with_its_errno(tmp_path: Path) -> None:
    with pytest.raises(KeeperError, match=f"unable to connect to asm-keeper at {tmp_path}/no"):
        KeeperChannel(str(tmp_path / "no"))
