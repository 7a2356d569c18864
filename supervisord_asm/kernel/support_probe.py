"""Asks the running kernel what it can do: live, each feature in its smallest form.

Lists and version numbers are not believed: a kernel may list `bpf` among its LSMs and refuse every
LSM program. Each answer is a Fact with the kernel's own reason; what could not be asked is unknown.
Takes a few milliseconds; run once at start and by `asmctl doctor`. What follows from the facts is
core/support.py's business.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from supervisord_asm._native import lib
from supervisord_asm.core.support import Fact, KernelSupport
from supervisord_asm.kernel.bcc_compiler import probe_bcc, probe_headers
from supervisord_asm.kernel.cgroupfs import (
    Cgroup,
    CgroupError,
    NoCgroup2,
    find_cgroup2_root,
    own_cgroup_path,
)

BTF = Path("/sys/kernel/btf/vmlinux")
BPFFS = Path("/sys/fs/bpf")
BPF_FS_MAGIC = 0xCAFE4A11  # linux/magic.h


def probe_support() -> KernelSupport:
    """Ask everything. Needs root; without it most answers are a truthful no."""
    btf = BTF.exists() and BTF.stat().st_size > 0
    facts = {
        "btf": Fact(btf, "" if btf else f"{BTF} is not there, or empty"),
        "bcc": probe_bcc(),
        "kernel_headers": probe_headers(),
        "tp_btf": _ask(lib.sasm_support_tracing),
        "task_storage": _ask(lambda: lib.sasm_support_map(lib.SASM_SUPPORT_TASK_STORAGE)),
        "cgrp_storage": _ask(lambda: lib.sasm_support_map(lib.SASM_SUPPORT_CGRP_STORAGE)),
        "ringbuf": _ask(lambda: lib.sasm_support_map(lib.SASM_SUPPORT_RINGBUF)),
        "lsm_bpf": _ask(lib.sasm_support_lsm),
        "bpffs": _probe_bpffs(),
        "psi": _probe_psi(),
        "task_io": _probe_task_io(),
        "pidfd_info_exit": _ask(lib.sasm_support_pidfd_exit),
        "seccomp_notify": _ask(lib.sasm_support_seccomp_notify),
        "fuse": _probe_fuse(),
    }
    landlock = lib.sasm_support_landlock()
    path, controllers, knobs = _probe_cgroups()
    return KernelSupport(
        release=os.uname().release,
        cgroup2_path=path,
        controllers=controllers,
        landlock_abi=landlock if landlock > 0 else None,
        **facts,
        **knobs,
    )


def _ask(question: Callable[[], int]) -> Fact:
    """Return what a native probe answered: 0 is yes, an errno the reason for a no."""
    answer = question()
    if answer == -errno.ENOMEM:
        return Fact(None, os.strerror(-answer))
    return Fact(answer >= 0, os.strerror(-answer) if answer < 0 else "")


def _probe_bpffs() -> Fact:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "bpf":
            return Fact(True, fields[1])
    return Fact(False, f"no bpf file system is mounted; mount -t bpf bpf {BPFFS}")


def _probe_psi() -> Fact:
    try:
        # Reading it, since with psi=0 on the command line the file is there and refuses.
        return Fact("some" in Path("/proc/pressure/cpu").read_text())
    except OSError as error:
        return Fact(False, f"/proc/pressure/cpu: {os.strerror(error.errno or errno.EIO)}")


def _probe_task_io() -> Fact:
    if Path("/proc/self/io").exists():
        return Fact(True)
    return Fact(False, "the kernel has no task I/O accounting (CONFIG_TASK_IO_ACCOUNTING)")


def _probe_fuse() -> Fact:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Fact(False, f"/dev/fuse: {os.strerror(error.errno or errno.EIO)}")
    return Fact(True)


def _probe_cgroups() -> tuple[str | None, frozenset[str], dict[str, Fact]]:
    """Return the mount point, its controllers, and what can be done to a cgroup below it."""
    try:
        root = Cgroup(find_cgroup2_root())
    except (NoCgroup2, CgroupError) as error:
        missing = Fact(False, str(error))
        return None, frozenset(), {"cgroup_kill": missing, "cgroup_freeze": missing}
    with contextlib.closing(root):
        path, controllers = str(root.path), root.controllers()
        below = _any_cgroup_below(root)
    if below is None:
        unknown = Fact(None, "there is no cgroup to look at yet")
        return path, controllers, {"cgroup_kill": unknown, "cgroup_freeze": unknown}
    with contextlib.closing(below):
        kill = _ask(lambda: lib.sasm_support_cgroup_kill(below.fd))
        freeze = _ask(lambda: lib.sasm_support_cgroup_freeze(below.fd))
    return path, controllers, {"cgroup_kill": kill, "cgroup_freeze": freeze}


def _any_cgroup_below(root: Cgroup) -> Cgroup | None:
    """Open our own cgroup, or any other but the root, in which neither can be done."""
    paths = [*root.children()]
    with contextlib.suppress(NoCgroup2):
        paths.insert(0, own_cgroup_path(root.path))
    for path in paths:
        with contextlib.suppress(CgroupError):  # gone meanwhile: the next one does as well
            if path != root.path:
                return Cgroup(path)
    return None
