"""Drains agents' stdout and stderr pipes into log files: the Python side of native/logdrain.c.

Two native threads do the work (native/logdrain.h says how, and states the bounds); this class only
hands over fds and asks for figures. No call touches the disk; those that may wait name the bound.
Thread-safe, but for `start` and `close`.

Ownership: `add` owns its two fds from the call on, also when it raises. The daemon keeps no read
end of its own; the keeper keeps one, so that a restarted daemon can `add` it again: the file is
appended to.
"""

from dataclasses import dataclass
from errno import EBADF, ETIMEDOUT
from os import strerror
from types import TracebackType
from typing import Any, Self

from supervisord_asm._native import ffi, lib

# Runs fetched by one native call; `finished` goes on until none is left.
_ENDED_BATCH = 64
# A flush writes what 1 MiB pipes hold; a healthy disk needs milliseconds.
FLUSH_TIMEOUT_MS = 1_000
_NO_FD = -1


class LogDrainError(OSError):
    """The drain refused or could not do something: operation, object and errno."""

    def __init__(self, operation: str, subject: str, error_number: int) -> None:
        super().__init__(error_number, f"unable to {operation} {subject}: {strerror(error_number)}")
        self.operation = operation
        self.subject = subject


@dataclass(frozen=True, slots=True)
class LogCounters:
    """What came from one agent since its first `add`, and what became of it.

    bytes_in = bytes in the files + dropped_bytes + at most 32 KiB pending. `error` is the errno in
    force, 0 while the file can be written. Times are CLOCK_BOOTTIME; None = no output yet.
    """

    bytes_in: int
    lines: int
    dropped_bytes: int
    dropped_lines: int
    last_output_us: int | None
    rotations: int
    file_bytes: int
    run_offset_bytes: int  # size of the file when the latest run was added
    error: int
    open_runs: int


