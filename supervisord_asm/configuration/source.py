"""Configuration files on disk: found, judged by their owner, read.

A file that somebody other than root can change is a way to run programs as root, so it is refused;
so is a folder in which somebody else could put another file in its place. The check is made on the
open file, not on its name: nothing can be exchanged in between.
"""

import errno
import os
import stat
from pathlib import Path

from supervisord_asm.configuration.document import NOWHERE, TEXT_MAX_BYTES
from supervisord_asm.configuration.errors import Report

FILES_MAX = 4_096
SUFFIX = ".yaml"


def read_source(path: Path, report: Report, *, require_root_owner: bool) -> bytes | None:
    """Read one file; None when it cannot or must not be read, which is noted."""
    try:
        # O_NONBLOCK: a FIFO in the folder must not hang the daemon.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        report.add(NOWHERE, f"unable to read the file: {error.strerror}", _remedy(error))
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            report.add(NOWHERE, "not a regular file", "remove it from the folder")
            return None
        if require_root_owner and not _only_root_writes(status, report):
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(TEXT_MAX_BYTES + 1)  # one more than is taken: parse_document says so
    except OSError as error:
        report.add(NOWHERE, f"unable to read the file: {error.strerror}", _remedy(error))
        return None
    finally:
        os.close(fd)


def list_sources(folder: Path, report: Report, *, require_root_owner: bool) -> list[Path]:
    """List the *.yaml of a folder, sorted; other files are none of our business."""
    try:
        status = os.stat(folder)
        names = sorted(os.listdir(folder))
    except OSError as error:
        report.add(NOWHERE, f"unable to list: {error.strerror}", _remedy(error))
        return []
    # In a sticky folder (/tmp) others can add files, but each is judged by its own owner.
    sticky = bool(status.st_mode & stat.S_ISVTX)
    if require_root_owner and not sticky and not _only_root_writes(status, report):
        return []
    found: list[Path] = []
    for name in names:
        if name.startswith("."):
            continue  # an editor's or a package manager's leftovers
        if name.endswith(SUFFIX):
            found.append(folder / name)
        elif name.endswith(".yml"):
            report.add(NOWHERE, f'"{name}" is not read', f"rename it to {name[:-4]}{SUFFIX}")
    if len(found) > FILES_MAX:
        report.add(NOWHERE, f"{len(found)} files", f"at most {FILES_MAX}: put agents into lists")
        return []
    return found


def _only_root_writes(status: os.stat_result, report: Report) -> bool:
    if status.st_uid != 0:
        report.add(NOWHERE, f"owned by uid {status.st_uid}", "chown root")
        return False
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        report.add(NOWHERE, f"mode {mode:04o} lets others than root write", "chmod go-w")
        return False
    return True


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "create it, or name another"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "run as root"
    return "mend the path"
