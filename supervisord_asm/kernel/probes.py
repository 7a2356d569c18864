"""The counting programs as an object: install or adopt them, bind slots, read what was lost.

The work is in native/probes*.c and bpf/; here are the types and the errors. A `Probes` is used by
one thread; the sampler reads its rows at any time. With a pin directory, programs and counts
outlive the process until `close(unpin=True)` or `unpin`.

A slot is a number below `slots_max`, bound to one agent's cgroup. Which agent that is, the daemon
knows; the kernel knows only cgroup ids.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from supervisord_asm._native import ffi, lib
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.bcc_compiler import CompileError, compile_programs, source_hash

# enum sasm_drop of bpf/records.h, in its order.
_DROPS = (
    "row_missing", "exit_claim_failed", "thread_mark_failed", "exec_ring_full", "packet_unreadable",
    "socket_mark_failed",
)  # fmt: skip
# Of one call; a full ring holds some 2,300 records.
_EXECS_PER_CALL = 1024
_EXEC_CALLS_MAX = 3

OTHER_CALLS: int = lib.SASM_CALLS_OTHER
"""The key of `Probes.syscalls_of` for what has no number of its own."""

_LOG_TAIL_LINES = 12


class ProbeError(Exception):
    """Operation, subject and errno of what failed. `log`: what libbpf and the verifier said last.

    The text is one line, for status and doctor; the log has several and is for the daemon's own.
    """

    def __init__(self, operation: str, subject: str, errno_: int, log: str = "") -> None:
        super().__init__(f"unable to {operation} {subject}: {os.strerror(errno_)}")
        self.operation = operation
        self.subject = subject
        self.errno = errno_
        self.log = "\n".join(log.strip().splitlines()[-_LOG_TAIL_LINES:])


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """How the programs in force were made."""

    root_id: int
    root_level: int
    slots_max: int
    cpus: int
    is_adopted: bool
    """The maps and their counts were there before this process."""
    object_hash: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A slot's counts as of now, straight from the rows."""

    syscalls: int
    io_calls: int
    switches: int
    forks: int
    execs: int
    exits: int
    exits_error: int
    exits_signal: int
    page_faults: int
    """Minor and major."""
    major_faults: int
    network_receive_bytes: int
    network_transmit_bytes: int
    last_exit_us: int | None
    last_exit_pid: int | None
    last_exit_status: int | None
    """As waitpid(2) gives it."""


class ExecEvent(NamedTuple):
    """A program's start in an agent, or the end of a process that started one."""

    slot: int
    time_us: int
    """CLOCK_BOOTTIME."""
    pid: int
    path: str | None
    """As it was given to execve(2), at most 127 bytes of it; None: an end."""
    comm: str
    """The kernel's short name of the program, at most 15 bytes; "" of an end."""
    status: int | None
    """Of an end, as waitpid(2) gives it; None: a start."""


