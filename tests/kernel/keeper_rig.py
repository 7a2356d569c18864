"""A running asm-keeper with a cgroup of its own, and stand-ins for asmd: what its tests share.

The real programs, the real socket; only asmd is played by the test, through the same
KeeperChannel that the daemon uses.
"""

import contextlib
import itertools
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import supervisord_asm
from supervisord_asm.daemon.gate import Gate
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.exec_spec import ExecSpec, ExecSpecFile
from supervisord_asm.kernel.keeper_channel import (
    RECORD,
    KeeperChannel,
    KeeperError,
    KeeperMessage,
    Kind,
    pack,
)

LIBEXEC = Path(supervisord_asm.__file__).parent / "libexec"
KEEPER, EXEC = LIBEXEC / "asm-keeper", LIBEXEC / "asm-exec"
# Generous: a virtual machine without KVM is ten times slower.
TIMEOUT_S = 30.0
AGENT = 100
RLIM_INFINITY = (1 << 64) - 1
CLD_EXITED, CLD_KILLED, CLD_DUMPED = 1, 2, 3


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until the condition holds, or fail."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def spec_of(*arguments: str, **fields: Any) -> ExecSpec:
    """Return a spec that runs `arguments` as root in /, but for what `fields` say."""
    given: dict[str, Any] = {
        "program": arguments[0], "arguments": arguments, "environment": (),
        "working_directory": "/", "uid": 0, "gid": 0,
    }  # fmt: skip
    return ExecSpec(**(given | fields))


def shell(script: str, **fields: Any) -> ExecSpec:
    """Return a spec that runs a shell script."""
    return spec_of("/bin/sh", "-c", script, **fields)


@dataclass(slots=True)
class Run:
    """One run that was ordered: the read ends of its output, and what the keeper said."""

    agent_id: int
    run: int
    stdout: int
    stderr: int

    def output(self) -> tuple[bytes, bytes]:
        """Read both streams to their ends."""
        return read_to_end(self.stdout), read_to_end(self.stderr)


def read_some(fd: int) -> bytes:
    """Wait for something in a pipe and read it; empty at its end."""
    poll = select.poll()  # a test may have more descriptors than select() can name
    poll.register(fd, select.POLLIN)
    assert poll.poll(TIMEOUT_S * 1000), "nothing came"
    return os.read(fd, 65536)


def read_to_end(fd: int) -> bytes:
    """Read a pipe until all its writers are gone."""
    parts = []
    while part := read_some(fd):
        parts.append(part)
    return b"".join(parts)