class LogDrain:
    """All agents' log files below one directory."""

    def __init__(self, directory_fd: int, group_id: int | None) -> None:
        """Prepare a drain; the directory fd is duplicated.

        group_id owns the files with root; None leaves owner and group to the process.
        """
        group = (1 << 32) - 1 if group_id is None else group_id
        handle: Any = ffi.new("struct sasm_logdrain **")
        _check("open", "log drain", lib.sasm_logdrain_open(directory_fd, group, handle))
        self._handle: Any = handle[0]
        self._raw_counters: Any = ffi.new("struct sasm_logdrain_counters *")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the two threads."""
        _check("start", "log drain", lib.sasm_logdrain_start(self._open()))

    def add(
        self,
        agent_id: int,
        run: int,
        name: str,
        stdout_fd: int | None,
        stderr_fd: int | None,
        max_bytes: int,
        files: int,
    ) -> None:
        """Drain one run's pipes into `<name>.log`, `files` files of `max_bytes` in all.

        None = that stream does not exist. Raises LogDrainError: EINVAL for a name with a slash or a
        bound outside native/logdrain.h's, EEXIST for a run that is open already or a name that
        another agent with open runs has, EBUSY for another name while runs are open.
        """
        result = lib.sasm_logdrain_add(
            self._open(),
            agent_id,
            run,
            name.encode("utf-8"),
            _NO_FD if stdout_fd is None else stdout_fd,
            _NO_FD if stderr_fd is None else stderr_fd,
            max_bytes,
            files,
        )
        _check("add log of", f"agent {agent_id} run {run}", result)

    def finish(self, agent_id: int, run: int) -> None:
        """End a run whose processes are gone although somebody may still hold its pipes.

        What is in the pipes now is written, then the run is reported by `finished`.
        Raises LogDrainError: ESRCH when the run is not open (any more).
        """
        result = lib.sasm_logdrain_finish(self._open(), agent_id, run)
        _check("finish log of", f"agent {agent_id} run {run}", result)

    def remove(self, agent_id: int) -> None:
        """Forget an agent; what is in its pipes now is still written. Its runs are not reported."""
        result = lib.sasm_logdrain_remove(self._open(), agent_id)
        _check("remove log of", f"agent {agent_id}", result)

    def fileno(self) -> int:
        """Return the eventfd that is readable while `finished` has something; the drain's own."""
        return int(lib.sasm_logdrain_finished_fd(self._open()))

    def finished(self) -> list[tuple[int, int]]:
        """Take the (agent_id, run) pairs whose pipes are at their end and wholly written."""
        handle = self._open()
        batch: Any = ffi.new("struct sasm_logdrain_ended[]", _ENDED_BATCH)
        runs: list[tuple[int, int]] = []
        while count := lib.sasm_logdrain_take_finished(handle, batch, _ENDED_BATCH):
            runs += [(batch[index].agent_id, batch[index].run) for index in range(count)]
        return runs

    def offset(self, agent_id: int) -> int:
        """Return the current size of the agent's file; waits at most 1 s for its first opening.

        Raises LogDrainError: ESRCH before the agent's first `add`, ETIMEDOUT.
        """
        return self._offsets(agent_id)[0]

    def run_offset(self, agent_id: int) -> int:
        """Return where the output of the agent's latest run begins in its file; else as `offset`.

        Right from the moment of the `add`, however much the run has written since. A rotation
        since then has moved the place into `.log.1`.
        """
        return self._offsets(agent_id)[1]

    def _offsets(self, agent_id: int) -> tuple[int, int]:
        size: Any = ffi.new("uint64_t *")
        begin: Any = ffi.new("uint64_t *")
        result = lib.sasm_logdrain_offset(self._open(), agent_id, size, begin)
        _check("read log offset of", f"agent {agent_id}", result)
        return int(size[0]), int(begin[0])

    def dropped_lines(self, agent_id: int) -> int:
        """Return how many lines of an agent were lost; 0 for one that never ran.

        Asked of every agent once a second, so by the shortest way. In one thread only.
        """
        raw = self._raw_counters
        result = lib.sasm_logdrain_read_counters(self._open(), agent_id, raw)
        return 0 if result < 0 else int(raw.dropped_lines)

    def counters(self, agent_id: int) -> LogCounters:
        """Return an agent's figures. Raises LogDrainError: ESRCH."""
        raw: Any = ffi.new("struct sasm_logdrain_counters *")
        result = lib.sasm_logdrain_read_counters(self._open(), agent_id, raw)
        _check("read log counters of", f"agent {agent_id}", result)
        return LogCounters(
            bytes_in=raw.bytes_in,
            lines=raw.lines,
            dropped_bytes=raw.dropped_bytes,
            dropped_lines=raw.dropped_lines,
            last_output_us=raw.last_output_us or None,
            rotations=raw.rotations,
            file_bytes=raw.file_bytes,
            run_offset_bytes=raw.run_offset_bytes,
            error=raw.error,
            open_runs=raw.open_runs,
        )

    def flush(self, timeout_ms: int = FLUSH_TIMEOUT_MS) -> bool:
        """Wait until what was readable at the call is written; False when time ran out."""
        result = lib.sasm_logdrain_flush(self._open(), timeout_ms)
        if result == -ETIMEDOUT:
            return False
        _check("flush", "log drain", result)
        return True

    def close(self) -> None:
        """Write pending partial lines, stop the threads, close every fd. Idempotent.

        Raises LogDrainError: ETIMEDOUT after 5 s on a disk that hangs; nothing was freed then, and
        the drain may be closed again later.
        """
        if self._handle is None:
            return
        _check("close", "log drain", lib.sasm_logdrain_close(self._handle))
        self._handle = None

    def _open(self) -> Any:
        if self._handle is None:
            raise LogDrainError("use", "log drain", EBADF)
        return self._handle


def _check(operation: str, subject: str, result: int) -> None:
    if result < 0:
        raise LogDrainError(operation, subject, -result)