class Probes:
    """The running programs and their slots. Make one with `open`."""

    def __init__(self, handle: Any, backend: Backend) -> None:
        """Wrap an open handle of native/probes.h; it is ours from now on."""
        self._handle = handle
        self.backend = backend

    @classmethod
    def open(
        cls, pin_dir: str | None, agents_root_fd: int, slots_max: int, plan: ProbePlan
    ) -> Self:
        """Adopt the programs pinned in `pin_dir`, or install them. Raises ProbeError.

        The agents are the cgroups right below the one of `agents_root_fd`. `pin_dir` is made; its
        parent must be a bpf file system. None: nothing outlives this process.
        """
        if plan.backend is Backend.OFF:
            raise ProbeError("count by", f"BPF ({plan.why})", errno.EOPNOTSUPP)
        path = ffi.NULL if pin_dir is None else os.fsencode(pin_dir)
        if plan.backend is Backend.BCC:
            return cls(_open_compiled(path, agents_root_fd, slots_max), plan.backend)
        ret_handle: Any = ffi.new("struct sasm_probes **")
        ret_error: Any = ffi.new("struct sasm_probes_error *")
        code = lib.sasm_probes_open(path, agents_root_fd, slots_max, ret_handle, ret_error)
        if code < 0:
            raise _failure(code, ret_error)
        return cls(ret_handle[0], plan.backend)

    @property
    def handle(self) -> Any:
        """The native handle, for the sampler. Raises ValueError when closed."""
        if self._handle is None:
            raise ValueError("the probes are closed")
        return self._handle

    def facts(self) -> ProbeFacts:
        """Return how the programs in force were made."""
        facts: Any = ffi.new("struct sasm_probes_facts *")
        lib.sasm_probes_facts(self.handle, facts)
        return ProbeFacts(
            facts.root_id, facts.root_level, facts.slots_max, facts.cpus,
            bool(facts.is_adopted), facts.object_hash,
        )  # fmt: skip

    def bind(self, slot: int, cgroup_fd: int, cgroup_id: int) -> None:
        """Count the cgroup, and all below it, into the slot. Raises ProbeError.

        Idempotent. EBUSY: the slot has another cgroup; EEXIST: the cgroup another slot; ESTALE:
        the open directory is of another cgroup than the id, made anew under the same name.
        """
        if os.fstat(cgroup_fd).st_ino != cgroup_id:
            raise ProbeError("bind", f"slot {slot} to cgroup {cgroup_id}", errno.ESTALE)
        code = lib.sasm_probes_bind(self.handle, slot, cgroup_id)
        if code < 0:
            raise ProbeError("bind", f"slot {slot} to cgroup {cgroup_id}", -code)

    def unbind(self, slot: int) -> None:
        """Free the slot; its counts are gone. Raises ProbeError (ESRCH: it is free)."""
        code = lib.sasm_probes_unbind(self.handle, slot)
        if code < 0:
            raise ProbeError("unbind", f"slot {slot}", -code)

    def bound(self) -> dict[int, int]:
        """Return the bound slots with their cgroups' ids; after an adoption, the earlier ones."""
        capacity = self.facts().slots_max
        slots: Any = ffi.new("uint32_t[]", capacity)
        ids: Any = ffi.new("uint64_t[]", capacity)
        count = lib.sasm_probes_bound(self.handle, slots, ids, capacity)
        return {slots[i]: ids[i] for i in range(count)}

    def counts(self, slot: int) -> Counts:
        """Return the slot's counts now. Raises ProbeError (EINVAL: no such slot)."""
        row: Any = ffi.new("struct sasm_row *")
        code = lib.sasm_probes_read(self.handle, slot, row)
        if code < 0:
            raise ProbeError("read", f"slot {slot}", -code)
        has_exit = row.last_exit_ns != 0
        return Counts(
            row.syscalls, row.io_calls, row.switches, row.forks, row.execs,
            row.exits, row.exits_error, row.exits_signal,
            row.page_faults, row.major_faults,
            row.network_receive_bytes, row.network_transmit_bytes,
            row.last_exit_ns // 1000 if has_exit else None,
            row.last_exit_pid if has_exit else None,
            row.last_exit_status if has_exit else None,
        )  # fmt: skip

    def syscalls_of(self, slot: int) -> dict[int, int]:
        """Return the slot's syscalls by number, without those that were never made.

        `OTHER_CALLS` stands for all calls of 32-bit programs and all numbers from there on. Raises
        ProbeError (ESRCH: the slot is not bound).
        """
        counts: Any = ffi.new("uint64_t[]", lib.SASM_CALLS)
        code = lib.sasm_probes_calls(self.handle, slot, counts)
        if code < 0:
            raise ProbeError("read the syscalls of", f"slot {slot}", -code)
        return {number: count for number, count in enumerate(counts) if count}

    def execs_fileno(self) -> int:
        """Return a descriptor that is readable when `drain_execs` should not wait much longer."""
        return int(lib.sasm_probes_execs_fd(self.handle))

    def drain_execs(self) -> list[ExecEvent]:
        """Take what ran since the last time, in its order. One caller. Raises ProbeError.

        At most what the ring holds, some 2,300 records: more than that is left for the next time.
        """
        buffer: Any = ffi.new("struct sasm_exec[]", _EXECS_PER_CALL)
        events: list[ExecEvent] = []
        for _ in range(_EXEC_CALLS_MAX):
            count = lib.sasm_probes_execs(self.handle, buffer, _EXECS_PER_CALL)
            if count < 0:
                raise ProbeError("read", "the starts of programs", -count)
            events += [_exec_event(buffer[index]) for index in range(count)]
            if count < _EXECS_PER_CALL:
                break
        return events

    def drops(self) -> dict[str, int]:
        """Return how often something could not be counted, by cause. Zeros included.

        `missed_<program>`: the kernel left the program out because it would have interrupted
        itself on its CPU. `exec_too_late`: read when the slot had been unbound already.
        """
        lost: Any = ffi.new("uint64_t[]", lib.SASM_DROP_NUM)
        lib.sasm_probes_drops(self.handle, lost)
        drops = dict(zip(_DROPS, lost, strict=True))
        drops["exec_too_late"] = lib.sasm_probes_stale_execs(self.handle)
        for program in range(lib.SASM_PROBES_PROGRAMS):
            name = _text(lib.sasm_probes_program(program))
            misses: Any = ffi.new("uint64_t *")
            code = lib.sasm_probes_misses(self.handle, program, misses)
            if code < 0:
                raise ProbeError("read the misses of", name, -code)
            drops[f"missed_{name}"] = misses[0]
        return drops

    def close(self, unpin: bool = False) -> None:
        """Let go; with `unpin`, end the counting and drop all counts. May be called twice."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        code = lib.sasm_probes_close(handle, unpin)
        if code < 0:
            raise ProbeError("unpin", "the counting programs", -code)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; pins stay."""
        self.close()


