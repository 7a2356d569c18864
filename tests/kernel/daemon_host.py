"""A whole daemon of a test's own: keeper, asmd and asm-procfs beside whatever runs on this host.

Everything of it bears the name asm-test-PID-dN: its folder below /tmp, its cgroup, its pins. Parts
are ended through pidfds of processes found in its own cgroups, never by a bare number or a name.
`hosted` takes everything away again whatever the test did: it cuts the mount, empties the cgroup by
cgroup.kill, and removes cgroups, pins and files.

Tests wait for conditions (`eventually`), never for time to pass; the deadline is far beyond what a
slow virtual machine needs and is met only by a failure.
"""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import supervisord_asm
from supervisord_asm.api.client import Client, ClientError
from supervisord_asm.api.numbers import Control
from supervisord_asm.kernel.cgroupfs import find_cgroup2_root
from supervisord_asm.paths import Paths

PACKAGE = Path(supervisord_asm.__file__).parent
LIBEXEC = PACKAGE / "libexec"
DEADLINE_S = 120.0 if "ASM_TEST_VM" in os.environ else 30.0
POLL_S = 0.005
LOG_TAIL_LINES = 60
_numbers = itertools.count(1)
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, timeout_s: float = DEADLINE_S) -> Found:
    """Look until it gives something true, and return that; fail with `what` after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)


def sh(script: str) -> list[str]:
    """Return the command of an agent that is a line of shell."""
    return ["/bin/sh", "-c", script]


class Part:
    """A process of the daemon's, held by its pidfd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        signal.pidfd_send_signal(self._fd, number)

    def wait_gone(self) -> None:
        """Wait until it has ended, and let go."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        assert poll.poll(DEADLINE_S * 1000), f"process {self.pid} does not end"
        os.close(self._fd)

    def kill(self) -> None:
        """SIGKILL, and wait for it."""
        self.send(signal.SIGKILL)
        self.wait_gone()


class Host:
    """One daemon. Configure it, start it, ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.paths = Paths(
            run=folder / "run", state=folder / "state", logs=folder / "log", fuse=folder / "tree",
            bpffs=Path("/sys/fs/bpf") / self.name, config=folder / "etc",
            cgroup=PurePosixPath(self.name),
        )  # fmt: skip
        self.cgroup = find_cgroup2_root() / self.name
        self.keeper_log = folder / "keeper.log"
        self.settings: dict[str, Any] = {}
        self.environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        self.environment.pop("JOURNAL_STREAM", None)  # its log is a file here, also under systemd
        self.may_complain = False  # a trace in its log is part of the test
        self._hold = folder / "hold"
        self._wrapper = folder / "asmd"
        self._started: list[subprocess.Popen[bytes]] = []
        self._printed: dict[Path, int] = {}
        self._keeper: subprocess.Popen[bytes] | None = None
        self.paths.run.mkdir()
        self.paths.agents_folder.mkdir(parents=True)
        self.write_settings()

    # -- Configuration.

    def write_settings(self, **settings: Any) -> None:
        """Write asm.yaml (JSON is YAML): our paths, and what is given."""
        self.settings |= settings
        paths = {
            key: str(getattr(self.paths, key))
            for key in ("run", "state", "logs", "fuse", "bpffs", "config", "cgroup")
        }
        self.paths.config_file.write_text(json.dumps({"paths": paths, **self.settings}, indent=1))

    def write_agent(self, name: str, command: Sequence[str], **keys: Any) -> None:
        """Write the agent's file. `agent_id` is `id` there."""
        if "agent_id" in keys:
            keys["id"] = keys.pop("agent_id")
        record = {"name": name, "command": list(command), **keys}
        path = self.paths.agents_folder / f"{name}.yaml"
        path.write_text(json.dumps(record, indent=1))

    def remove_agent(self, name: str) -> None:
        """Remove the agent's file."""
        (self.paths.agents_folder / f"{name}.yaml").unlink()

    # -- Starting, and its parts.

    def start(self) -> None:
        """Start the keeper, which starts asmd; return when it answers."""
        self.start_keeper()
        self.wait_ready()

    def start_keeper(self) -> None:
        """Start the keeper as install/service.sh does, and do not wait."""
        self.join_keeper()
        self._wrapper.write_text(
            f"#!/bin/sh\nwhile [ -e {self._hold} ]; do sleep 0.01; done\n"
            f'exec {sys.executable} -m supervisord_asm.daemon "$@"\n'
        )
        self._wrapper.chmod(0o755)
        self._keeper = self._launch(*self._keeper_command())

    def try_second_keeper(self) -> int:
        """Start a second keeper beside the first; return its exit status."""
        return self._launch(*self._keeper_command()).wait(DEADLINE_S)

    def start_asmd(self) -> None:
        """Start an asmd by hand, beside a keeper that has none; return when it answers."""
        self._started.append(self._launch(self._wrapper, "--config", self.paths.config_file))
        self.wait_ready()

    def _keeper_command(self) -> list[Path | str]:
        return [
            LIBEXEC / "asm-enter", "--cgroup", self.name,
            LIBEXEC / "asm-keeper", "--exec", LIBEXEC / "asm-exec",
            "--listen", self.paths.keeper_socket,
            "--asmd", self._wrapper, "--config", self.paths.config_file,
        ]  # fmt: skip

    def _launch(self, *command: Path | str) -> subprocess.Popen[bytes]:
        with self.keeper_log.open("ab") as log:
            return subprocess.Popen(
                command, cwd="/", env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def run_asmd(self) -> subprocess.CompletedProcess[str]:
        """Run asmd in the foreground, for starts that must be refused."""
        return subprocess.run(
            [sys.executable, "-m", "supervisord_asm.daemon", "--config", self.paths.config_file],
            cwd="/", env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=DEADLINE_S,
        )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait until asmd answers; fail at once when nothing runs that could."""

        def look() -> bool:
            has_ended = self._keeper is not None and self._keeper.poll() is not None
            assert not has_ended or self.processes(), self.keeper_log.read_text(errors="replace")
            return self.answers()

        eventually(look, "asmd answers")

    def answers(self) -> bool:
        """Whether asmd answers now."""
        try:
            with self.client() as client:
                client.control(Control.STATUS)
        except ClientError:
            return False
        return True

    def wait_tree(self) -> None:
        """Wait until the FUSE tree shows what this asmd pushes."""
        eventually(self.is_tree_fresh, "a fresh FUSE tree")

    def is_tree_fresh(self) -> bool:
        """Whether the tree is there and not stale."""
        try:
            text = (self.paths.fuse / "status").read_text()
        except OSError:
            return False
        return "Total Spawns" in text and "Stale:" not in text

    def keeper_status(self) -> int:
        """Wait until the keeper that we started has ended; return its exit status."""
        assert self._keeper is not None
        return self._keeper.wait(DEADLINE_S)

    def join_keeper(self) -> None:
        """Reap the keeper that we started, if it has ended."""
        if self._keeper is not None:
            self._keeper.poll()

    def find(self, program: str) -> int | None:
        """Return the pid of "keeper", "asmd" or "procfs" in its own cgroup; None without one."""
        folder = self.cgroup / "system" / program
        sign = b"supervisord_asm.daemon" if program == "asmd" else f"asm-{program}\0".encode()
        self.join_keeper()
        with contextlib.suppress(OSError):
            for pid in map(int, (folder / "cgroup.procs").read_text().split()):
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    # asm-procfs's unmounter is a child of the same name; the server is its parent.
                    if sign in command and not (program == "procfs" and _is_child(pid, folder)):
                        return pid
        return None

    def part(self, program: str) -> Part:
        """Return the process of "keeper", "asmd" or "procfs", waiting for it."""
        return Part(eventually(lambda: self.find(program), f"a running {program}"))

    @contextlib.contextmanager
    def asmd_kept_away(self) -> Iterator[None]:
        """Kill asmd; the next one comes at the end of the block."""
        self._hold.touch()
        try:
            self.part("asmd").kill()
            yield
        finally:
            self._hold.unlink()
        self.wait_ready()

    def kill_asmd(self) -> None:
        """kill -9, and wait until the keeper's next asmd answers."""
        part = self.part("asmd")
        part.kill()
        eventually(lambda: self.find("asmd") not in (None, part.pid), "the next asmd")
        self.wait_ready()

    # -- Asking.

    def client(self, timeout_s: float = DEADLINE_S) -> Client:
        """Connect to the control socket."""
        return Client(str(self.paths.control_socket), timeout_s)

    def agent_client(self) -> Client:
        """Connect to the agents' socket."""
        return Client(str(self.paths.agent_socket), DEADLINE_S)

    def control(self, verb: Control, **request: Any) -> dict[str, Any]:
        """Make one control call."""
        with self.client() as client:
            return client.control(verb, **request)

    def act(self, verb: Control, *agents: str, wait: bool = True) -> list[dict[str, Any]]:
        """START, STOP, … some agents, or all of them; return the results."""
        answer = self.control(verb, agents=list(agents), all=not agents, wait=wait)
        results: list[dict[str, Any]] = answer["results"]
        return results

    def info(self, agent: str | int) -> dict[str, Any]:
        """Return one agent's view."""
        view: dict[str, Any] = self.control(Control.INFO, agent=str(agent))["agent"]
        return view

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return what the list shows, by name."""
        views = self.control(Control.LIST)["agents"]
        return {view["name"]: {"pid": None, **view} for view in views}  # absent is None there

    def system(self) -> dict[str, Any]:
        """Return the system's totals."""
        totals: dict[str, Any] = self.control(Control.STATUS)["system"]
        return totals

    def events(self, agent: int | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events of an agent or a type, oldest first."""
        found = self.control(Control.EVENTS, since=0, limit=1024)["events"]
        return [
            event
            for event in found
            if (agent is None or event["agent_id"] == agent)
            and (kind is None or event["type"] == kind)
        ]

    def wait_state(self, agent: str | int, *states: str) -> dict[str, Any]:
        """Wait until the agent is in one of the states; return its view."""
        return self.wait_view(agent, lambda view: view["state"] in states, f"{agent} is {states}")

    def wait_view(
        self, agent: str | int, holds: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        """Wait until the agent's view is so; return it."""

        def look() -> dict[str, Any] | None:
            view = self.info(agent)
            return view if holds(view) else None

        return eventually(look, what)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of one of our commands, for this daemon."""
        verb = arguments[:1] if name == "asmctl" else ()
        rest = arguments[len(verb) :]
        module = f"supervisord_asm.cli.{name}"
        socket = ("--socket", str(self.paths.control_socket))
        return [sys.executable, "-m", module, *verb, *socket, *rest]

    def ctl(self, *arguments: str, name: str = "asmctl") -> subprocess.CompletedProcess[str]:
        """Run one of our commands, and return what it said."""
        return subprocess.run(
            self.command(name, *arguments), cwd="/", env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=DEADLINE_S,
        )  # fmt: skip

    def log_text(self, agent: str) -> str:
        """Return an agent's log as it stands in the file."""
        path = self.paths.agent_log(agent)
        return path.read_text(errors="replace") if path.exists() else ""

    def said(self, agent: str) -> list[str]:
        """Return the lines that an agent wrote, both streams, without their headers."""
        return self.ctl("logs", agent).stdout.splitlines()

    def command_lines(self, agent_id: int) -> list[str]:
        """Return what runs in an agent's cgroup."""
        lines = []
        with contextlib.suppress(OSError):
            procs = (self.cgroup / "agents" / str(agent_id) / "cgroup.procs").read_text()
            for pid in procs.split():
                with contextlib.suppress(OSError):
                    lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        return lines

    # -- Disks of its own.

    def mount_tmpfs(self, path: Path, size: str) -> None:
        """Put one of its folders on a small disk, before the start."""
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", self.name, path)

    def resize_tmpfs(self, path: Path, size: str) -> None:
        """Give such a disk another size."""
        self._mount("-o", f"remount,size={size}", path)

    def _mount(self, *arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, timeout=DEADLINE_S)

    # -- The end.

    def leftovers(self) -> list[str]:
        """Name what of the running system is still there; the files on disk are to stay."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found = [line for line in mounts if str(self.paths.fuse) in line]
        found += [str(path) for path in self.paths.run.glob("*.sock")]
        found += [str(path) for path in self.paths.bpffs.glob("*")]
        if self.paths.bpffs.exists():
            found.append(str(self.paths.bpffs))
        found += [str(path) for path in self._cgroups()]
        found += [f"process {pid}" for pid in self.processes()]
        return found

    def processes(self) -> list[int]:
        """Return the pids below its cgroup."""
        pids: list[int] = []
        for path in self._cgroups():
            with contextlib.suppress(OSError):
                pids += map(int, (path / "cgroup.procs").read_text().split())
        return pids

    def _cgroups(self) -> list[Path]:
        """Return its cgroups, parents first; they may vanish while we look."""
        return [Path(path) for path, _, _ in os.walk(self.cgroup)]

    def remove(self) -> None:
        """End and remove everything, in whatever state it is."""
        with contextlib.suppress(OSError):
            (self.cgroup / "cgroup.kill").write_text("1")
        self._unmount()  # a reader that is parked there could not die
        eventually(lambda: not self.processes(), "an empty cgroup")
        self._unmount()
        for process in (*self._started, *filter(None, (self._keeper,))):
            process.kill()
            process.wait(DEADLINE_S)
        eventually(self._remove_cgroups, "cgroups that can be removed")
        for path in self.paths.bpffs.glob("*"):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            self.paths.bpffs.rmdir()
        self._unmount_disks()
        shutil.rmtree(self.folder)

    def _unmount(self) -> None:
        while str(self.paths.fuse) in Path("/proc/self/mounts").read_text():
            subprocess.run(["umount", "-f", "-l", self.paths.fuse], check=False, timeout=DEADLINE_S)

    def _unmount_disks(self) -> None:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            path = line.split()[1]
            if path.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", path], check=False, timeout=DEADLINE_S)

    def _remove_cgroups(self) -> bool:
        try:
            for path in reversed(self._cgroups()):
                path.rmdir()
        except OSError:
            return False
        return True

    def complaints(self) -> list[str]:
        """Return what in the logs means a bug: traces, and what the sanitizers say."""
        signs = ("Traceback", "ERROR: AddressSanitizer", "runtime error:", "never awaited")
        text = self.keeper_log.read_text(errors="replace") if self.keeper_log.exists() else ""
        if self.paths.daemon_log.exists():
            text += self.paths.daemon_log.read_text(errors="replace")
        return [line for line in text.splitlines() if any(sign in line for sign in signs)]

    def print_logs(self) -> None:
        """Print what is new in the logs: pytest shows it beside a failure."""
        for path in (self.keeper_log, self.paths.daemon_log):
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()
                news = lines[self._printed.get(path, 0) :]
                self._printed[path] = len(lines)
                print(f"--- {path}", *news[-LOG_TAIL_LINES:], sep="\n")


def _is_child(pid: int, folder: Path) -> bool:
    """Whether the process's parent lives in the same cgroup."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    parent = next(line.split()[1] for line in status if line.startswith("PPid:"))
    return parent in (folder / "cgroup.procs").read_text().split()


@contextlib.contextmanager
def hosted() -> Iterator[Host]:
    """Make a host; at the end take it away, and complain of traces in its logs."""
    prefix = f"asm-test-{os.getpid()}-d{next(_numbers)}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    host = Host(folder)
    try:
        yield host
    finally:
        try:
            host.print_logs()
            complaints = [] if host.may_complain else host.complaints()
        finally:
            host.remove()
    assert not complaints, complaints
