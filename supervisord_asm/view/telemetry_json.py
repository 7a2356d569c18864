"""Call 500's answer and the file `telemetry`: the guide's JSON, cut to fit a caller's buffer.

The answer is always whole, valid JSON of at most the bytes asked for. What does not fit goes in a
fixed order, so that two readers with equal buffers see the same: first the oldest events, then the
agents with the highest ids. `truncated` says that something went, `agents_total` and `events_total`
say how much there was (../shared/spec/CONTRACT.md, "Values").

Text is ASCII (JSON escapes the rest), so characters and bytes are the same number. As in
status_text, each agent's piece depends on its view alone and can be cached by view: cutting is then
arithmetic on lengths, not a second rendering.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate

from supervisord_asm.core.events import Event
from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView

# CONTRACT, "Values": ten events by default; the file and the call print the same.
EVENTS_MAX = 10

# Enough for the totals of a system with every counter at 2^63; below it the caller answers ENOSPC.
SIZE_BYTES_MIN = 512

_COMPACT = (",", ":")


def agent_member(view: AgentView) -> str:
    """Return the agent's member of `agents`: its id as key, its figures; null where unknown."""
    figures = {
        "spawn_count": view.spawn_count,
        "exit_count": view.exit_count,
        "fault_count": view.fault_count,
        "cpu_time_us": view.cpu_time_us,
        "memory_bytes": view.memory_bytes,
        "crash_count": view.crash_count,
        "total_restarts": view.total_restarts,
        "syscall_count": view.syscall_count,
        "heartbeat_count": view.heartbeat_count,
        "tool_call_count": view.tool_call_count,
        "state": view.state,
    }
    return f'"{view.agent_id}":{json.dumps(figures, separators=_COMPACT)}'


def event_member(event: Event) -> str:
    """Return the event as one JSON object."""
    return json.dumps(event.to_json(), separators=_COMPACT)


def join_telemetry(
    system: SystemView,
    members: Sequence[str],
    events: Sequence[str],
    size_bytes: int | None = None,
) -> bytes:
    """Return the answer from its pieces, in at most `size_bytes`.

    Args:
        system: the totals.
        members: agent_member of each agent, by rising id.
        events: event_member of the events to show, newest first.
        size_bytes: the caller's buffer, at least SIZE_BYTES_MIN; None for no bound.
    """
    whole = _assembled(system, members, events, len(members), len(events))
    if size_bytes is None or len(whole) <= size_bytes:
        return whole.encode("ascii")
    assert size_bytes >= SIZE_BYTES_MIN, "the caller answers ENOSPC to smaller buffers"
    room = size_bytes - len(_assembled(system, members, events, 0, 0))
    agents_kept = _count_that_fits(members, room)
    events_kept = 0
    if agents_kept == len(members) and events:
        # "false" is a byte longer than "true": an answer may be a byte too long for nothing but
        # being whole. Something goes then too.
        fitting = _count_that_fits(events, room - _joined_length(members))
        events_kept = min(fitting, len(events) - 1)
    elif agents_kept == len(members):
        agents_kept -= 1
    answer = _assembled(system, members, events, agents_kept, events_kept).encode("ascii")
    assert len(answer) <= size_bytes, "lengths of the pieces add up"
    return answer


def telemetry_json(
    snapshot: Snapshot, size_bytes: int | None = None, events_max: int = EVENTS_MAX
) -> bytes:
    """Return the answer from a snapshot, for callers that cache nothing."""
    return join_telemetry(
        snapshot.system,
        [agent_member(view) for view in snapshot.agents],
        [event_member(event) for event in snapshot.recent_events[:events_max]],
        size_bytes,
    )


def _assembled(
    system: SystemView,
    members: Sequence[str],
    events: Sequence[str],
    agents_kept: int,
    events_kept: int,
) -> str:
    totals = json.dumps(
        {
            "total_agents_spawned": system.total_spawns,
            "total_agents_exited": system.total_exits,
            "active_agents": system.active_agents,
            "total_faults": system.total_faults,
            "total_agents_crashed": system.total_crashes,
            "total_restarts": system.total_restarts,
            "total_syscalls": system.total_syscalls,
            "dropped_records": sum(system.drops.values()),
        },
        separators=_COMPACT,
    )
    is_whole = agents_kept == len(members) and events_kept == len(events)
    return (
        f'{{"system":{totals},"agents":{{{",".join(members[:agents_kept])}}},'
        f'"recent_events":[{",".join(events[:events_kept])}],'
        f'"truncated":{"false" if is_whole else "true"},'
        f'"agents_total":{len(members)},"events_total":{system.events_total}}}'
    )


def _joined_length(pieces: Sequence[str]) -> int:
    return sum(map(len, pieces)) + max(len(pieces) - 1, 0)


def _count_that_fits(pieces: Sequence[str], room: int) -> int:
    """Return how many leading pieces, joined by commas, have at most `room` characters."""
    with_comma: Iterator[int] = (len(piece) + 1 for piece in pieces)
    return sum(1 for end in accumulate(with_comma) if end - 1 <= room)
