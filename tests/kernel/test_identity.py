"""Who is on the other end of a socket: agent, operator or stranger, by the kernel's word alone."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.identity import (
    SO_PEERPIDFD,
    Kind,
    PeerVanished,
    Principal,
    agent_of_cgroup,
    identify,
    read_cgroup,
    start_time_ticks,
)
from tests.kernel.keeper_rig import wait_for

ASM_GID = 54321
AGENTS = PurePosixPath("/asm.slice/agents")


# -- Reading a cgroup's path.


@pytest.mark.parametrize(
    ("cgroup", "agent_id"),
    [
        ("/asm.slice/agents/100", 100),
        ("/asm.slice/agents/100/own/deeper", 100),
        ("/asm.slice/agents/100 (deleted)", 100),
        ("/asm.slice/agents/100/own (deleted)", 100),
        ("/asm.slice/agents", None),
        ("/asm.slice/agentsx/100", None),
        ("/other/agents/100", None),
        ("/asm.slice/system/asmd", None),
        ("/asm.slice/agents/name", None),
        ("/asm.slice/agents/²", None),
        ("/asm.slice/agents/-1", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_agent_is_named_by_the_path_below_the_agents(cgroup: str, agent_id: int | None) -> None:
    assert agent_of_cgroup(cgroup, AGENTS) == agent_id


# -- Peers.


@pytest.fixture
def agents() -> Iterator[Cgroup]:
    top = Cgroup.make(find_cgroup2_root() / f"asm-test-{os.getpid()}-identity")
    made = Cgroup.make(top.path / "agents")
    yield made
    top.kill()
    wait_for(lambda: not top.is_populated(), "the test's cgroup is empty")
    top.remove_tree()
    made.close()
    top.close()


class Peer:
    """A process that connects to us, then stays until it is told to go."""

    CODE = (
        "import os, socket, sys\n"
        "path, uid, gid, groups, fork = sys.argv[1:]\n"
        "os.setgroups([int(group) for group in groups.split()])\n"
        "os.setresgid(*[int(gid)] * 3)\n"
        "os.setresuid(*[int(uid)] * 3)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "if fork and os.fork() == 0:\n"
        "    s.connect(path)\n"
        "    os._exit(0)\n"
        "if fork:\n"
        "    os.wait() if fork == 'reaped' else None\n"
        "else:\n"
        "    s.connect(path)\n"
        "print(end='ready', flush=True)\n"
        "sys.stdin.read()\n"
    )

    def __init__(
        self, folder: Path, cgroup: Cgroup | None = None, uid: int = 0, gid: int = 0,
        groups: str = "", fork: str = "",
    ) -> None:  # fmt: skip
        self._listener = socket.socket(socket.AF_UNIX)
        path = folder / "s"
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(1)

        def enter() -> None:
            if cgroup is not None:
                cgroup.move_here(0)

        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", self.CODE, str(path), str(uid), str(gid), groups, fork],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=enter,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.read(5) == b"ready"
        self.socket, _ = self._listener.accept()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *raised: object) -> None:
        self.socket.close()
        self._listener.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder that others may enter."""
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode
        if mode & 0o001 == 0:
            folder.chmod(mode | 0o011)
    return tmp_path


def name(peer: Peer, agents: Cgroup) -> Principal:
    path = PurePosixPath("/") / agents.path.relative_to(find_cgroup2_root())
    return identify(peer.socket, path, ASM_GID)


def test_root_outside_the_agents_is_an_operator(reachable: Path, agents: Cgroup) -> None:
    with Peer(reachable) as peer:
        expected = Principal(Kind.OPERATOR, peer.process.pid, 0, 0)
        assert name(peer, agents) == expected
        assert str(expected) == f"operator (uid 0, pid {peer.process.pid})"


@pytest.mark.parametrize(("gid", "groups"), [(ASM_GID, ""), (65534, f"5 {ASM_GID} 99999")])
def test_group_asm_is_an_operator_by_either_kind_of_group(
    reachable: Path, agents: Cgroup, gid: int, groups: str
) -> None:
    with Peer(reachable, uid=65534, gid=gid, groups=groups) as peer:
        assert name(peer, agents).kind is Kind.OPERATOR


