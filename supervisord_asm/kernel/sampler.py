"""The sampler as an object: agents go in, rows and windows come out.

A native thread (native/sampler*.c, no GIL) wakes at each whole second, measures the agents that
ran, closes their one-second windows and makes `fileno()` readable. No call here waits for a
measurement but `remove` and `sample_now`, which make one (some 30 us; milliseconds for an agent
whose shared memory is measured). Thread-safe, except `start` and `close`.

None means that a figure has no source here: without BPF there are no syscall counts.

Order for an agent: `Probes.bind`, `add`, spawn … `remove`, `Probes.unbind`, rmdir.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from supervisord_asm._native import ffi, lib
from supervisord_asm.core.resources import Span, Window
from supervisord_asm.kernel.probes import Probes

MEMORY_SOURCES = ("none", "cgroup", "rss", "pss")
"""By Row.memory_source: what memory_bytes is made of (enum sasm_memory_source)."""


class SamplerError(Exception):
    """Operation, subject and errno."""

    def __init__(self, operation: str, subject: str, errno_: int) -> None:
        super().__init__(f"unable to {operation} {subject}: {os.strerror(errno_)}")
        self.operation = operation
        self.subject = subject
        self.errno = errno_


class Row(NamedTuple):
    """An agent's figures. Fields and order are those of struct sasm_sample; absent is None."""

    slot: int
    agent_id: int
    timestamp_us: int
    cpu_time_us: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None
    syscall_count: int | None
    io_ops: int | None
    process_count: int | None
    fork_count: int | None
    exec_count: int | None
    process_exit_count: int | None
    error_exit_count: int | None
    signal_exit_count: int | None
    last_exit_us: int | None
    last_exit_pid: int | None
    last_exit_status: int | None
    """As waitpid(2) gives it; of any process of the agent, not only its main one."""
    cpu_percent_milli: int | None
    syscall_rate: int | None
    last_activity_us: int | None
    memory_source: int
    memory_anon_bytes: int | None
    memory_shmem_bytes: int | None
    memory_file_bytes: int | None
    thread_count: int | None
    block_read_bytes: int | None
    block_write_bytes: int | None
    network_receive_bytes: int | None
    network_transmit_bytes: int | None
    page_fault_count: int | None
    major_fault_count: int | None
    context_switch_count: int | None
    socket_count: int | None
    cpu_pressure_us: int | None
    memory_pressure_us: int | None
    io_pressure_us: int | None


@dataclass(frozen=True, slots=True)
class SamplerFigures:
    """What sampling itself costs. `late_seconds`: seconds that had to share a pass; `waiting`: of
    the agents that the last pass measured, those whose gauges had to wait for the next."""

    passes: int
    last_pass_us: int
    longest_pass_us: int
    thread_cpu_us: int
    agents: int
    measured: int
    waiting: int
    late_seconds: int
    failures: int


_ROW = struct.Struct(f"{len(Row._fields)}q")
assert _ROW.size == ffi.sizeof("struct sasm_sample")
_ABSENT = lib.SASM_ABSENT
_SPAN = struct.Struct("5q")
assert _SPAN.size == ffi.sizeof("struct sasm_span")


