"""What this host can do, and which sources and mechanisms follow from it. Pure: facts -> decision.

kernel/support_probe.py asks the kernel and fills in a `KernelSupport`; `decide_plan` says which
backend counts; `doctor_checks` names, for every figure and mechanism, its source, and where
something is off or second best, why. Nothing here looks at a version number: a kernel that can do
a thing can do it, whatever it calls itself.

Terms: a Fact is yes, no or unknown (None), with the reason; unknown is shown as such and treated as
no. States of a check: ok (the first choice works), fallback (another source, named), off.
Source of the shape: below's coverage module ("facts -> plan -> apply"; shared/reading/style.md, 4).
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Fact:
    """One answer of the kernel: yes, no, or None when it could not be asked; and why."""

    value: bool | None
    why: str = ""

    def __bool__(self) -> bool:
        """Only a yes is a yes."""
        return self.value is True


UNKNOWN = Fact(None, "was not asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSupport:
    """Everything that was asked of one running kernel."""

    release: str
    # BPF
    btf: Fact = UNKNOWN
    """/sys/kernel/btf/vmlinux: programs find the kernel's fields without headers."""
    tp_btf: Fact = UNKNOWN
    """A program loads and attaches at a BTF-typed tracepoint."""
    task_storage: Fact = UNKNOWN
    cgrp_storage: Fact = UNKNOWN
    ringbuf: Fact = UNKNOWN
    bcc: Fact = UNKNOWN
    """BCC is installed."""
    kernel_headers: Fact = UNKNOWN
    """Those of the running kernel are where BCC looks for them."""
    lsm_bpf: Fact = UNKNOWN
    """An LSM program loads, attaches and is called."""
    bpffs: Fact = UNKNOWN
    # cgroups
    cgroup2_path: str | None = None
    controllers: frozenset[str] = frozenset()
    """Those that the cgroup2 root offers; a hybrid host keeps them in v1."""
    cgroup_kill: Fact = UNKNOWN
    cgroup_freeze: Fact = UNKNOWN
    psi: Fact = UNKNOWN
    # processes and the floor below an agent
    pidfd_info_exit: Fact = UNKNOWN
    landlock_abi: int | None = None
    """None: no Landlock."""
    seccomp_notify: Fact = UNKNOWN
    fuse: Fact = UNKNOWN

    def controller(self, name: str) -> Fact:
        """Return whether cgroup2 has the controller."""
        if name in self.controllers:
            return Fact(True)
        if self.cgroup2_path is None:
            return Fact(False, "no cgroup2 file system is mounted")
        return Fact(False, f"cgroup2 at {self.cgroup2_path} has no {name} controller")