def _failure(code: int, error: Any) -> ProbeError:
    """Say in Python what a native open could not do."""
    return ProbeError(_text(error.operation), _text(error.object), -code, _text(error.log))


def _open_compiled(path: Any, agents_root_fd: int, slots_max: int) -> Any:
    """Adopt what BCC has compiled before, or have it compiled for this kernel and install it."""
    ret_handle: Any = ffi.new("struct sasm_probes **")
    ret_error: Any = ffi.new("struct sasm_probes_error *")
    compiled: Any = ffi.new("struct sasm_compiled *")
    arguments = (path, agents_root_fd, slots_max, compiled, ret_handle, ret_error)
    try:
        compiled.hash = source_hash()
        code = lib.sasm_probes_open_compiled(*arguments)
        if code == -errno.ENODATA:
            keep_alive = _compile(compiled)
            code = lib.sasm_probes_open_compiled(*arguments)
            del keep_alive
    except CompileError as error:
        raise ProbeError("compile", f"by BCC ({error})", error.errno, error.log) from error
    except OSError as error:
        raise ProbeError("read", "the programs' source", error.errno or errno.EIO) from error
    if code < 0:
        raise _failure(code, ret_error)
    return ret_handle[0]


def _compile(compiled: Any) -> list[Any]:
    """Fill in the instructions; they live as long as what is returned. Raises CompileError."""
    maps: list[str] = []
    while (name := lib.sasm_probes_map(len(maps))) != ffi.NULL:
        maps.append(_text(name))
    names = [_text(lib.sasm_probes_program(i)) for i in range(lib.SASM_PROBES_PROGRAMS)]
    code = compile_programs(tuple(names), tuple(maps))
    buffers = []
    for number, name in enumerate(names):
        instructions: Any = ffi.new("uint64_t[]", len(code[name]) // 8)
        ffi.memmove(instructions, code[name], len(code[name]))
        compiled.instructions[number] = instructions
        compiled.counts[number] = len(instructions)
        buffers.append(instructions)
    return buffers


def _exec_event(event: Any) -> ExecEvent:
    slot, time_us, pid = event.tag & 0xFFFFFFFF, event.time_ns // 1000, event.pid
    if event.is_end:
        return ExecEvent(slot, time_us, pid, None, "", event.status)
    path = ffi.buffer(event.path, max(0, event.path_bytes - 1))[:] if event.path_bytes else b""
    return ExecEvent(
        slot, time_us, pid, path.decode(errors="backslashreplace"), _text(event.comm), None
    )


def _text(characters: Any) -> str:
    value = ffi.string(characters)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def unpin(pin_dir: Path) -> Mapping[str, bool]:
    """Remove every pin below `pin_dir`, and so the programs behind them; no daemon is needed.

    Returns what was there, by name. Raises OSError.
    """
    if not pin_dir.is_dir():
        return {}
    found = {}
    # The layout goes first: a set without it is taken for incomplete by whoever looks meanwhile.
    for pin in sorted(pin_dir.iterdir(), key=lambda path: path.name != "map_layout"):
        pin.unlink()
        found[pin.name] = True
    pin_dir.rmdir()
    return found
