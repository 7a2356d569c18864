"""What an agent's processes ran lately: program, pid, start, end. Pure; times are arguments.

Bounded: the last records, with the number of all that ever began. A process is one record per
program that it executes: the next execve(2) ends the record before it without a status.
"""

from collections import deque
from dataclasses import dataclass

LENGTH = 64
"""How many records an agent's history keeps."""


@dataclass(slots=True)
class ExecRecord:
    """One program in one process. Times are CLOCK_BOOTTIME."""

    pid: int
    program: str
    """The path as it was given to execve(2), at most 127 bytes of it."""
    comm: str
    """The kernel's short name, at most 15 bytes: it tells what "/proc/self/fd/3" was."""
    started_us: int
    ended_us: int | None = None
    """None: it runs."""
    status: int | None = None
    """As waitpid(2) gives it; None: it runs, executed another program, or its end was not told."""
    is_replaced: bool = False
    """The process went on with another program."""

    def to_json(self) -> dict[str, object]:
        """Return the record for the socket; of code and signal at most one is not null."""
        status = self.status
        return {
            "pid": self.pid,
            "program": self.program,
            "comm": self.comm,
            "started_us": self.started_us,
            "ended_us": self.ended_us,
            "exit_code": None if status is None or status & 0x7F else status >> 8 & 0xFF,
            "exit_signal": None if status is None else status & 0x7F or None,
            "replaced": self.is_replaced,
        }


class ExecHistory:
    """The last records of one agent, in the order of their starts."""

    __slots__ = ("_records", "_running", "total")

    def __init__(self, length: int = LENGTH) -> None:
        """Begin empty; `length` is at least 1."""
        self._records: deque[ExecRecord] = deque(maxlen=length)
        self._running: dict[int, ExecRecord] = {}
        self.total = 0
        """Programs that ever began, those that are forgotten included."""

    def begin(self, pid: int, program: str, comm: str, time_us: int) -> None:
        """Note that a process began to run a program; one that it ran before is replaced by it."""
        before = self._running.get(pid)
        if before is not None:
            before.ended_us = time_us
            before.is_replaced = True
        if len(self._records) == self._records.maxlen:
            self._forget(self._records[0])
        record = ExecRecord(pid, program, comm, time_us)
        self._records.append(record)
        self._running[pid] = record
        self.total += 1

    def end(self, pid: int, status: int, time_us: int) -> None:
        """Note how a process ended. Nothing happens if its start is not known any more."""
        record = self._running.pop(pid, None)
        if record is not None:
            record.ended_us = time_us
            record.status = status

    def end_all(self, time_us: int) -> None:
        """Note that no process is left: of those that seem to run, the end was not told."""
        for record in self._running.values():
            record.ended_us = time_us
        self._running.clear()

    def records(self) -> list[ExecRecord]:
        """Return the records, oldest start first."""
        return list(self._records)

    def _forget(self, record: ExecRecord) -> None:
        if self._running.get(record.pid) is record:
            del self._running[record.pid]
