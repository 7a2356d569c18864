"""The client for threads: one method for each call. Blocks until asmd has answered."""

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

from supervisord_asm.api.calls import Action, DependencyChange, DependencyType, Patch
from supervisord_asm.client import request as requests
from supervisord_asm.client.answers import (
    AgentInfo,
    LlmResponse,
    Telemetry,
    read_llm_response,
    read_object,
)
from supervisord_asm.client.doors import NOBODY, chosen_doors, final_errno, socket_path
from supervisord_asm.client.errors import error_of
from supervisord_asm.client.heartbeat import Heartbeats
from supervisord_asm.client.kernel_door import KernelDoor
from supervisord_asm.client.profile import ProfileGuard
from supervisord_asm.client.request import ROOM_BYTES, Request
from supervisord_asm.client.socket_door import SocketDoor


class Client:
    """Calls to asmd; may be used by many threads at once, and after fork.

    Every method raises AsmError (errors.py); `NotSupported` where asmd has no such part yet.
    """

    def __init__(
        self,
        *,
        doors: Sequence[str] | None = None,
        socket: str | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        """Open nothing yet. `doors`: "syscall" and "socket" in the order of trying."""
        self._doors = chosen_doors(doors)
        self._kernel = KernelDoor()
        self._socket = SocketDoor(socket_path(socket), timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept; a later call opens one anew."""
        self._socket.close()

    def telemetry(self, size_bytes: int = ROOM_BYTES) -> Telemetry:
        """Read all counters (500), in at most so many bytes: `truncated` says that more is."""
        return cast(Telemetry, self._object(requests.telemetry(size_bytes)))

    def agent_info(self, agent_id: int | None = None) -> AgentInfo:
        """Read about one agent (502), this one by default. Raises NoSuchAgent."""
        return cast(AgentInfo, self._object(requests.agent_info(agent_id)))

    def update_policy(self, agent_id: int, patch: Patch, value: int | str) -> None:
        """Change one thing of an agent's policy (501): bits, restarts, or a scope's path."""
        self._call(requests.policy_patch(agent_id, patch, value))

    def llm_request(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        preferred_provider: str | None = None,
        system_message: str | None = None,
        timeout_ms: int | None = None,
        size_bytes: int = ROOM_BYTES,
    ) -> LlmResponse:
        """Ask a language model (503); what is None is the gateway's to choose."""
        options = {
            "max_tokens": max_tokens, "temperature": temperature,
            "preferred_provider": preferred_provider, "system_message": system_message,
            "timeout_ms": timeout_ms,
        }  # fmt: skip
        request = requests.llm_request(prompt, options, size_bytes)
        return read_llm_response(request.call, self._call(request)[1])

    def heartbeat(self) -> None:
        """Say that this agent makes progress (504)."""
        self._call(requests.heartbeat())

    def heartbeats(
        self, interval_s: float | None = None, *, needs_progress: bool = False
    ) -> Heartbeats:
        """Beat from a thread for the time of a with block; every half of WATCHDOG_USEC, or 10 s."""
        return Heartbeats(self.heartbeat, interval_s, needs_progress)

    def track_tool_call(
        self,
        tool: str,
        credits: int = 1,  # noqa: A002 # the seed's name
        tokens: int = 100,
        *,
        credits_milli: int | None = None,
    ) -> Action:
        """Account for one use of a tool (505); returns whether to go on.

        `credits_milli`, thousandths of a credit, is taken instead of `credits` where given.
        """
        milli = 1000 * credits if credits_milli is None else credits_milli
        return Action(self._call(requests.track_tool_call(tool, milli, tokens))[0])

    @contextlib.contextmanager
    def lock(self, name: str, timeout_ms: int = 0) -> Iterator[None]:
        """Hold a named lock (506) for the time of a with block, then give it back (507)."""
        self._call(requests.lock(name, timeout_ms))
        try:
            yield
        finally:
            self._call(requests.unlock(name))

    def profile(self, operation: str) -> ProfileGuard:
        """Measure a with block and tell asmd (508)."""
        return ProfileGuard(operation, self.profile_sample)

    def profile_sample(self, operation: str, duration_us: int, is_success: bool = True) -> None:
        """Tell how long an operation took (508)."""
        self._call(requests.profile_sample(operation, duration_us, is_success))

    def compliance_event(self, event: Mapping[str, Any]) -> None:
        """Put an event into this agent's compliance record (509)."""
        self._call(requests.compliance_event(event))

    def budget(self, request: Mapping[str, Any], size_bytes: int = ROOM_BYTES) -> dict[str, Any]:
        """Reserve, settle, observe or read a budget (510)."""
        return self._object(requests.budget(request, size_bytes))

    def add_dependency(self, agent_id: int, kind: DependencyType = DependencyType.REQUIRED) -> None:
        """Make this agent depend on another (511)."""
        self._call(requests.dependency(DependencyChange.ADD, agent_id, kind))

    def remove_dependency(
        self, agent_id: int, kind: DependencyType = DependencyType.REQUIRED
    ) -> None:
        """Take an edge back (511)."""
        self._call(requests.dependency(DependencyChange.REMOVE, agent_id, kind))

    def _object(self, request: Request) -> dict[str, Any]:
        return read_object(request.call, self._call(request)[1])

    def _call(self, request: Request) -> tuple[int, bytes]:
        """Make a call through the first door that is there. Raises AsmError."""
        failed = errno.ENOSYS
        for door in self._doors:
            made = self._kernel if door == "syscall" else self._socket
            result, answer = made.call(request)
            if result >= 0:
                return result, answer
            if -result not in NOBODY:
                raise error_of(request.call, -result)
            # Of two doors that are not there, the socket's word says more than ENOSYS.
            failed = -result if failed == errno.ENOSYS else failed
        raise error_of(request.call, final_errno(failed))
