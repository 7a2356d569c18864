"""A whole daemon of a bench's own, beside whatever runs on this host.

Everything of it bears the name asm-test-bench-PID-N: its folder below /var/tmp (a disk, as
/var/lib/asm is: the journal's fsync is part of what is measured), its cgroup, its pins. The daemon
runs with this interpreter; `remove` takes everything away.
"""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.slots import Slots
from supervisord_asm.api.client import Client, ClientError
from supervisord_asm.api.numbers import Control
from supervisord_asm.kernel.cgroupfs import find_cgroup2_root

ROOT = Path(__file__).resolve().parent.parent
LIBEXEC = ROOT / "supervisord_asm" / "libexec"
TIMEOUT_S = 60.0
_numbers = itertools.count(1)


class Ours:
    """One daemon with N trivial agents. `launch` starts the keeper, and so all of it."""

    def __init__(self, agent: Path, slots: Slots, count: int, *, start: str) -> None:
        """`start` is the agents' own: auto or manual."""
        self.name = f"asm-test-bench-{os.getpid()}-{next(_numbers)}"
        self.folder = Path("/var/tmp") / self.name
        self.cgroup = find_cgroup2_root() / self.name
        self.count = count
        self.control_socket = self.folder / "run" / "control.sock"
        self._bpffs = Path("/sys/fs/bpf") / self.name
        self._keeper: subprocess.Popen[bytes] | None = None
        self.names = [f"agent-{index}" for index in range(count)]
        self._write(agent, slots, start)

    def _write(self, agent: Path, slots: Slots, start: str) -> None:
        etc = self.folder / "etc"
        (etc / "agents.d").mkdir(parents=True)
        self.folder.chmod(0o755)
        # A disk that agents of other uids may not read is no place for their program.
        program = shutil.copy(agent, self.folder / "agent")
        paths = {key: str(self.folder / key) for key in ("run", "state", "logs", "fuse")}
        paths |= {"bpffs": str(self._bpffs), "config": str(etc), "cgroup": self.name}
        (etc / "asm.yaml").write_text(json.dumps({"paths": paths, "agents_max": 1024}))
        agents = [
            {
                "name": name,
                "id": 1 + index,
                "command": [str(program), str(index), str(slots.path)],
                "start": start,
                # Kills must be followed by restarts at once, however many come.
                "restart": {"kind": "always", "max": 1_000_000, "stable": "500ms"},
                "scope": str(slots.path),
            }
            for index, name in enumerate(self.names)
        ]
        (etc / "agents.d" / "agents.yaml").write_text(json.dumps(agents))

    def launch(self) -> int:
        """Start the keeper; return the moment before its exec."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("JOURNAL_STREAM", None)
        asmd = self.folder / "asmd"
        asmd.write_text(f'#!/bin/sh\nexec {sys.executable} -m supervisord_asm.daemon "$@"\n')
        asmd.chmod(0o755)
        command = [
            LIBEXEC / "asm-enter", "--cgroup", self.name,
            LIBEXEC / "asm-keeper", "--exec", LIBEXEC / "asm-exec",
            "--listen", self.folder / "run" / "keeper.sock",
            "--asmd", asmd, "--config", self.folder / "etc" / "asm.yaml",
        ]  # fmt: skip
        (self.folder / "run").mkdir(exist_ok=True)
        with (self.folder / "keeper.log").open("ab") as log:
            began_ns = time.monotonic_ns()
            self._keeper = subprocess.Popen(
                command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        return began_ns

    def wait_ready(self) -> None:
        """Wait until asmd answers. Raises TimeoutError."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                self.control(Control.STATUS)
                return
            except ClientError as error:
                if time.monotonic() > deadline:
                    log = (self.folder / "keeper.log").read_text()
                    raise TimeoutError(f"asmd does not answer: {error}\n{log}") from error
                time.sleep(0.01)

    def control(self, verb: Control, **request: Any) -> dict[str, Any]:
        """Make one control call on a connection of its own."""
        with Client(str(self.control_socket), TIMEOUT_S) as client:
            return client.control(verb, **request)

    def order_start(self, names: list[str] | None) -> int:
        """Order a start of these agents, or of all; return the moment before the order."""
        with Client(str(self.control_socket), TIMEOUT_S) as client:
            client.control(Control.STATUS)
            began_ns = time.monotonic_ns()
            if names is None:
                client.control(Control.START, all=True)
            else:
                client.control(Control.START, agents=names)
        return began_ns

    def stop_agents(self) -> None:
        """Stop every agent and wait until all are at rest."""
        self.control(Control.STOP, all=True, wait=True)

    def pids(self) -> dict[str, int]:
        """Return the pids of our three programs by name."""
        found = {}
        for program in ("keeper", "asmd", "procfs"):
            with contextlib.suppress(OSError, IndexError):
                text = (self.cgroup / "system" / program / "cgroup.procs").read_text()
                # asm-procfs has an unmounter as a child; the server is the first.
                found[program] = min(map(int, text.split()))
        return found

    def remove(self) -> None:
        """End and remove everything, in whatever state it is."""
        if self.cgroup.exists():
            with contextlib.suppress(OSError):
                (self.cgroup / "cgroup.kill").write_text("1")
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait(TIMEOUT_S)
        self._unmount()
        deadline = time.monotonic() + TIMEOUT_S
        while self.cgroup.exists() and time.monotonic() < deadline:
            folders = sorted(self.cgroup.glob("**/"), key=lambda path: -len(path.parts))
            with contextlib.suppress(OSError):
                for folder in folders:
                    folder.rmdir()
            time.sleep(0.01)
        for pin in self._bpffs.glob("*"):
            pin.unlink()
        with contextlib.suppress(FileNotFoundError):
            self._bpffs.rmdir()
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unmount(self) -> None:
        if str(self.folder / "fuse") in Path("/proc/self/mounts").read_text():
            command = ["umount", "-f", "-l", self.folder / "fuse"]
            subprocess.run(command, check=False, timeout=TIMEOUT_S)
