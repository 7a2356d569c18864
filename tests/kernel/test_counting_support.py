"""The live probes: what they say is what then happens, and they leave nothing."""

import os
from collections.abc import Iterator

import pytest

from supervisord_asm.core.support import Backend, decide_plan
from supervisord_asm.kernel.cgroupfs import Cgroup, find_cgroup2_root
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.support_probe import probe_support
from tests.kernel.counting_rig import SLOTS_MAX, make_rig
from tests.kernel_minimum import require_kernel


@pytest.fixture
def any_cgroup() -> Iterator[None]:
    """Have one: what can be done to cgroups is asked of one, and a host may have only the root."""
    made = Cgroup.make(find_cgroup2_root() / f"asm-test-{os.getpid()}-support")
    yield
    made.remove_tree()
    made.close()


@pytest.mark.usefixtures("any_cgroup")
def test_a_supported_kernel_can_do_what_counting_needs() -> None:
    require_kernel((6, 1), "the documented minimum")
    support = probe_support()
    assert support.release == os.uname().release
    for fact in (support.btf, support.tp_btf, support.task_storage, support.ringbuf,
                 support.cgroup_kill, support.cgroup_freeze, support.seccomp_notify,
                 support.fuse):  # fmt: skip
        assert fact.value is True, fact
    assert support.landlock_abi is not None
    assert support.cgroup2_path is not None


def test_a_no_has_a_reason() -> None:
    support = probe_support()
    for fact in (support.lsm_bpf, support.cgrp_storage, support.psi, support.pidfd_info_exit,
                 support.controller("memory")):  # fmt: skip
        assert fact.value is not None
        assert fact.value or fact.why


def test_cgroup_storage_is_there_from_6_2() -> None:
    """A fact whose answer is known for every kernel: the probes can say both yes and no."""
    major, minor = os.uname().release.split(".")[:2]
    assert bool(probe_support().cgrp_storage) == ((int(major), int(minor)) >= (6, 2))


def test_the_plan_can_be_carried_out() -> None:
    plan = decide_plan(probe_support(), "auto")
    assert plan.backend is Backend.CORE
    with make_rig() as rig, Probes.open(None, rig.root.fd, SLOTS_MAX, plan) as probes:
        assert probes.bound() == {}


def test_asking_leaves_no_descriptor() -> None:
    probe_support()
    before = os.listdir("/proc/self/fd")
    probe_support()
    assert os.listdir("/proc/self/fd") == before