class Sampler:
    """The sampling thread and its table of agents, by slot."""

    def __init__(self, probes: Probes | None, slots_max: int) -> None:
        """Prepare a sampler. `probes`, if any, must stay open until it is closed."""
        ret_handle = ffi.new("struct sasm_sampler **")
        native = ffi.NULL if probes is None else probes.handle
        _check("make a sampler of", f"{slots_max} slots",
               lib.sasm_sampler_open(native, slots_max, ret_handle))  # fmt: skip
        self._handle: Any = ret_handle[0]
        # Held so that the mapped rows outlive the thread that reads them.
        self.probes = probes
        self._slots_max = slots_max
        self._buffer = ffi.new("struct sasm_sample[]", slots_max)

    def start(self) -> None:
        """Start the thread; the first pass is at the next whole second. Raises SamplerError."""
        _check("start", "the sampling thread", lib.sasm_sampler_start(self._open()))

    def close(self) -> None:
        """Stop the thread and forget all agents. May be called twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.sasm_sampler_close(handle)

    def fileno(self) -> int:
        """Return an eventfd, readable after each pass; `acknowledge` makes it wait again."""
        return int(lib.sasm_sampler_fd(self._open()))

    def acknowledge(self) -> None:
        """Make `fileno()` unreadable until the next pass."""
        try:
            os.eventfd_read(self.fileno())
        except BlockingIOError:
            pass  # nothing to acknowledge is as good

    def add(self, slot: int, agent_id: int, cgroup_fd: int) -> None:
        """Watch an agent; the directory fd is duplicated. Raises SamplerError (EEXIST)."""
        code = lib.sasm_sampler_add(self._open(), slot, agent_id, cgroup_fd)
        _check("watch", f"agent {agent_id} in slot {slot}", code)

    def remove(self, slot: int) -> Row:
        """Measure once more, stop watching, return the final figures. Raises SamplerError."""
        sample = ffi.new("struct sasm_sample *")
        _check("stop watching", f"slot {slot}",
               lib.sasm_sampler_remove(self._open(), slot, sample))  # fmt: skip
        return _rows(sample, 1)[0]

    def changed(self) -> list[Row]:
        """Return the rows that differ from what `changed` returned for them last. One caller."""
        count = lib.sasm_sampler_changed(self._open(), self._buffer, self._slots_max)
        return _rows(self._buffer, count)

    def rows(self) -> list[Row]:
        """Return all rows, by slot."""
        buffer = ffi.new("struct sasm_sample[]", self._slots_max)
        count = lib.sasm_sampler_rows(self._open(), buffer, self._slots_max)
        return _rows(buffer, count)

    def row(self, slot: int) -> Row:
        """Return one row. Raises SamplerError (ESRCH)."""
        sample = ffi.new("struct sasm_sample *")
        _check("read", f"slot {slot}", lib.sasm_sampler_row(self._open(), slot, sample))
        return _rows(sample, 1)[0]

    def windows(self, slot: int) -> list[Window]:
        """Return the closed windows since the agent was added, at most 60, oldest first."""
        buffer = ffi.new("struct sasm_window[]", lib.SASM_WINDOWS)
        code = lib.sasm_sampler_windows(self._open(), slot, buffer, lib.SASM_WINDOWS)
        _check("read the windows of", f"slot {slot}", code)
        return [
            Window(
                buffer[i].timestamp_us,
                buffer[i].cpu_time_us,
                _known(buffer[i].memory_bytes),
                _known(buffer[i].syscall_count),
                _known(buffer[i].io_ops),
                _known(buffer[i].network_bytes),
            )
            for i in range(code)
        ]

    def spans(self, slots: Sequence[int], seconds: Sequence[int]) -> list[tuple[Span, ...]]:
        """Return each slot's sums over its last windows, one Span for each number of seconds.

        One call for many agents: half a microsecond each, and a Span more where one is made.
        """
        lengths = len(seconds)
        native = ffi.new("struct sasm_span[]", max(len(slots) * lengths, 1))
        code = lib.sasm_sampler_spans(
            self._open(), ffi.new("uint32_t[]", slots), len(slots),
            ffi.new("uint32_t[]", seconds), lengths, native,
        )  # fmt: skip
        _check("sum the windows of", f"{len(slots)} slots", code)
        values = list(_SPAN.iter_unpack(ffi.buffer(native, len(slots) * lengths * _SPAN.size)))
        return [
            tuple(map(_span, seconds, values[first : first + lengths]))
            for first in range(0, len(values), lengths)
        ]

    def sample_now(self, slot: int | None = None) -> None:
        """Measure one agent, or with None all that ran since the last pass. Raises SamplerError."""
        code = lib.sasm_sampler_now(self._open(), lib.SASM_ALL_SLOTS if slot is None else slot)
        _check("measure", f"slot {slot}", code)

    def figures(self) -> SamplerFigures:
        """Return what sampling costs."""
        figures = ffi.new("struct sasm_sampler_figures *")
        lib.sasm_sampler_figures(self._open(), figures)
        names = SamplerFigures.__dataclass_fields__
        return SamplerFigures(**{name: getattr(figures, name) for name in names})

    def _open(self) -> Any:
        if self._handle is None:
            raise ValueError("the sampler is closed")
        return self._handle


def _check(operation: str, subject: str, code: int) -> None:
    if code < 0:
        raise SamplerError(operation, subject, -code)


def _known(value: int) -> int | None:
    return None if value == _ABSENT else value


def _span(seconds: int, values: tuple[int, ...]) -> Span:
    windows, cpu_time_us, *amounts = values
    if not windows:
        return Span(seconds, 0, 0, None, None)
    return Span(seconds, windows, cpu_time_us, *map(_known, amounts))


def _rows(samples: Any, count: int) -> list[Row]:
    """Return Python's view of the first `count` samples."""
    data = ffi.buffer(samples, count * _ROW.size)
    rows = []
    for values in _ROW.iter_unpack(data):
        # Few rows have an absent figure; looking first is cheaper than replacing in each.
        if _ABSENT in values:
            values = tuple(None if value == _ABSENT else value for value in values)
        rows.append(Row._make(values))
    return rows