def test_group_asm_is_found_among_two_hundred_groups(reachable: Path, agents: Cgroup) -> None:
    groups = " ".join(str(group) for group in (*range(1000, 1200), ASM_GID))
    with Peer(reachable, uid=65534, gid=65534, groups=groups) as peer:
        assert name(peer, agents).kind is Kind.OPERATOR


def test_everybody_else_is_a_stranger(reachable: Path, agents: Cgroup) -> None:
    with Peer(reachable, uid=65534, gid=65534, groups="5") as peer:
        found = name(peer, agents)
        assert (found.kind, found.uid, found.agent_id) == (Kind.STRANGER, 65534, None)
        path = PurePosixPath("/nothing")
        assert identify(peer.socket, path, None).kind is Kind.STRANGER  # no group asm here


@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("below", ["", "own"])
def test_a_peer_in_an_agents_cgroup_is_that_agent_whatever_its_uid(
    reachable: Path, agents: Cgroup, uid: int, below: str
) -> None:
    cgroup = Cgroup.make(agents.path / "100")
    if below:
        cgroup.close()
        cgroup = Cgroup.make(agents.path / "100" / below)
    with Peer(reachable, cgroup, uid=uid, gid=ASM_GID) as peer:
        found = name(peer, agents)
        assert (found.kind, found.agent_id, found.uid) == (Kind.AGENT, 100, uid)
        assert str(found) == f"agent 100 (uid {uid}, pid {peer.process.pid})"
    cgroup.close()


def test_a_peer_that_has_been_reaped_has_vanished(reachable: Path, agents: Cgroup) -> None:
    with Peer(reachable, fork="reaped") as peer, pytest.raises(PeerVanished):
        name(peer, agents)


def test_a_peer_that_goes_while_we_look_has_vanished(
    reachable: Path, agents: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its number might be another process's by now, and the cgroup that we read that one's.
    with Peer(reachable) as peer:

        def look(pid: int) -> str:
            peer.process.kill()
            peer.process.wait()
            return "/"

        monkeypatch.setattr("supervisord_asm.kernel.identity.read_cgroup", look)
        with pytest.raises(PeerVanished):
            name(peer, agents)


def test_a_zombie_peer_is_still_the_agent_that_it_was(reachable: Path, agents: Cgroup) -> None:
    cgroup = Cgroup.make(agents.path / "100")
    with Peer(reachable, cgroup, fork="zombie") as peer:
        assert name(peer, agents).agent_id == 100
    cgroup.close()


def test_a_socket_pair_is_its_maker(agents: Cgroup) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = identify(ours, PurePosixPath("/nothing"), None)
    assert (found.kind, found.pid) == (Kind.OPERATOR, os.getpid())


def test_naming_leaves_no_descriptor_open(reachable: Path, agents: Cgroup) -> None:
    with Peer(reachable) as peer:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            name(peer, agents)
        assert len(os.listdir("/proc/self/fd")) == before


def test_without_so_peerpidfd_the_pid_is_looked_up(
    reachable: Path, agents: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a kernel before 6.5 answers to a number that it does not know.
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError) as raised:
        ours.getsockopt(socket.SOL_SOCKET, 9999, 4)
    assert raised.value.errno == errno.ENOPROTOOPT
    monkeypatch.setattr("supervisord_asm.kernel.identity.SO_PEERPIDFD", 9999)
    assert SO_PEERPIDFD == 77
    with Peer(reachable) as peer:
        assert name(peer, agents).pid == peer.process.pid
    with Peer(reachable, fork="reaped") as peer, pytest.raises(PeerVanished):
        name(peer, agents)


# -- Processes.


def test_a_start_time_tells_a_process_from_others_and_survives_odd_names() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R 1 (', 0, 0, 0); print(end='x', flush=True); input()"  # noqa: E501 one line for -c
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"x"
        assert ") R 1 (" in Path(f"/proc/{process.pid}/stat").read_text()
        assert start_time_ticks(process.pid) >= start_time_ticks(os.getpid()) > 0
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with pytest.raises(PeerVanished):
        start_time_ticks(process.pid)
    with pytest.raises(PeerVanished):
        read_cgroup(process.pid)


def test_our_own_cgroup_is_an_absolute_path() -> None:
    assert read_cgroup(os.getpid()).startswith("/")