class Backend(enum.StrEnum):
    """What counts."""

    CORE = "core"
    BCC = "bcc"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """Which backend counts, and why it is not the first choice ("" when it is)."""

    backend: Backend
    why: str = ""

    def failed(self, reason: str) -> "ProbePlan":
        """Return the plan that is left when this one could not be carried out."""
        return replace(self, backend=Backend.OFF, why=reason)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `asmctl doctor`. `state` is ok, fallback or off; `source` may be empty."""

    name: str
    state: str
    source: str
    why: str


def decide_plan(support: KernelSupport, probes_mode: str) -> ProbePlan:
    """Choose the backend; `probes_mode` is auto, core, bcc or off, as in asm.yaml."""
    if probes_mode == "off":
        return ProbePlan(Backend.OFF, "`probes: off` in asm.yaml")
    no_core = _first_missing(
        ("BTF", support.btf),
        ("BTF-typed tracepoints", support.tp_btf),
        ("task storage", support.task_storage),
    )
    no_bcc = _first_missing(("BCC", support.bcc), ("kernel headers", support.kernel_headers))
    if probes_mode == "bcc":
        why = f"`probes: bcc`, but {no_bcc}" if no_bcc else "`probes: bcc` in asm.yaml"
        return ProbePlan(Backend.OFF if no_bcc else Backend.BCC, why)
    if not no_core:
        return ProbePlan(Backend.CORE)
    if probes_mode == "core":
        return ProbePlan(Backend.OFF, f"`probes: core`, but {no_core}")
    if no_bcc:
        return ProbePlan(Backend.OFF, f"{no_core}; {no_bcc}")
    return ProbePlan(Backend.BCC, no_core)


def doctor_checks(support: KernelSupport, plan: ProbePlan) -> list[Check]:
    """Name the source of every figure and the mechanism behind every action."""
    return [*_figures(support, plan), *_mechanisms(support), *_kernel(support)]


def _counting(plan: ProbePlan) -> Check:
    """Name the backend that was chosen."""
    if plan.backend is Backend.OFF:
        return Check("counting", "off", "", plan.why)
    if plan.backend is Backend.CORE:
        return Check("counting", "ok", "programs compiled once (CO-RE)", plan.why)
    return Check("counting", "fallback", "programs compiled on this host (BCC)", plan.why)


def _figures(support: KernelSupport, plan: ProbePlan) -> Iterable[Check]:
    yield _counting(plan)
    is_counting = plan.backend is not Backend.OFF
    kind = "raw_tp" if plan.backend is Backend.BCC else "tp_btf"
    for name, tracepoint in (
        ("syscalls", "sys_enter"),
        ("forks", "sched_process_fork"),
        ("execs", "sched_process_exec"),
        ("process exits", "sched_process_exit"),
        ("io calls", "sys_enter"),
    ):
        if is_counting:
            yield Check(name, "ok", f"{kind}/{tracepoint}", "")
        else:
            yield Check(name, "off", "", plan.why)
    yield Check("cpu time", "ok", "cgroup2 cpu.stat", "")
    memory = support.controller("memory")
    if memory:
        yield Check("memory", "ok", "cgroup2 memory.current", "")
    else:
        yield Check("memory", "fallback", "/proc: anonymous+shmem", memory.why)
    yield Check("processes", "ok", "cgroup2 cgroup.procs", "")
    pins = support.bpffs if is_counting else Fact(False, "nothing is counted that could")
    yield _check("counts survive", pins, "pins on bpffs")


def _mechanisms(support: KernelSupport) -> Iterable[Check]:
    yield _check("kill", support.cgroup_kill, "cgroup2 cgroup.kill")
    yield _check("freeze", support.cgroup_freeze, "cgroup2 cgroup.freeze")
    for controller in ("cpu", "memory", "pids", "io"):
        fact = support.controller(controller)
        yield _check(f"{controller} control", fact, f"cgroup2 {controller}.max")


def _kernel(support: KernelSupport) -> Iterable[Check]:
    yield Check("kernel", "ok", support.release, "")
    yield _check("btf", support.btf, "/sys/kernel/btf/vmlinux")
    yield _check("bpf lsm", support.lsm_bpf, "lsm programs")
    yield _check("ring buffer", support.ringbuf, "ringbuf map")
    yield _check("cgroup storage", support.cgrp_storage, "cgrp_storage map")
    abi = support.landlock_abi
    landlock = Fact(abi is not None, "" if abi else "the kernel has no Landlock")
    yield _check("landlock", landlock, f"ABI {abi}")
    yield _check("seccomp notify", support.seccomp_notify, "user notification")
    yield _check("pidfd exit info", support.pidfd_info_exit, "PIDFD_GET_INFO")
    yield _check("fuse", support.fuse, "/dev/fuse")
    yield _check("pressure", support.psi, "/proc/pressure")


def _first_missing(*wanted: tuple[str, Fact]) -> str:
    for name, fact in wanted:
        if not fact:
            reason = fact.why or "the kernel says no"
            return f"{name}: {reason}" if fact.value is False else f"{name}: unknown, {reason}"
    return ""


def _check(name: str, fact: Fact, source: str) -> Check:
    """Return ok with the source, or off with the reason."""
    if fact:
        return Check(name, "ok", source, "")
    return Check(name, "off", "", fact.why if fact.value is False else f"unknown: {fact.why}")
