"""What calls answer, as types. The JSON is the guide's; a newer asmd may send more members."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from supervisord_asm.api.calls import Call
from supervisord_asm.client.errors import answer_error


class Telemetry(TypedDict):
    """Call 500. `agents` is by id as text, `recent_events` newest first."""

    system: dict[str, int | None]
    agents: dict[str, dict[str, Any]]
    recent_events: list[dict[str, Any]]
    truncated: bool
    agents_total: int
    events_total: int


class AgentInfo(TypedDict):
    """Call 502."""

    agent_id: int
    pid: int | None
    name: str
    capabilities: list[str]
    auto_restart: bool
    max_restarts: int
    restart_count: int
    spawn_count: int
    fault_count: int
    exit_count: int
    crash_count: int
    total_restarts: int
    heartbeat_count: int
    tool_call_count: int
    tool_credits_milli: int
    tool_tokens: int


@dataclass(frozen=True, slots=True)
class LlmResponse:
    """Call 503: which provider answered what, at what cost, after how long."""

    provider: str
    text: str
    tokens_used: int
    duration_us: int
    was_fallback: bool


def read_object(call: Call, answer: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises AsmError (EPROTO) when it is none."""
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise answer_error(call, f"the answer is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise answer_error(call, "the answer is no JSON object")
    return found


def read_llm_response(call: Call, answer: bytes) -> LlmResponse:
    """Return 503's answer. Raises AsmError (EPROTO) when a member is missing."""
    found: Mapping[str, Any] = read_object(call, answer)
    try:
        return LlmResponse(**{item.name: found[item.name] for item in fields(LlmResponse)})
    except KeyError as error:
        raise answer_error(call, f"the answer has no {error}") from error
