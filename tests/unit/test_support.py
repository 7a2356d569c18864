"""Facts about a kernel lead to one plan, and to a line with its reason for all that is off."""

from dataclasses import fields, replace
from typing import Any

import pytest

from supervisord_asm.core.doctor import doctor_checks
from supervisord_asm.core.support import (
    UNKNOWN,
    Backend,
    Check,
    Fact,
    KernelSupport,
    ProbePlan,
    decide_plan,
)

YES = Fact(True)
NO = Fact(False, "refused")
FACTS = tuple(item.name for item in fields(KernelSupport) if item.default is UNKNOWN)
ALL_YES: dict[str, Any] = dict.fromkeys(FACTS, YES)
EVERYTHING = KernelSupport(
    release="6.12.9",
    cgroup2_path="/cgroup",
    controllers=frozenset({"cpu", "memory", "pids", "io"}),
    landlock_abi=6,
    **ALL_YES,
)


CORE_NEEDS = ["btf", "tp_btf", "task_storage"]
# Asked for only where BTF is missing.
BCC_NEEDS = ("bcc", "kernel_headers")


def without(name: str, fact: Fact, support: KernelSupport = EVERYTHING) -> KernelSupport:
    """Return EVERYTHING but one fact."""
    changes: dict[str, Any] = {name: fact}
    return replace(support, **changes)


def check(name: str, support: KernelSupport, plan: ProbePlan) -> Check:
    """Return the one check of that name."""
    (found,) = (item for item in doctor_checks(support, plan) if item.name == name)
    return found


def test_only_a_yes_is_a_yes() -> None:
    assert bool(YES)
    assert not NO
    assert not UNKNOWN


@pytest.mark.parametrize("mode", ["auto", "core"])
def test_a_kernel_that_can_do_everything_counts_by_core(mode: str) -> None:
    assert decide_plan(EVERYTHING, mode) == ProbePlan(Backend.CORE)


@pytest.mark.parametrize("missing", CORE_NEEDS)
@pytest.mark.parametrize("fact", [NO, UNKNOWN])
def test_without_what_core_needs_bcc_counts_and_says_why(missing: str, fact: Fact) -> None:
    plan = decide_plan(without(missing, fact), "auto")
    assert plan.backend is Backend.BCC
    assert fact.why in plan.why


@pytest.mark.parametrize("missing", ["bcc", "kernel_headers"])
@pytest.mark.parametrize("fact", [NO, UNKNOWN])
def test_without_either_nothing_is_loaded_and_both_reasons_are_said(
    missing: str, fact: Fact
) -> None:
    plan = decide_plan(without(missing, fact, without("btf", Fact(False, "no types"))), "auto")
    assert plan.backend is Backend.OFF
    assert "no types" in plan.why
    assert fact.why in plan.why


@pytest.mark.parametrize(
    "spare",
    ["bcc", "kernel_headers", "cgrp_storage", "ringbuf", "lsm_bpf", "bpffs", "psi", "fuse"],
)
def test_what_counting_does_not_need_does_not_stop_it(spare: str) -> None:
    assert decide_plan(without(spare, NO), "auto").backend is Backend.CORE


@pytest.mark.parametrize(
    ("mode", "missing"),
    [*(("core", need) for need in CORE_NEEDS), ("bcc", "bcc"), ("bcc", "kernel_headers")],
)
def test_a_configured_backend_is_not_replaced_by_another(mode: str, missing: str) -> None:
    plan = decide_plan(without(missing, NO), mode)
    assert plan.backend is Backend.OFF
    assert f"`probes: {mode}`" in plan.why
    assert NO.why in plan.why


@pytest.mark.parametrize(("mode", "backend"), [("off", Backend.OFF), ("bcc", Backend.BCC)])
def test_a_configured_choice_is_the_reason(mode: str, backend: Backend) -> None:
    plan = decide_plan(EVERYTHING, mode)
    assert plan.backend is backend
    assert f"`probes: {mode}`" in plan.why


