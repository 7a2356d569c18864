"""Who is measured beside us: two floors, and those supervisors that this host has.

A contender runs N trivial agents (agent.c) in a folder of its own: `launch` starts it,
`supervisors` names its own processes, `status` is the command that shows all agents. Nothing is
installed here: bench/peers.sh puts runit, s6 and supervisord below build/bench; one that is not
there says so (`missing`) and is left out.
"""

import abc
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.processes import descendants
from bench.slots import BENCH, BUILT, Slots, build

PEERS = BUILT / "peers"
VENV = BUILT / "venv"
STOP_TIMEOUT_S = 20.0


class Contender(abc.ABC):
    """One supervisor with N agents, always restarted."""

    name = "?"
    # Restarts take a second by design: kills are not waited for one by one.
    is_slow = False

    def __init__(self, agent: Path, slots: Slots, count: int) -> None:
        self.agent, self.slots, self.count = agent, slots, count
        self.folder = Path("/var/tmp") / f"asm-bench-{os.getpid()}-{self.name}"
        self.environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.prepare()

    @classmethod
    def missing(cls) -> str | None:
        """Say why this host does not have it; None when it has."""
        return None

    def prepare(self) -> None:  # noqa: B027  # not abstract: the floors read nothing
        """Write what it reads."""

    @abc.abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return its command line."""

    def status(self) -> Sequence[str | Path] | None:
        """Return the command that shows the state of all agents."""
        return None

    def launch(self) -> int:
        """Start it; return the moment before its exec."""
        with (self.folder / "output").open("ab") as output:
            began_ns = time.monotonic_ns()
            self._process = subprocess.Popen(
                [str(word) for word in self.command()], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        return began_ns

    def supervisors(self) -> list[int]:
        """Return the pids of all that it consists of, without the agents."""
        assert self._process is not None
        agents = self.slots.pids()
        return [pid for pid in descendants(self._process.pid) if pid not in agents]

    def stop(self) -> None:
        """End it and its agents: supervisors are frozen first, so that nothing comes back."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            everything = descendants(self._process.pid)
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in everything:
                    _send(pid, number)
        self._process.wait(STOP_TIMEOUT_S)
        for pid in self.slots.pids():
            if _is_agent(pid, self.slots):
                _send(pid, signal.SIGKILL)
        self._process = None

    def remove(self) -> None:
        """Stop, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_agent(pid: int, slots: Slots) -> bool:
    """Whether the pid still is an agent that stamps into these slots."""
    try:
        return str(slots.path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


class Floor(Contender):
    """posix_spawn and pidfd in C (floor.c): the least that supervising can cost."""

    name = "floor, C"

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        return [build("floor"), str(self.count), self.agent, self.slots.path]


class PythonFloor(Contender):
    """The same in Python (floor.py)."""

    name = "floor, Python"

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        floor = BENCH / "floor.py"
        return [sys.executable, "-I", floor, str(self.count), self.agent, self.slots.path]


class _Scanned(Contender):
    """runit and s6: a directory of service directories, each with a `run`."""

    programs: tuple[str, ...] = ()

    @classmethod
    def missing(cls) -> str | None:
        """Say why this host does not have it."""
        for program in cls.programs:
            if not (PEERS / "usr" / "bin" / program).exists():
                return f"{program} is not there (bench/peers.sh fetches it)"
        return None

    def prepare(self) -> None:
        """Write N service directories."""
        libraries = f"{PEERS}/usr/lib/x86_64-linux-gnu:{PEERS}/lib/x86_64-linux-gnu"
        self.environment["PATH"] = f"{PEERS}/usr/bin:{PEERS}/bin:{os.environ['PATH']}"
        self.environment["LD_LIBRARY_PATH"] = libraries
        self.services = [self.folder / "services" / f"agent-{i}" for i in range(self.count)]
        for index, service in enumerate(self.services):
            service.mkdir(parents=True)
            run = service / "run"
            run.write_text(f"#!/bin/sh\nexec {self.agent} {index} {self.slots.path}\n")
            run.chmod(0o755)


class Runit(_Scanned):
    """runsvdir with a runsv for each agent."""

    name = "runit"
    programs = ("runsvdir", "runsv", "sv")

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        return ["runsvdir", self.folder / "services"]

    def status(self) -> Sequence[str | Path] | None:
        """Return the command that shows all."""
        return ["sv", "status", *self.services]


class S6(_Scanned):
    """s6-svscan with an s6-supervise for each agent; it restarts after one second, by design."""

    name = "s6"
    programs = ("s6-svscan", "s6-supervise", "s6-svstat")
    is_slow = True

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        # It looks for its programs in /usr/bin and nowhere else: in a mount namespace of its own
        # they are there.
        script = (
            f"mount -t overlay -o lowerdir={PEERS}/usr/bin:/usr/bin overlay /usr/bin &&"
            f" exec s6-svscan -c 2000 {self.folder}/services"
        )
        return ["unshare", "--mount", "/bin/sh", "-c", script]

    def status(self) -> Sequence[str | Path] | None:
        """Return the command that shows all: s6-svstat takes one at a time."""
        return ["/bin/sh", "-c", f"for s in {self.folder}/services/*; do s6-svstat $s; done"]


class Supervisord(Contender):
    """supervisord, as pip gives it."""

    name = "supervisord"
    is_slow = True

    @classmethod
    def missing(cls) -> str | None:
        """Say why this host does not have it."""
        if (VENV / "bin" / "supervisord").exists():
            return None
        return "supervisord is not there (bench/peers.sh fetches it)"

    def prepare(self) -> None:
        """Write its configuration."""
        self._file = self.folder / "supervisord.conf"
        self._file.write_text(
            f"[supervisord]\nnodaemon=true\nuser=root\nminfds=8192\nlogfile={self.folder}/log\n"
            f"pidfile={self.folder}/pid\nchildlogdir={self.folder}\n"
            f"[unix_http_server]\nfile={self.folder}/socket\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.folder}/socket\n"
            f"[program:agent]\ncommand={self.agent} %(process_num)d {self.slots.path}\n"
            f"numprocs={self.count}\nprocess_name=%(process_num)d\nautorestart=true\n"
        )

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        return [VENV / "bin" / "supervisord", "-c", self._file]

    def status(self) -> Sequence[str | Path] | None:
        """Return the command that shows all."""
        return [VENV / "bin" / "supervisorctl", "-c", self._file, "status"]


class Dinit(Contender):
    """dinit, where apt has it (Debian 13 and later)."""

    name = "dinit"

    @classmethod
    def missing(cls) -> str | None:
        """Say why this host does not have it."""
        return None if shutil.which("dinit") else "dinit is not there (Debian 12 has no package)"

    def prepare(self) -> None:
        """Write N services and one that needs them all."""
        services = self.folder / "services"
        services.mkdir()
        for index in range(self.count):
            (services / f"agent-{index}").write_text(
                f"type = process\ncommand = {self.agent} {index} {self.slots.path}\n"
                "restart = yes\nrestart-limit-count = 0\nrestart-delay = 0\n"
            )
        needs = "\n".join(f"depends-on = agent-{index}" for index in range(self.count))
        (services / "boot").write_text(f"type = internal\n{needs}\n")
        self._socket = self.folder / "socket"

    def command(self) -> Sequence[str | Path]:
        """Return its command line."""
        return ["dinit", "-u", "-p", self._socket, "-d", self.folder / "services"]

    def status(self) -> Sequence[str | Path] | None:
        """Return the command that shows all."""
        return ["dinitctl", "-p", self._socket, "list"]


PEER_KINDS: tuple[type[Contender], ...] = (Runit, S6, Dinit, Supervisord)
KINDS: tuple[type[Contender], ...] = (Floor, PythonFloor, *PEER_KINDS)
