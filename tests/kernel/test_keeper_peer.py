"""Who may command asm-keeper, and what it does with what is no order.

The rest of its promises: test_keeper.py.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.keeper_channel import VERSION, KeeperError, Kind
from tests.kernel.keeper_rig import AGENT, Asmd, Rig, record, spec_of, wait_for


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as keeper:
        yield keeper


@pytest.fixture
def asmd(rig: Rig) -> Asmd:
    return rig.connect()


def test_a_second_asmd_is_refused_while_the_first_lives(rig: Rig, asmd: Asmd) -> None:
    with pytest.raises(KeeperError):
        rig.connect()
    asmd.start(spec_of("/bin/sleep", "1000"))


def test_the_orders_of_a_dead_asmd_come_before_its_successor(rig: Rig) -> None:
    first = rig.connect()
    told, _ = first.start(spec_of("/bin/sleep", "0.1"))
    wait_for(lambda: rig.children() == [], "it has ended")
    # What it leaves unread makes the kernel say ECONNRESET to the keeper before all else.
    os.kill(rig.pid, signal.SIGSTOP)
    first.acknowledge(told)
    for number in range(200):
        first.spawn(spec_of("/bin/sleep", "1000"), agent_id=1000 + number)
    first.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as successor:
        successor.connect(str(rig.socket))
        os.kill(rig.pid, signal.SIGCONT)
        successor.send(record())
        successor.settimeout(10)
        kinds = [int.from_bytes(successor.recv(72)[6:8], "little") for _ in range(202)]
    assert kinds == [Kind.HELLO, *[Kind.CHILD] * 200, Kind.SYNCED]


def in_child(rig: Rig, uid: int, cgroup: Path | None) -> str:
    """Connect from another process; return "served" or "refused"."""
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.settimeout(5)\n"
        f"os.setresuid({uid}, {uid}, {uid})\n"
        "try:\n"
        f"    s.connect({str(rig.socket)!r})\n"
        f"    s.send({record()!r})\n"
        "    print('served' if s.recv(72) else 'refused')\n"
        "except OSError as error:\n"
        "    print('refused')\n"
    )

    def enter() -> None:
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text("0")

    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, preexec_fn=enter,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.strip()


def test_root_outside_the_agents_is_served(rig: Rig) -> None:
    assert in_child(rig, 0, rig.top.path) == "served"


def test_another_user_is_refused(rig: Rig) -> None:
    # Also where it got past the modes of the folder and of the socket.
    rig.folder.chmod(0o755)
    for folder in rig.folder.parents:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    rig.socket.chmod(0o666)
    assert in_child(rig, 65534, None) == "refused"


def test_root_inside_an_agents_cgroup_is_refused(rig: Rig) -> None:
    cgroup = rig.cgroup_of(AGENT)
    try:
        assert in_child(rig, 0, cgroup.path) == "refused"
    finally:
        cgroup.close()


def test_the_socket_is_for_root_only(rig: Rig) -> None:
    assert rig.socket.stat().st_mode & 0o777 == 0o600


# -- Malformed orders.


@pytest.mark.parametrize(
    "packet",
    [
        b"x",
        b"\0" * 72,
        record()[:71],
        record() + b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        record()[:0] + (0).to_bytes(4, "little") + record()[4:],
    ],
    ids=["short", "zeros", "one less", "one more", "text", "other magic"],
)
def test_a_malformed_packet_closes_the_connection_only(rig: Rig, packet: bytes) -> None:
    first = rig.connect()
    _, pid = first.start(spec_of("/bin/sleep", "1000"))
    before = rig.descriptors()
    read_end, write_end = os.pipe()
    first.send_raw(packet, (read_end,))
    wait_for(first.is_cut, "the connection is cut")
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")  # the keeper closed what came with the packet
    os.close(write_end)
    second = rig.connect()
    assert [child.pid for child in second.children] == [pid]
    assert rig.descriptors() == before


def test_too_many_descriptors_close_the_connection_only(rig: Rig) -> None:
    first = rig.connect()
    fds = tuple(os.dup(0) for _ in range(20))
    before = rig.descriptors()
    first.send_raw(record(Kind.SPAWN), fds)
    for fd in fds:
        os.close(fd)
    wait_for(first.is_cut, "the connection is cut")
    rig.connect()
    assert rig.descriptors() == before


def test_nothing_is_obeyed_or_told_before_hello(rig: Rig) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as rude:
        rude.connect(str(rig.socket))
        rude.send(record(Kind.QUIT))
        rude.settimeout(10)
        assert rude.recv(72) == b""
    assert rig.connect().children == []
    assert rig.process.poll() is None


def test_an_order_of_a_newer_asmd_is_passed_over(rig: Rig, asmd: Asmd) -> None:
    asmd.send_raw(record(15, version=VERSION + 1))
    asmd.sync()
    assert not asmd.is_cut()
