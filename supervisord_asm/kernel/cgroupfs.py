"""cgroup v2 directories: the only file of the package that opens cgroupfs paths.

A `Cgroup` keeps its directory open, so that a cgroup made again under the same name is never
mistaken for the old one, and so that native code can be handed the descriptor. Knob names are the
kernel's. A knob that this kernel or this tree has not (no controller) reads as None and is never
guessed.

Sources: Documentation/admin-guide/cgroup-v2.rst (6.12), cgroups(7); the cgroup id is the inode
number of the directory.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from supervisord_asm.kernel.mounts import read_mounts


class CgroupError(Exception):
    """Operation, path and errno of what the kernel refused."""

    def __init__(self, operation: str, path: Path, errno_: int) -> None:
        super().__init__(f"unable to {operation} {path}: {os.strerror(errno_)}")
        self.operation = operation
        self.path = path
        self.errno = errno_


class NoCgroup2(Exception):
    """No cgroup2 file system is mounted; nothing of ours can work without it."""


def find_cgroup2_root(mounts: Path = Path("/proc/self/mounts")) -> Path:
    """Return where cgroup2 is mounted (the first such mount). Raises NoCgroup2."""
    for point, kind in read_mounts(mounts):
        if kind == "cgroup2":
            return point
    raise NoCgroup2("no cgroup2 file system is mounted; mount one: mount -t cgroup2 none DIR")


class Cgroup:
    """One cgroup directory, held open. close() it; removing is a separate act."""

    __slots__ = ("fd", "id", "path")

    def __init__(self, path: Path) -> None:
        """Open an existing cgroup. Raises CgroupError."""
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.id = os.fstat(self.fd).st_ino
        except OSError as error:
            raise self._failure("open", error) from error

    @classmethod
    def make(cls, path: Path) -> "Cgroup":
        """Make the cgroup unless it exists, and open it. Parents must exist. Raises CgroupError."""
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            pass
        except OSError as error:
            raise CgroupError("make", path, error.errno or errno.EIO) from error
        return cls(path)

    def close(self) -> None:
        """Close the directory. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def read(self, knob: str) -> str | None:
        """Return a knob's text; None when this cgroup has no such file. Raises CgroupError."""
        try:
            fd = os.open(knob, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(f"read {knob} of", error) from error
        try:
            parts = []
            while part := os.read(fd, 65536):
                parts.append(part)
            return b"".join(parts).decode()
        except OSError as error:
            raise self._failure(f"read {knob} of", error) from error
        finally:
            os.close(fd)

    def write(self, knob: str, value: str) -> None:
        """Write a knob. Raises CgroupError (ENOENT: no such knob here)."""
        try:
            fd = os.open(knob, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(f"write {value!r} to {knob} of", error) from error

    def is_populated(self) -> bool:
        """Whether a live process is in it or below it. False when it is gone."""
        try:
            # One read: this is on the way of every restart.
            fd = self.open_events()
            try:
                return b"populated 1" in os.read(fd, 4096)
            except OSError as error:
                raise self._failure("read cgroup.events of", error) from error
            finally:
                os.close(fd)
        except CgroupError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return False
            raise

    def open_events(self) -> int:
        """Open cgroup.events for poll (POLLPRI on change). The caller closes it."""
        try:
            return os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            raise self._failure("open cgroup.events of", error) from error

    def kill(self) -> None:
        """SIGKILL everything in it and below, safe against forks and moves (cgroup.kill, 5.14)."""
        self.write("cgroup.kill", "1")

    def processes(self) -> list[int]:
        """Return the pids in it (not below), for showing only: never signal a bare pid."""
        return [int(line) for line in (self.read("cgroup.procs") or "").split()]

    def move_here(self, pid: int) -> None:
        """Move a process of our own programs in (never an agent: agents are born in place)."""
        self.write("cgroup.procs", str(pid))

    def controllers(self) -> frozenset[str]:
        """Return the controllers that this cgroup may use."""
        return frozenset((self.read("cgroup.controllers") or "").split())

    def enable_controllers(self) -> frozenset[str]:
        """Give every available controller to the children. Returns what they got.

        Each is tried by itself: one that is busy or refused must not cost the others.
        """
        for name in sorted(self.controllers()):
            with contextlib.suppress(CgroupError):
                self.write("cgroup.subtree_control", f"+{name}")
        return frozenset((self.read("cgroup.subtree_control") or "").split())

    def children(self) -> Iterator["Path"]:
        """Yield the paths of the cgroups directly below."""
        with os.scandir(self.fd) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in names:
            yield self.path / name

    def remove_tree(self) -> None:
        """Remove it and all below. All must be empty of processes. Raises CgroupError (EBUSY)."""
        for child in list(self.children()):
            try:
                inner = Cgroup(child)
            except CgroupError as error:
                if error.errno == errno.ENOENT:
                    continue  # somebody was quicker, and that is what we want
                raise
            try:
                inner.remove_tree()
            finally:
                inner.close()
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._failure("remove", error) from error

    def _failure(self, operation: str, error: OSError) -> CgroupError:
        return CgroupError(operation, self.path, error.errno or errno.EIO)


def own_cgroup_path(root: Path, pid: str = "self") -> Path:
    """Return the cgroup2 directory that a process is in (the "0::" line of /proc/PID/cgroup)."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return root / line[3:].strip().lstrip("/")
    raise NoCgroup2(f"process {pid} is in no cgroup2 hierarchy")
