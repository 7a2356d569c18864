"""mount(2) and umount2(2), for the two file systems that we need: bpffs and our FUSE tree.

Through libc, because Python has no binding; both calls are idempotent here.
"""

import ctypes
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

MNT_FORCE = 1  # linux/mount.h: aborts a FUSE connection, so that parked readers return
MNT_DETACH = 2
MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8

_libc = ctypes.CDLL(None, use_errno=True)


class MountError(Exception):
    """Operation, mount point and errno."""

    def __init__(self, operation: str, path: Path, errno_: int) -> None:
        super().__init__(f"unable to {operation} {path}: {os.strerror(errno_)}")
        self.operation = operation
        self.path = path
        self.errno = errno_


def read_mounts(mounts: Path = Path("/proc/self/mounts")) -> Iterator[tuple[Path, str]]:
    """Yield where something is mounted and its type, in the order of mounting."""
    for line in mounts.read_bytes().splitlines():
        fields = line.split(b" ")
        if len(fields) > 2:
            # Space, tab, newline, backslash and # stand as octal there (proc(5)).
            point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields[1])
            yield Path(os.fsdecode(point)), os.fsdecode(fields[2])


def file_system_of(path: Path) -> str | None:
    """Return the type of what is mounted exactly at `path`, the topmost; None when nothing is."""
    found = None
    for point, kind in read_mounts():
        if point == path:
            found = kind
    return found


def mount_bpffs(path: Path = Path("/sys/fs/bpf")) -> None:
    """Mount a BPF file system at `path` unless one is there. Raises MountError."""
    if file_system_of(path) == "bpf":
        return
    result = _libc.mount(b"bpf", os.fsencode(path), b"bpf", MS_NOSUID_NODEV_NOEXEC, b"mode=0700")
    if result:
        raise MountError("mount bpffs at", path, ctypes.get_errno())


def force_unmount(path: Path) -> bool:
    """Abort and detach what is mounted at `path`. False when nothing was. Raises MountError."""
    if _libc.umount2(os.fsencode(path), MNT_FORCE | MNT_DETACH) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOENT):
        return False
    raise MountError("unmount", path, number)


def waits_for_fuse(pid: int) -> bool:
    """Whether a process sleeps in the kernel until a FUSE server answers (proc(5), wchan)."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as wchan:
            name = wchan.read()
    except OSError:
        return False
    return "fuse" in name or name == "request_wait_answer"
