"""A running asm-procfs with a real mount, and a peer that plays the daemon.

The program is the package's own, which is the sanitized one in the sanitized package;
ASM_PROCFS_BINARY names any other. Everything lies below
/tmp/asm-test-PID…, which strangers may enter; whatever a test does, nothing stays mounted.
"""

import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import supervisord_asm
from supervisord_asm.kernel import procfs_channel as frames

PACKAGE = Path(supervisord_asm.__file__).parent
BINARY = Path(os.environ.get("ASM_PROCFS_BINARY", PACKAGE / "libexec" / "asm-procfs"))
IS_SANITIZED = b"__asan_init" in BINARY.read_bytes()

# In real life the program serves as a user without power. The leak check at the end of a sanitized
# process needs to trace itself, which Linux refuses after a change of uid.
SERVER_USER = "no-such-user" if IS_SANITIZED else "65534"

# A reader hangs in the kernel when the server does. Then the server is killed, which wakes it.
HANG_S = float(os.environ.get("ASM_PROCFS_HANG_S", "90"))


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
    """Poll every 2 ms until it holds; fail with `what` after the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


class Peer:
    """The daemon's end of one connection."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30.0)
        self.socket.connect(str(path))

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def text(self, name: str, body: str) -> None:
        self.send(frames.encode_put_text(name, body))

    def events(self, *lines: str) -> None:
        self.send(*(frames.encode_event(line) for line in lines))

    def was_closed(self, timeout_s: float = 5.0) -> bool:
        """Whether the server hangs up within the time."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        if not poller.poll(timeout_s * 1000):
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


class Server:
    """One asm-procfs on a folder of its own."""

    def __init__(self, folder: Path, *options: str, user: str = SERVER_USER) -> None:
        self.mount = folder / "mount"
        self.listen = folder / "procfs.sock"
        self.errors = folder / "stderr"
        self.log: int | None = None  # in the place of that file
        self.options = ["--user", user, *options]
        # Leaks of this program count, even where those of the interpreter are not looked for.
        self.environment = {"ASAN_OPTIONS": "detect_leaks=1"} if IS_SANITIZED else {}
        self.wrapper: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.predecessors: list[subprocess.Popen[bytes]] = []
        self.watchdog: threading.Timer | None = None

    def start(self) -> None:
        """Start, and return when it listens."""
        self.listen.unlink(missing_ok=True)
        if self.process is not None:
            self.predecessors.append(self.process)
        command = [str(BINARY), "--mount", str(self.mount), "--listen", str(self.listen)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*self.wrapper, *command, *self.options],
                stderr=errors if self.log is None else self.log,
                env={**os.environ, **self.environment},
            )
        self.watchdog = threading.Timer(HANG_S, self.process.kill)
        self.watchdog.daemon = True
        self.watchdog.start()
        wait_until(lambda: self.listen.exists() or self.has_ended(), "asm-procfs listens", 10.0)
        assert not self.has_ended(), self.errors.read_text()
        # The socket is made as root; the answer to a first request comes from the final user.
        assert (self.mount / "events").exists()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 10.0) -> int:
        """Return the exit status."""
        assert self.process is not None
        assert self.watchdog is not None
        status = self.process.wait(timeout_s)
        self.watchdog.cancel()
        return status

    def stop(self) -> None:
        """SIGTERM: it must unmount and exit 0, and have had nothing to say about memory."""
        self.send_signal(signal.SIGTERM)
        assert self.wait() == 0, self.errors.read_text()
        assert not self.is_mounted()
        assert "ERROR: " not in self.errors.read_text(), self.errors.read_text()
        assert "runtime error" not in self.errors.read_text(), self.errors.read_text()

    def is_mounted(self) -> bool:
        return f" {self.mount} " in Path("/proc/self/mounts").read_text()

    def connect(self) -> Peer:
        return Peer(self.listen)

    def read(self, name: str = "status") -> str:
        return (self.mount / name).read_text()

    def wait_for(self, name: str, text: str) -> None:
        """Wait until the file shows this text somewhere."""
        path = self.mount / name
        wait_until(lambda: path.exists() and text in path.read_text(), f"{text!r} in {name}")

    def wait_gone(self, name: str) -> None:
        """Wait until a name of an agent is gone."""
        wait_until(lambda: not os.path.lexists(self.mount / name), f"{name} gone")


@contextmanager
def served(*options: str, user: str = SERVER_USER) -> Iterator[Server]:
    """Start a server; stop it (if the test has not) and take everything away."""
    folder = Path(tempfile.mkdtemp(prefix=f"asm-test-{os.getpid()}-procfs-"))
    folder.chmod(0o755)
    server = Server(folder, *options, user=user)
    try:
        server.start()
        yield server
        if not server.has_ended():
            server.stop()
    finally:
        if not server.has_ended():
            server.send_signal(signal.SIGKILL)
            server.wait()
        for process in server.predecessors:
            process.kill()
            process.wait()
        while server.is_mounted():
            subprocess.run(["umount", "-l", str(server.mount)], check=True)
        for path in (server.listen, server.errors):
            path.unlink(missing_ok=True)
        if server.mount.exists():
            server.mount.rmdir()
        folder.rmdir()


@contextmanager
def cgroup(name: str) -> Iterator[Path]:
    """Make a cgroup2 folder of this test run; kill what is in it and remove it afterwards."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    root = Path(next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2"))
    folder = root / f"asm-test-{os.getpid()}-procfs" / name
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        (folder / "cgroup.kill").write_text("1")
        wait_until(
            lambda: "populated 0" in (folder / "cgroup.events").read_text(), "an empty cgroup"
        )
        while folder != root:
            folder.rmdir()
            folder = folder.parent
            if any(path.is_dir() for path in folder.iterdir()):
                break


def cgroup_path(folder: Path) -> str:
    """Return the path as /proc/PID/cgroup prints it."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    root = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
    return "/" + str(folder.relative_to(root))
