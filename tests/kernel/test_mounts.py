"""Mounting and unmounting in a folder of the test's own."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.mounts import (
    MountError,
    file_system_of,
    force_unmount,
    mount_bpffs,
    read_mounts,
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A mount point whose name has what /proc/self/mounts must escape."""
    made = tmp_path / f"asm-test-{os.getpid()} bpf\\fs"
    made.mkdir()
    yield made
    while force_unmount(made):
        pass


def test_what_is_mounted_is_told_by_place_and_type() -> None:
    assert file_system_of(Path("/proc")) == "proc"
    assert file_system_of(Path("/proc/self")) is None
    assert (Path("/proc"), "proc") in list(read_mounts())


def test_bpffs_is_mounted_once_for_root_alone_and_unmounted(place: Path) -> None:
    assert file_system_of(place) is None
    mount_bpffs(place)
    mount_bpffs(place)
    assert file_system_of(place) == "bpf"
    assert place.stat().st_mode & 0o777 == 0o700
    assert force_unmount(place)
    assert file_system_of(place) is None
    assert not force_unmount(place)


def test_what_cannot_be_mounted_or_unmounted_is_an_error_with_its_place(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(MountError, match=f"unable to mount bpffs at {missing}") as raised:
        mount_bpffs(missing)
    assert raised.value.errno == errno.ENOENT
    assert not force_unmount(missing)
    with pytest.raises(MountError, match="unable to unmount"):
        force_unmount(tmp_path / ("x" * 300))