class Asmd:
    """A stand-in for asmd: one greeted connection to the keeper."""

    def __init__(self, rig: "Rig") -> None:
        self._rig = rig
        self.channel = KeeperChannel(str(rig.socket))
        self._waiting: list[KeeperMessage] = []
        self._fds: list[int] = []
        try:
            self.channel.send(KeeperMessage(Kind.HELLO))
            self.version = self.take(Kind.HELLO).version
            self.children = list(self._greeting())
        except KeeperError:
            self.channel.close()
            raise

    def _greeting(self) -> Iterator[KeeperMessage]:
        while True:
            message = self._next()
            if message.kind is Kind.SYNCED:
                assert message.result == len([m for m in self._waiting if m.kind is Kind.CHILD])
                self._waiting.remove(message)
                break
        for child in [m for m in self._waiting if m.kind is Kind.CHILD]:
            self._waiting.remove(child)
            yield child

    def _next(self) -> KeeperMessage:
        """Wait for one more record and keep it."""
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        assert poll.poll(TIMEOUT_S * 1000), f"the keeper says nothing; so far: {self._waiting}"
        message = next(iter(self.channel.receive()))
        self._fds += message.fds
        self._waiting.append(message)
        return message

    def take(self, kind: Kind, agent_id: int = 0, run: int = 0) -> KeeperMessage:
        """Wait for a record of this kind and run, whatever else comes first."""
        while True:
            for message in self._waiting:
                if (message.kind, message.agent_id, message.run) == (kind, agent_id, run):
                    self._waiting.remove(message)
                    return message
            self._next()

    def news(self) -> list[Kind]:
        """Return the kinds of all that came and was not taken, in their order."""
        return [message.kind for message in self._waiting]

    def is_cut(self) -> bool:
        """Whether the keeper has closed this connection."""
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def spawn(
        self,
        spec: ExecSpec,
        agent_id: int = AGENT,
        run: int | None = None,
        gate: Gate | None = None,
    ) -> Run:
        """Order a birth in the agent's own cgroup; return at once. Runs count from 1."""
        run = next(self._rig.runs) if run is None else run
        pipes = [os.pipe() for _ in ("stdout", "stderr")]
        self._fds += [read_end for read_end, _ in pipes]
        file = ExecSpecFile(spec)
        cgroup = self._rig.cgroup_of(agent_id)
        write_ends = [write_end for _, write_end in pipes]
        try:
            self.channel.send(
                KeeperMessage(
                    Kind.SPAWN, agent_id=agent_id, run=run,
                    fds=(
                        file.fd, cgroup.fd, *write_ends, pipes[0][0], pipes[1][0],
                        *((gate.read_end,) if gate else ()),
                    ),
                )
            )  # fmt: skip
            if gate:
                gate.use()
        finally:
            file.close()
            cgroup.close()
            for fd in write_ends:
                os.close(fd)
        return Run(agent_id, run, pipes[0][0], pipes[1][0])

    def start(
        self, spec: ExecSpec, agent_id: int = AGENT, run: int | None = None
    ) -> tuple[Run, int]:
        """Order a birth and wait until the program runs; return its pid too."""
        ordered = self.spawn(spec, agent_id, run)
        spawned = self.take(Kind.SPAWNED, agent_id, ordered.run)
        assert spawned.result == 0
        execed = self.take(Kind.EXECED, agent_id, ordered.run)
        assert (execed.stage, execed.result) == (0, 0)
        return ordered, spawned.pid

    def end(self, run: Run) -> KeeperMessage:
        """Wait for the run's exit."""
        return self.take(Kind.EXITED, run.agent_id, run.run)

    def acknowledge(self, run: Run) -> None:
        """Let the keeper forget the run's exit."""
        self.channel.send(KeeperMessage(Kind.ACK, agent_id=run.agent_id, run=run.run))

    def send_raw(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send bytes as one packet, whatever they are."""
        with socket.socket(fileno=os.dup(self.channel.fileno())) as raw:
            socket.send_fds(raw, [data], list(fds))

    def sync(self) -> None:
        """Return when the keeper has done all that was ordered before: it greets anew."""
        self.channel.send(KeeperMessage(Kind.HELLO))
        self.take(Kind.HELLO)
        self.children = list(self._greeting())

    def close(self) -> None:
        """Die, as the keeper sees it."""
        self.channel.close()
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._fds.clear()


class Rig:
    """A keeper, its socket and its agents' cgroups."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        within: tuple[str, ...] = (),
        command: tuple[str, ...] | None = None,
    ) -> None:
        """Start it with more arguments, by a command that executes it, or by quite another."""
        self.folder = folder
        self.socket = folder / "keeper.sock"
        name = f"asm-test-{os.getpid()}-{folder.name}"
        self.top = Cgroup.make(find_cgroup2_root() / name)
        self.agents = Cgroup.make(self.top.path / "agents")
        self._asmds: list[Asmd] = []
        self.runs = itertools.count(1)
        self.log = folder / "keeper.log"
        usual = (str(KEEPER), "--listen", str(self.socket), "--exec", str(EXEC))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command or (*within, *usual, *arguments),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(self.is_listening, "the keeper listens")

    def is_listening(self) -> bool:
        """Whether the keeper's socket is there, bound and listening."""
        assert self.process.poll() is None, self.log.read_text()
        unix = Path("/proc/net/unix").read_text()
        return any(line.endswith(f" {self.socket}") and " 00010000 " in line
                   for line in unix.splitlines())  # fmt: skip

    @property
    def pid(self) -> int:
        """The keeper's pid."""
        return self.process.pid

    def capabilities(self) -> int:
        """Return what the keeper itself may do; inside a container that is not all."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("CapEff:")[2].split()[0], 16)

    def connect(self) -> Asmd:
        """Connect as asmd and be greeted."""
        asmd = Asmd(self)
        self._asmds.append(asmd)
        return asmd

    def cgroup_of(self, agent_id: int) -> Cgroup:
        """Make and open the agent's cgroup."""
        return Cgroup.make(self.agents.path / str(agent_id))

    def children(self) -> list[tuple[int, str]]:
        """Return the keeper's children as (pid, state letter), zombies included."""
        found = []
        for task in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path(f"/proc/{task}/stat").read_text()
                found.append((int(task), stat.rsplit(") ", 1)[1][0]))
        return found

    def descriptors(self) -> int:
        """Return how many descriptors the keeper has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def kill_agents(self) -> None:
        """End every agent's tree."""
        self.agents.kill()
        wait_for(lambda: not self.agents.is_populated(), "no agent lives")

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all and remove all."""
        for asmd in self._asmds:
            asmd.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(TIMEOUT_S)
        self.top.kill()
        wait_for(lambda: not self.top.is_populated(), "nothing lives in the test's cgroup")
        self.top.remove_tree()
        self.agents.close()
        self.top.close()


def record(kind: int = Kind.HELLO, **fields: Any) -> bytes:
    """Return a record's bytes, with a kind that need not exist."""
    whole = bytearray(pack(KeeperMessage(Kind.HELLO, **fields)))
    whole[6:8] = kind.to_bytes(2, "little")
    assert len(whole) == RECORD.size
    return bytes(whole)
