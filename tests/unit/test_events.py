"""Sentences as in the guide, JSON there and back, and what is no event."""

import pytest

from supervisord_asm.core.events import (
    AGENT_ID_MAX,
    DATA_MAX_CHARACTERS,
    RESERVED,
    Event,
    EventFormatError,
    EventType,
    Value,
    data_text,
    describe,
    event_from_json,
    parse_rfc3339,
    rfc3339,
)

BOOT = "0d6f2c0e-9d5c-4b8a-8a3f-6a2b9b1f0c11"
REALTIME_NS = 1_795_000_000_123_456_789


def made(kind: EventType, agent_id: int = 103, **data: Value) -> Event:
    return Event(kind, agent_id, 12_345_678, REALTIME_NS, data, BOOT)


SENTENCES = [
    # The guide's own, word for word.
    (made(EventType.EXIT, code=0, signal=None), "Agent 103 exited (code 0)"),
    (made(EventType.SPAWN, 102, run=1), "Agent 102 spawned"),
    (
        made(EventType.FAULT, 101, fault="CpuQuotaExceeded", description="CPU quota exceeded"),
        "Agent 101 fault: CPU quota exceeded",
    ),
    # Ours.
    (made(EventType.EXIT, code=None, signal=9), "Agent 103 exited (signal 9)"),
    (made(EventType.EXIT, code=None, signal=None), "Agent 103 exited (status unknown)"),
    (made(EventType.EXIT, code=3, signal=None, cause="error"), "Agent 103 exited (code 3)"),
    (made(EventType.FAULT, fault="Crashed"), "Agent 103 fault: Crashed"),
    (made(EventType.REGISTER, name="crawler"), "Agent 103 registered as crawler"),
    (made(EventType.RETIRE), "Agent 103 retired"),
    (made(EventType.STARTED, run=1, pid=7), "Agent 103 started"),
    (
        made(EventType.EXEC_FAILED, stage="execveat", errno=2),
        "Agent 103 could not be executed (execveat: ENOENT)",
    ),
    (
        made(EventType.EXEC_FAILED, stage="landlock", errno=9999),
        "Agent 103 could not be executed (landlock: 9999)",
    ),
    (made(EventType.RESTART, attempt=2, max_restarts=3), "Agent 103 restarted (attempt 2/3)"),
    (made(EventType.RESTART, attempt=2), "Agent 103 restarted (attempt 2)"),
    (made(EventType.RESTART_DECAY), "Agent 103 ran stably: its restarts are forgiven"),
    (made(EventType.STOP, by="root"), "Agent 103 is stopping (by root)"),
    (made(EventType.STOPPED), "Agent 103 stopped"),
    (made(EventType.FAILED, reason="restart limit"), "Agent 103 failed: restart limit"),
    (made(EventType.RESET, by="root"), "Agent 103 was reset (by root)"),
    (made(EventType.POLICY_CHANGE), "Agent 103 policy changed"),
    (made(EventType.DAEMON_START, 0, version="0.1.0"), "Supervisor started (version 0.1.0)"),
    (made(EventType.DAEMON_STOP, 0), "Supervisor stopped"),
    (
        made(EventType.RELOAD, 0, added=["a", "b"], changed=1, removed=[]),
        "Configuration reloaded (2 added, 1 changed, 0 removed)",
    ),
    (made(EventType.KEEPER_LOST, 0), "Keeper lost"),
    (
        made(EventType.COMPACTION, 0, through_seq=7),
        "Journal compacted (events up to 7 removed)",
    ),
    (made(EventType.NOTE, 0, text="log disk full"), "log disk full"),
    (made(EventType.NOTE, text="adopted"), "Agent 103 adopted"),
    (made(EventType.POLICY_CHANGE, 0, by="root"), "System policy changed (by root)"),
]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES)
def test_an_event_reads_as_this_sentence(event: Event, sentence: str) -> None:
    assert describe(event) == sentence


