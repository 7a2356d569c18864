"""A birth's gate: what lets a process be made while its record is still on its way to the disk.

The keeper hands the read end to asm-exec, which prepares everything and then waits there: a byte
lets it execute the agent's program, the pipe's end makes it leave. So a start takes as long as the
longer of record and preparation, not both; and an asmd that dies in between takes the gate along.
"""

import contextlib
import os
import threading


class Gate:
    """One pipe. Closed until `open` is called; `close` for those that nobody will open.

    The two may be called from different threads; the first of them counts.
    """

    __slots__ = ("_lock", "_read_end", "_write_end")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)

    @property
    def read_end(self) -> int:
        """What the keeper is given."""
        return self._read_end

    def use(self) -> None:
        """The keeper has it: whoever is born with it, and nobody else, may still read."""
        os.close(self._read_end)
        self._read_end = -1

    def open(self) -> None:
        """Let the program begin."""
        with self._lock:
            if self._write_end >= 0:
                with contextlib.suppress(OSError):  # who waited there is gone
                    os.write(self._write_end, b"\n")
                os.close(self._write_end)
                self._write_end = -1

    def close(self) -> None:
        """Let go of what is left; who still waits there ends without having begun."""
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        with self._lock:
            if self._write_end >= 0:
                os.close(self._write_end)
                self._write_end = -1
