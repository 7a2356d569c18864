"""Cutting JSON to a buffer: always whole and valid, and what goes first."""

import json
from typing import Any

import pytest

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView
from supervisord_asm.view.agent_info_json import agent_info_json, operator_info
from supervisord_asm.view.telemetry_json import SIZE_BYTES_MIN, telemetry_json

HUGE = (1 << 63) - 1


def snapshot(agents: int, events: int) -> Snapshot:
    """Return a snapshot of so many agents and events; the newest event has the largest time."""
    return Snapshot(
        timestamp_us=99,
        system=SystemView(events_total=5_000),
        agents=tuple(AgentView(1000 + n, f"agent-{n}", "active") for n in range(agents)),
        recent_events=tuple(
            Event(EventType.SPAWN, 1000, 10_000 - n, 0, {"pid": n, "run": 1}) for n in range(events)
        ),
    )


def answer(shot: Snapshot, size_bytes: int | None = None) -> dict[str, Any]:
    """Return the parsed answer, after checking that it fits."""
    encoded = telemetry_json(shot, size_bytes)
    assert size_bytes is None or len(encoded) <= size_bytes
    parsed = json.loads(encoded)
    assert isinstance(parsed, dict)
    return parsed


def test_whole_answer_shows_ten_events_newest_first() -> None:
    whole = answer(snapshot(3, 30))
    assert [event["timestamp_us"] for event in whole["recent_events"]] == list(
        range(10_000, 9_990, -1)
    )
    assert (whole["truncated"], whole["agents_total"], whole["events_total"]) == (False, 3, 5_000)


def test_oldest_events_go_before_any_agent() -> None:
    shot = snapshot(3, 10)
    cut = answer(shot, len(telemetry_json(shot)) - 1)
    assert len(cut["recent_events"]) == 9
    assert cut["recent_events"][0]["timestamp_us"] == 10_000
    assert len(cut["agents"]) == 3
    assert cut["truncated"] is True


def test_agents_with_the_highest_ids_go_last_of_all_and_only_without_events() -> None:
    shot = snapshot(50, 10)
    for size_bytes in range(SIZE_BYTES_MIN, len(telemetry_json(shot)) + 1, 7):
        cut = answer(shot, size_bytes)
        kept = [int(agent_id) for agent_id in cut["agents"]]
        assert kept == list(range(1000, 1000 + len(kept)))
        assert len(kept) == 50 or not cut["recent_events"]
        assert cut["agents_total"] == 50
        assert cut["truncated"] is True or len(cut["recent_events"]) == 10


def test_an_answer_that_is_one_byte_too_long_loses_an_agent_where_there_is_no_event() -> None:
    shot = snapshot(4, 0)
    cut = answer(shot, len(telemetry_json(shot)) - 1)
    assert list(cut["agents"]) == ["1000", "1001", "1002"]
    assert cut["truncated"] is True


def test_no_buffer_is_left_emptier_than_needed() -> None:
    """One byte more than an answer needs never gives a smaller answer, and cuts are tight."""
    shot = snapshot(5, 5)
    sizes = [len(telemetry_json(shot, size)) for size in range(SIZE_BYTES_MIN, 2_500)]
    assert sizes == sorted(sizes)
    reachable = {size for size in sizes if size >= SIZE_BYTES_MIN}
    assert len(reachable) > 5
    assert all(len(telemetry_json(shot, size)) == size for size in reachable)


def test_the_smallest_buffer_holds_the_totals_of_the_busiest_system() -> None:
    system = SystemView(
        HUGE, HUGE, HUGE, HUGE, HUGE, active_agents=HUGE, total_syscalls=HUGE, events_total=HUGE
    )
    shot = Snapshot(HUGE, system, snapshot(9, 0).agents)
    assert json.loads(telemetry_json(shot, SIZE_BYTES_MIN))["system"]["total_faults"] == HUGE


def test_unknown_figures_are_null_and_not_zero() -> None:
    agent = answer(snapshot(1, 0))["agents"]["1000"]
    assert agent["memory_bytes"] is None
    assert agent["fault_count"] == 0
    assert answer(snapshot(0, 0))["system"]["total_syscalls"] is None


def test_hostile_text_stays_inside_its_string() -> None:
    hostile = Event(EventType.FAULT, 7, 1, 0, {"description": '"}\n\x1b[2J\u202e'})
    cut = answer(Snapshot(1, SystemView(), (), (hostile,)))
    assert cut["recent_events"][0]["description"] == '"}\n\x1b[2J\u202e'


LARGEST = AgentView(
    agent_id=HUGE,
    name="n" * 63,
    state="throttled",
    pid=HUGE,
    capabilities=("Admin", "FsBasic", "FsExtended", "NetClient", "NetServer", "LlmAccess",
                  "AudioControl", "DocBasic", "Capture", "Screenshot", "Exec"),
    auto_restart=True,
    max_restarts=HUGE,
    restart_count=HUGE,
    spawn_count=HUGE,
    exit_count=HUGE,
    crash_count=HUGE,
    fault_count=HUGE,
    total_restarts=HUGE,
)  # fmt: skip


def test_agent_info_of_the_largest_agent_fits_a_quarter_of_the_guides_buffer() -> None:
    assert len(agent_info_json(LARGEST)) <= 1024
    assert "truncated" not in json.loads(agent_info_json(LARGEST))


@pytest.mark.parametrize("size_bytes", [512, 600, 700])
def test_agent_info_in_a_small_buffer_is_valid_and_says_what_it_is(size_bytes: int) -> None:
    encoded = agent_info_json(LARGEST, size_bytes)
    assert len(encoded) <= size_bytes
    parsed = json.loads(encoded)
    assert parsed["agent_id"] == HUGE
    assert parsed.get("truncated") is (True if len(agent_info_json(LARGEST)) > size_bytes else None)


def test_asminfos_json_is_502s_and_more() -> None:
    operators = operator_info(LARGEST)
    assert json.loads(agent_info_json(LARGEST)).items() <= json.loads(json.dumps(operators)).items()
    assert operators.keys() >= {
        "state", "cgroup", "syscall_count", "cpu_time_us", "memory_bytes", "peak_memory_bytes",
        "process_count", "last_exit_code", "last_exit_signal", "last_exit_cause",
    }  # fmt: skip