def test_every_type_has_a_sentence_and_needs_no_data_for_it() -> None:
    assert {event.type for event, _ in SENTENCES} == set(EventType)
    for kind in EventType:
        for agent_id in (0, 1):
            assert isinstance(describe(made(kind, agent_id)), str)


@pytest.mark.parametrize("event", [event for event, _ in SENTENCES])
def test_json_reads_back_as_the_same_event(event: Event) -> None:
    assert event_from_json(event.to_json()) == event


def test_json_is_flat_and_in_this_order() -> None:
    assert list(made(EventType.SPAWN, run=2).to_json().items()) == [
        ("type", "spawn"),
        ("agent_id", 103),
        ("timestamp_us", 12_345_678),
        ("time", "2026-11-18T11:06:40.123456789Z"),
        ("boot_id", BOOT),
        ("run", 2),
    ]


def test_json_without_time_and_boot_is_an_event_that_does_not_know_them() -> None:
    record = {"type": "stopped", "agent_id": 5, "timestamp_us": 9}
    assert event_from_json(record) == Event(EventType.STOPPED, 5, 9, 0)


def test_a_type_of_a_newer_version_becomes_a_note_that_says_so() -> None:
    record = {"type": "hibernate", "agent_id": 5, "timestamp_us": 9, "depth": 3}
    event = event_from_json(record)
    assert event.type is EventType.NOTE
    assert describe(event) == "Agent 5 hibernate (of a newer version)"
    assert event.data["depth"] == 3


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": "note", "agent_id": 1},
        {"type": 5, "agent_id": 1, "timestamp_us": 1},
        {"type": "note", "agent_id": "1", "timestamp_us": 1},
        {"type": "note", "agent_id": True, "timestamp_us": 1},
        {"type": "note", "agent_id": -1, "timestamp_us": 1},
        {"type": "note", "agent_id": 1, "timestamp_us": 1.5},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "time": "yesterday"},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "time": 5},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "time": "2026-13-40T00:00:00Z"},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "boot_id": 'x"y'},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "boot_id": None},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "text": {"a": 1}},
        {"type": "note", "agent_id": 1, "timestamp_us": 1, "text": 0.5},
    ],
)
def test_what_is_no_event_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(EventFormatError):
        event_from_json(record)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_data_may_not_use_the_records_own_names(name: str) -> None:
    event = Event(EventType.NOTE, 0, 1, 1, {name: "x"})
    with pytest.raises(EventFormatError, match=name):
        data_text(event)


@pytest.mark.parametrize(
    "value", [0.5, {"a": 1}, [[1]], [{"a": 1}], "\ud800", 1 << 63, "x" * DATA_MAX_CHARACTERS]
)
def test_data_are_scalars_or_lists_of_scalars(value: object) -> None:
    event = Event(EventType.NOTE, 0, 1, 1, {"x": value})  # type: ignore[dict-item]  # the point
    with pytest.raises(EventFormatError):
        data_text(event)


@pytest.mark.parametrize("agent_id", [-1, AGENT_ID_MAX + 1])
def test_an_id_outside_its_range_is_refused(agent_id: int) -> None:
    with pytest.raises(EventFormatError, match="agent_id"):
        data_text(Event(EventType.NOTE, agent_id, 1, 1))


def test_data_text_is_canonical() -> None:
    event = made(EventType.RELOAD, removed=["ü"], added=[], changed=("a", 1, None, True))
    assert data_text(event) == '{"added":[],"changed":["a",1,null,true],"removed":["ü"]}'


@pytest.mark.parametrize("realtime_ns", [0, 1, REALTIME_NS, 999_999_999, (1 << 63) - 1])
def test_a_time_reads_back_to_the_nanosecond(realtime_ns: int) -> None:
    assert parse_rfc3339(rfc3339(realtime_ns)) == realtime_ns


def test_shorter_fractions_are_read_too() -> None:
    assert parse_rfc3339("1970-01-01T00:00:01Z") == 1_000_000_000
    assert parse_rfc3339("1970-01-01T00:00:01.5Z") == 1_500_000_000
