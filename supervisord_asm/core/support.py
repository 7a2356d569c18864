"""What this host can do, and which sources and mechanisms follow from it. Pure: facts -> decision.

kernel/support_probe.py asks the kernel and fills in a `KernelSupport`; `decide_plan` says which
backend counts; core/doctor.py names, for every figure and mechanism, its source, and where
something is off or second best, why. Nothing here looks at a version number: a kernel that can do
a thing can do it, whatever it calls itself.

Terms: a Fact is yes, no or unknown (None), with the reason; unknown is shown as such and treated as
no. States of a check: ok (the first choice works), fallback (another source, named), off.
Source of the shape: below's coverage module ("facts -> plan -> apply"; shared/reading/style.md, 4).
"""

import enum
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
    task_io: Fact = UNKNOWN
    """/proc/PID/io: bytes that a process read from and wrote to disks."""
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
    meaning: str = ""
    """Of a figure: what is counted in it, from this source."""


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


def _first_missing(*wanted: tuple[str, Fact]) -> str:
    for name, fact in wanted:
        if not fact:
            reason = fact.why or "the kernel says no"
            return f"{name}: {reason}" if fact.value is False else f"{name}: unknown, {reason}"
    return ""