@pytest.mark.parametrize(
    ("backend", "state"),
    [(Backend.CORE, "ok"), (Backend.BCC, "fallback"), (Backend.OFF, "off")],
)
def test_doctor_says_what_counts_and_why(backend: Backend, state: str) -> None:
    item = check("counting", EVERYTHING, ProbePlan(backend, "because"))
    assert (item.state, item.why) == (state, "because")


def test_a_refused_load_leaves_a_plan_with_its_reason() -> None:
    assert ProbePlan(Backend.CORE).failed("no memory") == ProbePlan(Backend.OFF, "no memory")


def test_everything_in_order_has_no_reasons() -> None:
    for item in doctor_checks(EVERYTHING, ProbePlan(Backend.CORE)):
        assert (item.state, item.why) == ("ok", ""), item
        assert item.source, item


def test_without_probes_counts_are_off_and_cpu_time_is_not() -> None:
    plan = ProbePlan(Backend.OFF, "refused")
    for name in (
        "counting", "syscalls", "forks", "execs", "process exits", "io calls", "switches",
    ):  # fmt: skip
        assert check(name, EVERYTHING, plan) == Check(name, "off", "", "refused")
    assert check("counts survive", EVERYTHING, plan).state == "off"
    assert check("cpu time", EVERYTHING, plan).state == "ok"
    assert check("memory", EVERYTHING, plan).state == "ok"


def test_a_hybrid_host_measures_memory_and_controls_nothing() -> None:
    hybrid = replace(EVERYTHING, controllers=frozenset({"hugetlb"}))
    memory = check("memory", hybrid, ProbePlan(Backend.CORE))
    assert memory.state == "fallback"
    assert "/cgroup has no memory controller" in memory.why
    for name in ("cpu", "memory", "pids", "io"):
        assert check(f"{name} control", hybrid, ProbePlan(Backend.CORE)).state == "off"


def test_every_figure_says_what_it_means_on_this_host() -> None:
    figures = {
        "cpu time", "memory", "memory kinds", "processes", "threads", "block bytes", "sockets",
        "pressure", "syscalls", "forks", "execs", "process exits", "io calls", "switches",
        "page faults", "network", "syscalls by number", "programs",
    }  # fmt: skip
    hybrid = replace(EVERYTHING, controllers=frozenset())
    for support in (EVERYTHING, hybrid):
        checks = doctor_checks(support, ProbePlan(Backend.CORE))
        assert figures == {item.name for item in checks if item.meaning}
    for name in ("memory", "memory kinds", "block bytes"):
        meanings = {check(name, it, ProbePlan(Backend.CORE)).meaning for it in (EVERYTHING, hybrid)}
        assert len(meanings) == 2, name


def test_no_cgroup2_is_said_so() -> None:
    bare = replace(EVERYTHING, cgroup2_path=None, controllers=frozenset())
    assert "no cgroup2" in check("cpu control", bare, ProbePlan(Backend.CORE)).why


def test_no_landlock_is_off() -> None:
    item = check("landlock", replace(EVERYTHING, landlock_abi=None), ProbePlan(Backend.CORE))
    assert (item.state, item.why) == ("off", "the kernel has no Landlock")


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_that_is_missing_is_said_somewhere(name: str) -> None:
    """Each as a no and as unknown, in a doctor's line or as the plan's reason."""
    # Asked for only where there is no io controller.
    spare = frozenset({"io"}) if name == "task_io" else frozenset()
    for fact, word in ((Fact(False, "the reason"), "the reason"), (UNKNOWN, "unknown")):
        support = without("btf", NO) if name in BCC_NEEDS else EVERYTHING
        support = without(name, fact, support)
        support = replace(support, controllers=support.controllers - spare)
        plan = decide_plan(support, "auto")
        said = " ".join(item.why for item in doctor_checks(support, plan))
        assert word in said, name


def test_names_are_unique() -> None:
    names = [item.name for item in doctor_checks(EVERYTHING, ProbePlan(Backend.CORE))]
    assert len(names) == len(set(names))
