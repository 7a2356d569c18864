"""The facts about the kernel that everything else builds on (CONTRACT, "Platform").

Each is tried, not read off a version or a configuration. They hold on every supported kernel, so
that none of them is ever skipped: where one fails, nothing after it is worth reading.
"""

import ctypes
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.programs import build
from tests.kernel_minimum import MINIMUM, kernel_version

C = Path(__file__).parent / "c"
LIBC = ctypes.CDLL(None, use_errno=True)

# Far above what any of this takes under emulation; only a hang gets there.
PATIENCE_S = 20

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
FUSE_INIT = 26
MNT_DETACH = 2
BTF_MAGIC = 0xEB9F


def cgroup2_root() -> Path:
    """Return where cgroup2 is mounted, alone (unified) or beside version 1 (hybrid)."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("cgroup2 is not mounted")


def wait_for_line(path: Path, line: str) -> None:
    """Wait until a cgroup's events file has the line; it wakes pollers when it changes."""
    poll = select.poll()
    deadline_s = time.monotonic() + PATIENCE_S
    with path.open() as file:
        poll.register(file, select.POLLPRI)
        while line not in file.read().splitlines():
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{path} has no line {line!r} after {PATIENCE_S} s"
            poll.poll(left_s * 1000)
            file.seek(0)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """Make an empty cgroup, and remove it with all that is still in it."""
    path = cgroup2_root() / f"asm-test-{os.getpid()}"
    path.mkdir()
    yield path
    (path / "cgroup.kill").write_text("1")
    wait_for_line(path / "cgroup.events", "populated 0")
    path.rmdir()


def test_the_kernel_is_at_least_the_documented_minimum() -> None:
    assert kernel_version(os.uname().release) >= MINIMUM
    assert os.uname().machine == "x86_64"


def test_cgroup2_offers_every_controller_that_version_1_has_not_taken(cgroup: Path) -> None:
    free = set()
    for line in Path("/proc/cgroups").read_text().splitlines()[1:]:
        name, hierarchy, _, enabled = line.split()
        if hierarchy == "0" and enabled == "1":
            free.add({"blkio": "io"}.get(name, name))
    # These have no files of their own in version 2: they are BPF, signals and perf there.
    free -= {"devices", "freezer", "perf_event", "net_cls", "net_prio", "cpuacct", "debug"}
    offered = set((cgroup2_root() / "cgroup.controllers").read_text().split())
    assert free <= offered


def test_every_cgroup_has_the_files_of_the_fallback_tier(cgroup: Path) -> None:
    names = {path.name for path in cgroup.iterdir()}
    assert names >= {"cgroup.kill", "cgroup.freeze", "cgroup.events", "cgroup.procs", "cpu.stat"}
    fields = {line.split()[0] for line in (cgroup / "cpu.stat").read_text().splitlines()}
    assert fields >= {"usage_usec", "user_usec", "system_usec"}


def test_clone3_starts_a_child_inside_the_cgroup_and_its_pidfd_tells_its_end(cgroup: Path) -> None:
    command = [build("clone_into_cgroup", C / "clone_into_cgroup.c"), cgroup]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == f"0::/{cgroup.name}\n"
        (cgroup / "cgroup.kill").write_text("1")
        assert program.stdout.read() == f"ended code=1 status={int(signal.SIGKILL)}\n"
        assert program.wait(PATIENCE_S) == 0


def test_cgroup_kill_reaches_a_grandchild_in_a_session_of_its_own(cgroup: Path) -> None:
    script = f"echo $$ >{cgroup}/cgroup.procs; setsid sleep 1000 & echo started; exec sleep 1000"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "started\n"
        assert len((cgroup / "cgroup.procs").read_text().split()) == 2
        (cgroup / "cgroup.kill").write_text("1")
        wait_for_line(cgroup / "cgroup.events", "populated 0")
        assert shell.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_frozen_cgroup_says_so_and_thaws(cgroup: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        (cgroup / "cgroup.procs").write_text(str(sleeper.pid))
        (cgroup / "cgroup.freeze").write_text("1")
        wait_for_line(cgroup / "cgroup.events", "frozen 1")
        (cgroup / "cgroup.freeze").write_text("0")
        wait_for_line(cgroup / "cgroup.events", "frozen 0")
        sleeper.kill()


def test_a_pidfd_polls_reaps_and_signals_only_its_process() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        pidfd = os.pidfd_open(sleeper.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            assert poll.poll(0) == []
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            assert poll.poll(PATIENCE_S * 1000) == [(pidfd, select.POLLIN)]
            seen = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
            assert seen is not None
            assert (seen.si_code, seen.si_status) == (os.CLD_KILLED, signal.SIGTERM)
            sleeper.wait()
            with pytest.raises(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        finally:
            os.close(pidfd)


def test_a_seccomp_listener_answers_a_call_that_the_kernel_has_not() -> None:
    program = build("syscall_door", C / "syscall_door.c")
    done = subprocess.run(
        [program], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("21\n", "", 0)


def test_fuse_mounts_and_speaks_version_7(tmp_path: Path) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        place = os.fsencode(tmp_path)
        assert LIBC.mount(b"asm-test", place, b"fuse", 0, options) == 0, os.strerror(
            ctypes.get_errno()
        )
        try:
            request = os.read(device, 65536)
        finally:
            LIBC.umount2(place, MNT_DETACH)
    finally:
        os.close(device)
    # struct fuse_in_header is 40 bytes; its second field is the operation.
    operation, major, minor = struct.unpack_from("<4xI32xII", request)
    assert (operation, major) == (FUSE_INIT, 7)
    assert minor >= 36, "6.1 speaks 7.37"


def test_the_kernel_describes_its_types() -> None:
    with open("/sys/kernel/btf/vmlinux", "rb") as btf:
        (magic,) = struct.unpack("<H", btf.read(2))
    assert magic == BTF_MAGIC


def test_landlock_is_on_and_can_restrict_renames() -> None:
    abi = LIBC.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    assert abi >= 2, os.strerror(ctypes.get_errno())


def test_a_bpf_file_system_can_be_mounted(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path)
    assert LIBC.mount(b"asm-test", place, b"bpf", 0, None) == 0, os.strerror(ctypes.get_errno())
    assert LIBC.umount2(place, 0) == 0
