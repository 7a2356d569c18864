"""What Python programs inside an agent import: their counters, and what they say to asmd.

    from supervisord_asm import client

    client.heartbeat()
    if client.track_tool_call("search", credits=2, tokens=140) is client.Action.ABORT: …
    with client.profile("answer"): …
    with client.heartbeats(): …                  # from a thread, until the block ends

The functions of this module share one Client; `Client` and `AsyncClient` have the same methods with
settings of their own. Calls go through a real system call where the agent has that door, else
over the socket (ASM_SOCKET); ASM_DOORS="socket,syscall" and the parameter `doors` change the order.
Needs the standard library only and no privilege. What goes wrong is an AsmError (errors.py).
"""

import functools

from supervisord_asm.api.calls import Action, DependencyType, Patch
from supervisord_asm.client.aio import AsyncClient
from supervisord_asm.client.answers import AgentInfo, LlmResponse, Telemetry
from supervisord_asm.client.errors import (
    AsmError,
    NoDoor,
    NoSuchAgent,
    NotPermitted,
    NotSupported,
    OutcomeUnknown,
    TimedOut,
    TryAgain,
)
from supervisord_asm.client.heartbeat import Heartbeats
from supervisord_asm.client.notice import notify
from supervisord_asm.client.profile import ProfileGuard
from supervisord_asm.client.sync import Client

__all__ = [
    "Client", "AsyncClient", "Action", "Patch", "DependencyType", "AgentInfo", "LlmResponse",
    "Telemetry", "ProfileGuard", "Heartbeats", "AsmError", "NoDoor", "NoSuchAgent", "NotPermitted",
    "NotSupported", "OutcomeUnknown", "TimedOut", "TryAgain",
    "telemetry", "agent_info", "llm_request", "heartbeat", "heartbeats", "track_tool_call",
    "profile", "notify",
]  # fmt: skip


@functools.cache
def _shared() -> Client:
    return Client()


def telemetry(size_bytes: int = 65_536) -> Telemetry:
    """Read the counters of the system and of all agents; see Client.telemetry."""
    return _shared().telemetry(size_bytes)


def agent_info(agent_id: int | None = None) -> AgentInfo:
    """Read about one agent, this one by default; see Client.agent_info."""
    return _shared().agent_info(agent_id)


def llm_request(
    prompt: str,
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    preferred_provider: str | None = None,
    system_message: str | None = None,
    timeout_ms: int | None = None,
) -> LlmResponse:
    """Ask a language model through the gateway; see Client.llm_request."""
    return _shared().llm_request(
        prompt, max_tokens=max_tokens, temperature=temperature,
        preferred_provider=preferred_provider, system_message=system_message,
        timeout_ms=timeout_ms,
    )  # fmt: skip


def heartbeat() -> None:
    """Say that this agent makes progress."""
    _shared().heartbeat()


def heartbeats(interval_s: float | None = None, *, needs_progress: bool = False) -> Heartbeats:
    """Say so from a thread, for the time of a with block; see Client.heartbeats."""
    return _shared().heartbeats(interval_s, needs_progress=needs_progress)


def track_tool_call(tool: str, credits: int = 1, tokens: int = 100) -> Action:  # noqa: A002 # the seed's name
    """Account for one use of a tool, and learn whether to go on; see Client.track_tool_call."""
    return _shared().track_tool_call(tool, credits, tokens)


def profile(operation: str) -> ProfileGuard:
    """Measure a with block; see Client.profile."""
    return _shared().profile(operation)
