"""cgroup v2 directories, the real ones, in a cgroup of the test's own."""

import errno
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.cgroupfs import (
    Cgroup,
    CgroupError,
    NoCgroup2,
    find_cgroup2_root,
    own_cgroup_path,
)
from tests.kernel.keeper_rig import wait_for


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    made = Cgroup.make(find_cgroup2_root() / f"asm-test-{os.getpid()}-cgroupfs")
    yield made
    made.kill()
    wait_for(lambda: not made.is_populated(), "the test's cgroup is empty")
    made.remove_tree()
    made.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process
        process.kill()


# -- Finding.


def test_the_mount_is_found_among_others(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n"
        "cgroup2 /a\\040b/\\134\\303\\251 cgroup2 rw 0 0\n"
        "cgroup2 /second cgroup2 rw 0 0\n"
    )
    assert find_cgroup2_root(mounts) == Path("/a b/\\é")


def test_no_mount_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("tmpfs / tmpfs rw 0 0\n\n")
    with pytest.raises(NoCgroup2, match="mount -t cgroup2"):
        find_cgroup2_root(tmp_path / "mounts")


def test_a_process_is_found_where_it_was_moved(
    cgroup: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    cgroup.move_here(sleeper.pid)
    assert own_cgroup_path(find_cgroup2_root(), str(sleeper.pid)) == cgroup.path
    assert own_cgroup_path(find_cgroup2_root()) != cgroup.path


# -- One cgroup.


def test_making_one_that_exists_opens_it(cgroup: Cgroup) -> None:
    again = Cgroup.make(cgroup.path)
    assert again.id == cgroup.id == cgroup.path.stat().st_ino
    again.close()


def test_opening_and_making_fail_with_operation_path_and_errno(cgroup: Cgroup) -> None:
    missing = cgroup.path / "missing"
    with pytest.raises(CgroupError, match=f"unable to open {missing}: No such file") as raised:
        Cgroup(missing)
    assert (raised.value.operation, raised.value.path) == ("open", missing)
    assert raised.value.errno == errno.ENOENT
    with pytest.raises(CgroupError, match="unable to make"):
        Cgroup.make(missing / "below")


def test_a_knob_that_is_not_there_reads_as_none_and_is_not_written(cgroup: Cgroup) -> None:
    assert cgroup.read("cgroup.nothing") is None
    with pytest.raises(CgroupError) as raised:
        cgroup.write("cgroup.nothing", "1")
    # kernfs says EPERM for what would have to be created.
    assert raised.value.errno in (errno.ENOENT, errno.EPERM, errno.EACCES)


def test_a_value_that_the_kernel_refuses_is_an_error_with_the_value(cgroup: Cgroup) -> None:
    with pytest.raises(CgroupError, match=r"write 'nonsense' to cgroup\.freeze") as raised:
        cgroup.write("cgroup.freeze", "nonsense")
    assert raised.value.errno == errno.EINVAL


def test_a_knob_is_read_whole_however_long(cgroup: Cgroup) -> None:
    assert cgroup.read("cgroup.events") == "populated 0\nfrozen 0\n"
    stat = cgroup.read("cpu.stat")
    assert stat is not None
    assert stat.startswith("usage_usec ")


def test_processes_are_seen_counted_and_killed(
    cgroup: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    assert not cgroup.is_populated()
    below = Cgroup.make(cgroup.path / "below")
    below.move_here(sleeper.pid)
    assert below.processes() == [sleeper.pid]
    assert cgroup.processes() == []
    assert cgroup.is_populated()  # and what is below counts
    cgroup.kill()
    assert sleeper.wait(5) == -9
    wait_for(lambda: not cgroup.is_populated(), "it is empty")
    below.close()


def test_the_end_of_the_last_process_is_an_event(
    cgroup: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    cgroup.move_here(sleeper.pid)
    events = cgroup.open_events()
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    os.pread(events, 100, 0)
    assert poll.poll(0) == []
    sleeper.kill()
    sleeper.wait()
    assert poll.poll(5000)
    assert b"populated 0" in os.pread(events, 100, 0)
    os.close(events)


def test_a_cgroup_that_was_removed_is_empty_and_its_name_may_be_used_again(cgroup: Cgroup) -> None:
    first = Cgroup.make(cgroup.path / "again")
    first.remove_tree()
    assert not first.is_populated()
    second = Cgroup.make(cgroup.path / "again")
    assert second.id != first.id
    with pytest.raises(CgroupError) as raised:
        first.kill()  # never the new one under the old name
    assert raised.value.errno in (errno.ENODEV, errno.ENOENT, errno.EPERM)
    first.close()
    second.close()


def test_a_tree_is_removed_from_its_leaves(cgroup: Cgroup) -> None:
    top = Cgroup.make(cgroup.path / "top")
    for name in ("a", "b", "a/c", "a/c/d"):
        Cgroup.make(top.path / name).close()
    assert sorted(path.name for path in top.children()) == ["a", "b"]
    top.remove_tree()
    assert not top.path.exists()
    top.remove_tree()  # and once more is no error
    top.close()


def test_a_tree_with_a_process_is_not_removed(
    cgroup: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    below = Cgroup.make(cgroup.path / "below")
    below.move_here(sleeper.pid)
    with pytest.raises(CgroupError, match="unable to remove") as raised:
        cgroup.remove_tree()
    assert raised.value.errno == errno.EBUSY
    below.close()


def test_controllers_are_given_to_the_children_as_far_as_they_can_be(cgroup: Cgroup) -> None:
    given = cgroup.enable_controllers()
    assert given <= cgroup.controllers()
    below = Cgroup.make(cgroup.path / "below")
    assert below.controllers() == given
    below.close()


def test_closing_twice_is_no_error_and_leaves_nothing_open(cgroup: Cgroup) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        other = Cgroup(cgroup.path)
        other.read("cgroup.events")
        list(other.children())
        other.close()
        other.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.timing
def test_looking_for_emptiness_is_cheap(cgroup: Cgroup) -> None:
    started = time.perf_counter()
    for _ in range(1000):
        cgroup.is_populated()
    assert time.perf_counter() - started < 0.5
