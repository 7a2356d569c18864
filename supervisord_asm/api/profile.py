"""The profiler as an agent has it: its own operations, reported to asmd by call 508.

The same calls as core/profiler.py's, so that a program reads like the guide:

    with Client(AGENT_SOCKET) as client:
        profiler = RemoteProfiler(client)
        with profiler.guard("llm_request") as guard:
            if not ask_the_model():
                guard.set_failed()

What it reported is seen with `asmctl profile AGENT` and in `agents/<id>/profiling`.
"""

import time

from supervisord_asm.api.client import Client, Refused
from supervisord_asm.api.numbers import Door
from supervisord_asm.core.profiler import ProfileGuard


class RemoteProfiler:
    """Reports each operation when it ends: one call each. Not thread-safe, as its client."""

    def __init__(self, client: Client) -> None:
        """Use a client that is connected to the agents' socket; it stays the caller's."""
        self._client = client

    def start_operation(self, operation: str) -> int:
        """Return the time at which the operation begins, for `end_operation`. Asks nobody."""
        del operation  # the guide's signature: one who reads the code sees what begins
        return time.monotonic_ns() // 1000

    def end_operation(self, operation: str, start: int, success: bool) -> None:
        """Report a sample that began at `start` and ends now. Raises as `record` does."""
        self.record(operation, time.monotonic_ns() // 1000 - start, success)

    def record(self, operation: str, duration_us: int, success: bool) -> None:
        """Report a sample that was measured elsewhere.

        Raises Unreachable, and Refused: EINVAL for a name that is not 1 to 64 printable ASCII
        characters without a space, EPERM for a name that asmd uses itself or a caller that is no
        agent, ENOSPC when the agent has too many operations, EAGAIN over its rate of calls.
        """
        name = operation.encode()
        arguments = (max(duration_us, 0), int(success), 0, 0)
        result, _ = self._client.call(Door.PROFILE_SAMPLE, arguments, name)
        if result < 0:
            raise Refused(-result, f'asmd does not take operation "{operation}"', {})

    def guard(self, operation: str) -> ProfileGuard:
        """Return a context manager that reports its block as one sample."""
        return ProfileGuard(self, operation)
