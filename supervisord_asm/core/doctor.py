"""What `asmctl doctor` says: where each figure comes from, what it means, what enforces what. Pure.

A figure may mean something else from another source, and a reader must know which: so each has its
meaning, whether its source is the first choice or the second. What is off has a reason instead.
"""

from collections.abc import Iterable

from supervisord_asm.core.support import Backend, Check, Fact, KernelSupport, ProbePlan

# Name, tracepoint and meaning of what our programs count.
_COUNTED = (
    ("syscalls", "sys_enter", "entered by its threads, also those that failed; not io_uring's"),
    ("forks", "sched_process_fork", "processes made, threads not"),
    ("execs", "sched_process_exec", "programs begun by its processes"),
    ("process exits", "sched_process_exit", "processes ended, each once"),
    ("syscalls by number", "sys_enter", "of 64-bit programs; `asmctl syscalls` names them"),
    ("programs", "sched_process_exec", "the last 64 that ran, with their ends: `asmctl history`"),
    ("io calls", "sys_enter", "of the syscalls: the read and write families"),
    ("switches", "sched_switch", "context switches away from its threads, wanted or not"),
    ("page faults", "sched_switch", "minor and major, as getrusage(2) counts them"),
)
_NETWORK = (
    "network",
    "cgroup_skb",
    "what its sockets sent and got: IP without headers, TCP's repeats once; loopback on both sides",
)
_RESIDENT = "pages of all processes, shared ones once from 32 MiB on (PSS)"
_OWN_BYTES = (
    "read from and written to disks for its processes; written means made dirty; what a process did"
    " in its last second is missing where nobody of the agent waits for it, and what such ones had"
    " done is forgotten when asmd ends"
)


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
    hooks = [(name, f"{kind}/{tracepoint}", meaning) for name, tracepoint, meaning in _COUNTED]
    for name, hook, meaning in (*hooks, _NETWORK):
        if is_counting:
            yield Check(name, "ok", hook, "", meaning)
        else:
            yield Check(name, "off", "", plan.why)
    yield from _from_files(support)
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


def _from_files(support: KernelSupport) -> Iterable[Check]:
    yield Check(
        "cpu time", "ok", "cgroup2 cpu.stat", "",
        "user and system time of all its threads and those that ended, up to the last tick",
    )  # fmt: skip
    yield from _memory(support)
    yield Check(
        "processes", "ok", "cgroup2 cgroup.procs", "", "in its cgroup and all below, no zombies"
    )
    yield Check("threads", "ok", "/proc/PID/status", "", "of these processes")
    yield _blocks(support)
    yield Check(
        "sockets", "ok", "/proc/PID/fd", "",
        "open ones of every family, each once; counted once a minute if it ran, and when asked for",
    )  # fmt: skip
    yield _pressure(support)


def _memory(support: KernelSupport) -> Iterable[Check]:
    controller = support.controller("memory")
    if controller:
        yield Check(
            "memory", "ok", "cgroup2 memory.current", "",
            "all that the kernel charges to it: page cache, kernel memory and buffers too",
        )  # fmt: skip
        yield Check(
            "memory kinds", "ok", "cgroup2 memory.stat", "",
            "anonymous, shmem, and file: page cache without shmem; at most 5 s old",
        )  # fmt: skip
        return
    yield Check(
        "memory", "fallback", "/proc: anonymous+shmem", controller.why,
        f"resident anonymous and shmem {_RESIDENT}; no page cache, no kernel memory",
    )  # fmt: skip
    yield Check(
        "memory kinds", "fallback", "/proc/PID/status", controller.why,
        f"resident {_RESIDENT}; file: mapped files only",
    )  # fmt: skip


def _blocks(support: KernelSupport) -> Check:
    controller = support.controller("io")
    if controller:
        return Check(
            "block bytes", "ok", "cgroup2 io.stat", "",
            "sent to and come from devices; what is written through the page cache counts when it"
            " is written back, if the file system knows cgroups",
        )  # fmt: skip
    if support.task_io:
        return Check("block bytes", "fallback", "/proc/PID/io", controller.why, _OWN_BYTES)
    return _check("block bytes", support.task_io, "")


def _pressure(support: KernelSupport) -> Check:
    if support.psi:
        return Check(
            "pressure", "ok", "cgroup2 *.pressure", "",
            "time in which some of its threads waited for CPU, memory or disk; at most 5 s old",
        )  # fmt: skip
    return _check("pressure", support.psi, "")


def _check(name: str, fact: Fact, source: str) -> Check:
    """Return ok with the source, or off with the reason."""
    if fact:
        return Check(name, "ok", source, "")
    return Check(name, "off", "", fact.why if fact.value is False else f"unknown: {fact.why}")
