"""The client for asyncio: the methods of sync.Client, awaited.

Belongs to one event loop. A system call blocks its thread until asmd has answered, so through that
door calls are made in the loop's threads; the socket needs none.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

from supervisord_asm.api.calls import Action, DependencyChange, DependencyType, Patch
from supervisord_asm.client import request as requests
from supervisord_asm.client.aio_socket_door import AsyncSocketDoor
from supervisord_asm.client.answers import (
    AgentInfo,
    LlmResponse,
    Telemetry,
    read_llm_response,
    read_object,
)
from supervisord_asm.client.doors import NOBODY, chosen_doors, final_errno, socket_path
from supervisord_asm.client.errors import error_of
from supervisord_asm.client.heartbeat import AsyncHeartbeats
from supervisord_asm.client.kernel_door import KernelDoor
from supervisord_asm.client.profile import AsyncProfileGuard
from supervisord_asm.client.request import ROOM_BYTES, Request


class AsyncClient:
    """Calls to asmd; may be used by many tasks at once. Methods raise AsmError (errors.py)."""

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
        self._socket = AsyncSocketDoor(socket_path(socket), timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are kept; a later call opens one anew."""
        await self._socket.close()

    async def telemetry(self, size_bytes: int = ROOM_BYTES) -> Telemetry:
        """See Client.telemetry."""
        return cast(Telemetry, await self._object(requests.telemetry(size_bytes)))

    async def agent_info(self, agent_id: int | None = None) -> AgentInfo:
        """See Client.agent_info."""
        return cast(AgentInfo, await self._object(requests.agent_info(agent_id)))

    async def update_policy(self, agent_id: int, patch: Patch, value: int | str) -> None:
        """See Client.update_policy."""
        await self._call(requests.policy_patch(agent_id, patch, value))

    async def llm_request(
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
        """See Client.llm_request."""
        options = {
            "max_tokens": max_tokens, "temperature": temperature,
            "preferred_provider": preferred_provider, "system_message": system_message,
            "timeout_ms": timeout_ms,
        }  # fmt: skip
        request = requests.llm_request(prompt, options, size_bytes)
        return read_llm_response(request.call, (await self._call(request))[1])

    async def heartbeat(self) -> None:
        """See Client.heartbeat."""
        await self._call(requests.heartbeat())

    def heartbeats(
        self, interval_s: float | None = None, *, needs_progress: bool = False
    ) -> AsyncHeartbeats:
        """Beat from a task for the time of an async with block."""
        return AsyncHeartbeats(self.heartbeat, interval_s, needs_progress)

    async def track_tool_call(
        self,
        tool: str,
        credits: int = 1,  # noqa: A002 # the seed's name
        tokens: int = 100,
        *,
        credits_milli: int | None = None,
    ) -> Action:
        """See Client.track_tool_call."""
        milli = 1000 * credits if credits_milli is None else credits_milli
        return Action((await self._call(requests.track_tool_call(tool, milli, tokens)))[0])

    @contextlib.asynccontextmanager
    async def lock(self, name: str, timeout_ms: int = 0) -> AsyncIterator[None]:
        """See Client.lock."""
        await self._call(requests.lock(name, timeout_ms))
        try:
            yield
        finally:
            await self._call(requests.unlock(name))

    def profile(self, operation: str) -> AsyncProfileGuard:
        """Measure an async with block and tell asmd."""
        return AsyncProfileGuard(operation, self.profile_sample)

    async def profile_sample(
        self, operation: str, duration_us: int, is_success: bool = True
    ) -> None:
        """See Client.profile_sample."""
        await self._call(requests.profile_sample(operation, duration_us, is_success))

    async def compliance_event(self, event: Mapping[str, Any]) -> None:
        """See Client.compliance_event."""
        await self._call(requests.compliance_event(event))

    async def budget(
        self, request: Mapping[str, Any], size_bytes: int = ROOM_BYTES
    ) -> dict[str, Any]:
        """See Client.budget."""
        return await self._object(requests.budget(request, size_bytes))

    async def add_dependency(
        self, agent_id: int, kind: DependencyType = DependencyType.REQUIRED
    ) -> None:
        """See Client.add_dependency."""
        await self._call(requests.dependency(DependencyChange.ADD, agent_id, kind))

    async def remove_dependency(
        self, agent_id: int, kind: DependencyType = DependencyType.REQUIRED
    ) -> None:
        """See Client.remove_dependency."""
        await self._call(requests.dependency(DependencyChange.REMOVE, agent_id, kind))

    async def _object(self, request: Request) -> dict[str, Any]:
        return read_object(request.call, (await self._call(request))[1])

    async def _call(self, request: Request) -> tuple[int, bytes]:
        """Make a call through the first door that is there. Raises AsmError."""
        failed = errno.ENOSYS
        for door in self._doors:
            if door == "socket":
                result, answer = await self._socket.call(request)
            elif self._kernel.is_closed:
                continue
            else:
                result, answer = await asyncio.to_thread(self._kernel.call, request)
            if result >= 0:
                return result, answer
            if -result not in NOBODY:
                raise error_of(request.call, -result)
            failed = -result if failed == errno.ENOSYS else failed
        raise error_of(request.call, final_errno(failed))
