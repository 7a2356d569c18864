"""Each call as a value, before any door: its numbers, what goes in, and room for the answer. Pure.

Both clients make their calls from these, so there is one place that knows what a method sends.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisord_asm.api.calls import (
    BY_NUMBER,
    Call,
    DependencyChange,
    DependencyType,
    Door,
    Patch,
    Way,
)
from supervisord_asm.api.wire import encode_arguments

ROOM_BYTES = 65_536
INFO_ROOM_BYTES = 4_096
_WORD_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `numbers` are its number parameters in order; a path is `data` and no number."""

    call: Call
    numbers: tuple[int, ...] = ()
    data: bytes | None = None
    room_bytes: int = 0

    def __post_init__(self) -> None:
        if any(not -_WORD_MAX <= number <= _WORD_MAX for number in self.numbers):
            raise ValueError(f"{self.call.name}: a number of {self.numbers} is over 64 bits")

    def frame_payload(self) -> bytes:
        """Return what the socket's frame carries."""
        numbers = iter(self.numbers)
        words: list[int] = []
        for parameter in self.call.parameters:
            match parameter.way:
                case Way.NUMBER:
                    words.append(next(numbers))
                case Way.NUMBER_OR_PATH:
                    words.append(next(numbers) if self.data is None else 0)
                case Way.ROOM_OUT:
                    words.append(self.room_bytes)
                case Way.BYTES_IN:
                    pass
        a, b, c, d = (*words, 0, 0, 0, 0)[:4]
        return encode_arguments((a, b, c, d), self.data or b"")


def telemetry(size_bytes: int) -> Request:
    """500."""
    return Request(BY_NUMBER[Door.TELEMETRY], room_bytes=size_bytes)


def policy_patch(agent_id: int, patch: Patch, value: int | str) -> Request:
    """501. A scope is a path, everything else a number."""
    call = BY_NUMBER[Door.POLICY_PATCH]
    if isinstance(value, str) != (patch == Patch.UPDATE_SCOPE):
        raise ValueError("a scope is a path, and nothing else is")
    if isinstance(value, str):
        return Request(call, (agent_id, patch), os.fsencode(value))
    return Request(call, (agent_id, patch, value))


def agent_info(agent_id: int | None) -> Request:
    """502. None is this agent, by ASM_AGENT_ID. Raises ValueError where that is not set."""
    if agent_id is None:
        text = os.environ.get("ASM_AGENT_ID", "")
        if not text.isdecimal():
            raise ValueError("agent_id is needed: ASM_AGENT_ID is not set, this is no agent")
        agent_id = int(text)
    return Request(BY_NUMBER[Door.AGENT_INFO], (agent_id,), room_bytes=INFO_ROOM_BYTES)


def llm_request(prompt: str, options: Mapping[str, Any], room_bytes: int) -> Request:
    """503. Options that are None are left to the gateway."""
    request = {"agent_id": int(os.environ.get("ASM_AGENT_ID") or 0), "prompt": prompt}
    request |= {name: value for name, value in options.items() if value is not None}
    return _json_request(Door.LLM_REQUEST, request, room_bytes)


def heartbeat() -> Request:
    """504."""
    return Request(BY_NUMBER[Door.HEARTBEAT])


def track_tool_call(tool: str, credits_milli: int, tokens: int) -> Request:
    """505."""
    return Request(BY_NUMBER[Door.TRACK_TOOL_CALL], (credits_milli, tokens), tool.encode())


def lock(name: str, timeout_ms: int) -> Request:
    """506."""
    return Request(BY_NUMBER[Door.LOCK], (timeout_ms,), os.fsencode(name))


def unlock(name: str) -> Request:
    """507."""
    return Request(BY_NUMBER[Door.UNLOCK], (), os.fsencode(name))


def profile_sample(operation: str, duration_us: int, is_success: bool) -> Request:
    """508."""
    numbers = (duration_us, int(is_success))
    return Request(BY_NUMBER[Door.PROFILE_SAMPLE], numbers, operation.encode())


def compliance_event(event: Mapping[str, Any]) -> Request:
    """509."""
    return _json_request(Door.COMPLIANCE_EVENT, event, 0)


def budget(request: Mapping[str, Any], room_bytes: int) -> Request:
    """510."""
    return _json_request(Door.BUDGET, request, room_bytes)


def dependency(change: DependencyChange, agent_id: int, kind: DependencyType) -> Request:
    """511."""
    return Request(BY_NUMBER[Door.DEPENDENCY], (change, agent_id, kind))


def _json_request(number: Door, record: Mapping[str, Any], room_bytes: int) -> Request:
    data = json.dumps(record, separators=(",", ":")).encode()
    return Request(BY_NUMBER[number], (), data, room_bytes)
