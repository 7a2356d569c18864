"""The profiles' files: what changed is sent, a hundred agents a tick, and nobody waits for ever."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.profiler import SystemProfiler
from supervisord_asm.daemon.profile_files import AGENTS_PER_TICK, ProfileFiles
from supervisord_asm.kernel.procfs_channel import ProcfsChannel

AGENTS = range(1, 251)


class Rig:
    """A real channel to a socket of ours that asm-procfs would read."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self.channel = ProcfsChannel(str(path))
        self.channel.connect()
        self._peer, _ = self._listener.accept()
        self.profiler = SystemProfiler(lambda: 0)
        self.files = ProfileFiles(self.profiler)

    def taken(self) -> dict[str, str]:
        """Return the files that were sent since the last look, by name."""
        data = b""
        while self.channel.queued_bytes:
            self.channel.flush()
            data += self._peer.recv(1 << 20, socket.MSG_DONTWAIT)
        found = {}
        while data:
            body_length, _, name_length, _ = struct.unpack_from("<IHHQ", data)
            end = 16 + name_length
            found[data[16:end].decode()] = data[end : end + body_length].decode()
            data = data[end + body_length :]
        return found

    def tick(self) -> set[str]:
        """Let a second pass; return the names of the agents' files that were sent."""
        self.files.put_changed(self.channel, AGENTS)
        return {name for name in self.taken() if name != "profiling"}

    def close(self) -> None:
        """Close both ends."""
        self.channel.close()
        self._peer.close()
        self._listener.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give a rig."""
    made = Rig(tmp_path / "procfs.sock")
    yield made
    made.close()


def names(agents: range) -> set[str]:
    """Return the names of these agents' files."""
    return {f"agents/{agent_id}/profiling" for agent_id in agents}


def test_a_new_connection_gets_every_file_at_once(rig: Rig) -> None:
    rig.profiler.add_agent(7).record("spawn", 5, True)
    rig.files.put_all(rig.channel, AGENTS)
    sent = rig.taken()
    assert set(sent) == names(AGENTS) | {"profiling"}
    assert "Profile of Agent 7:" in sent["agents/7/profiling"]
    for text in (sent["agents/7/profiling"], sent["profiling"]):
        assert text.splitlines()[-1].split()[:2] == ["spawn", "1"]
    assert rig.tick() == set(), "nothing has changed since"


def test_what_changed_follows_a_hundred_a_tick(rig: Rig) -> None:
    assert AGENTS_PER_TICK == 100
    assert rig.tick() == names(range(1, 101))
    assert rig.tick() == names(range(101, 201))
    assert rig.tick() == names(range(201, 251))
    assert rig.tick() == set()
    rig.profiler.add_agent(3).record("stop", 5, False)
    assert rig.tick() == names(range(3, 4))


def test_agents_with_low_ids_that_always_change_keep_nobody_waiting(rig: Rig) -> None:
    rig.files.put_all(rig.channel, AGENTS)
    rig.taken()
    profilers = [rig.profiler.add_agent(agent_id) for agent_id in AGENTS]
    sent: set[str] = set()
    for _ in range(3):
        for profiler in profilers:
            profiler.record("call_500", 1, True)
        sent |= rig.tick()
    assert sent == names(AGENTS)


def test_who_is_gone_is_forgotten(rig: Rig) -> None:
    rig.profiler.add_agent(5).record("spawn", 5, True)
    rig.files.put_all(rig.channel, AGENTS)
    rig.profiler.remove_agent(5)
    rig.files.forget(5)
    rig.taken()
    assert rig.tick() == names(range(5, 6)), "another one of this id begins without samples"
