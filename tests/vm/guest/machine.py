"""What tests/vm promises about its machine; the guest's suites begin with it.

Not named test_…, so that nobody collects it on a machine that is no guest.
"""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def test_it_runs_the_kernel_that_was_asked_for_under_systemd() -> None:
    assert os.uname().release.startswith(os.environ["ASM_TEST_VM"] + ".")
    assert Path("/proc/1/comm").read_text() == "systemd\n"


def test_cgroup2_is_alone_and_all_controllers_are_on_at_its_root() -> None:
    kinds = {line.split()[2] for line in Path("/proc/self/mounts").read_text().splitlines()}
    assert "cgroup" not in kinds
    turned_on = set(Path("/sys/fs/cgroup/cgroup.subtree_control").read_text().split())
    assert turned_on >= {"cpu", "cpuset", "io", "memory", "pids"}
