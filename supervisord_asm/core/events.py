"""What happened: one closed set of event types, one record for all of them. Pure.

An Event says that something has happened to an agent, or to the system (agent 0), at a time that
the caller read. Events are facts: they are never changed and never taken back. They are what the
journal keeps, what the history is folded from (core/history.py), and what people see.

Theory. `timestamp_us` is CLOCK_BOOTTIME: it orders events of one boot and survives clock steps, but
means nothing in the next boot; `boot_id` says which boot it belongs to. `realtime_ns` is the wall
clock at the same instant, for people and for retention, and may step.

Data are scalars or lists of scalars, under names that are not one of the record's own (RESERVED),
so that the JSON form is flat and can be read back. Text is taken as it comes and may be hostile:
whoever prints it escapes it.

A new type means a new SCHEMA_VERSION (store/schema.py): an older daemon that would fold the record
without understanding it must refuse it instead.

Sources: ../shared/spec/CONTRACT.md ("Values"), RFC 3339, spec/asm.md 1.3 and 1.6.
"""

import enum
import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

from supervisord_asm.core.canonical import INTEGER_MAX, CanonicalError, canonical_json

Scalar = str | int | bool | None
Value = Scalar | Sequence[Scalar]

AGENT_ID_MAX = (1 << 31) - 1  # DECISIONS: positive 32-bit integers; 0 is the system
# A record is a line, not a document: what is larger goes where it belongs and is named by its hash.
DATA_MAX_CHARACTERS = 65_536
RESERVED = frozenset({"type", "agent_id", "timestamp_us", "time", "boot_id"})

_NS = 1_000_000_000
_BOOT_ID = re.compile(r"[0-9A-Za-z_-]{0,64}")  # the kernel's is a UUID; tests use words
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EventType(enum.StrEnum):
    """Everything that can happen. Values are stored and shown: never renamed, never reused."""

    REGISTER = "register"  # {name, transient?}: the agent id exists from here on
    RETIRE = "retire"  # {}: it is gone for good and its name is free
    # {run, pid?, start_time_ticks?, cgroup_id?, …}: a run begins; durable first. With the figures
    # of the cgroups that are gone, as STOPPED has them, and run_base: its lifetime's counters.
    SPAWN = "spawn"
    STARTED = "started"  # {run, pid, …}: the agent's own program runs
    EXEC_FAILED = "exec_failed"  # {stage, errno}
    EXIT = "exit"  # {code|null, signal|null, cause, pid, run, crashed}
    RESTART = "restart"  # {attempt, max_restarts, delay_us, charged}; its SPAWN follows
    RESTART_DECAY = "restart_decay"  # {}: a stable run cleared the limiter's counter
    FAULT = "fault"  # {fault, severity, action, description, …}
    STOP = "stop"  # {by, cause}: somebody wants it to end
    # Both with its lifetime figures: cpu_time_us, syscall_count, peak_memory_bytes, and counters, a
    # list in the order of core/figures.py.
    STOPPED = "stopped"  # {…}: nothing of it runs any more
    FAILED = "failed"  # {reason, …}: it will not be started again unless by hand
    RESET = "reset"  # {by}
    POLICY_CHANGE = "policy_change"
    DAEMON_START = "daemon_start"  # {version}; the boot is the record's own
    DAEMON_STOP = "daemon_stop"  # {}
    RELOAD = "reload"  # {added, changed, removed}
    KEEPER_LOST = "keeper_lost"  # {}
    COMPACTION = "compaction"  # {through_seq, hash, base, before_realtime_ns}: store/compaction.py
    NOTE = "note"  # {text}


class EventFormatError(ValueError):
    """A record that is no event: an unknown shape, a reserved name, a value out of range."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `boot_id` is empty where nobody knows it."""

    type: EventType
    agent_id: int
    timestamp_us: int
    realtime_ns: int
    data: Mapping[str, Value] = field(default_factory=dict)
    boot_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the flat form that the socket, the FUSE tree and --json show."""
        record: dict[str, Any] = {
            "type": self.type.value,
            "agent_id": self.agent_id,
            "timestamp_us": self.timestamp_us,
            "time": rfc3339(self.realtime_ns),
        }
        if self.boot_id:
            record["boot_id"] = self.boot_id
        record.update(self.data)
        return record


def event_from_json(record: Mapping[str, Any]) -> Event:
    """Read what Event.to_json wrote; a type that a newer version knows becomes a note of it.

    Raises EventFormatError when it is no event.
    """
    try:
        word, agent_id, timestamp_us = record["type"], record["agent_id"], record["timestamp_us"]
        realtime_ns = parse_rfc3339(record["time"]) if "time" in record else 0
        boot_id = record.get("boot_id", "")
    except (KeyError, TypeError, AttributeError) as error:
        raise EventFormatError(f"no event: {error!r}") from error
    data = {key: value for key, value in record.items() if key not in RESERVED}
    if not isinstance(word, str) or not isinstance(boot_id, str):
        raise EventFormatError(f"no event: type {word!r}, boot_id {boot_id!r}")
    try:
        kind = EventType(word)
    except ValueError:  # the daemon that we ask is newer than we are
        kind = EventType.NOTE
        data["text"] = f"{word} (of a newer version)"
    event = Event(kind, agent_id, timestamp_us, realtime_ns, data, boot_id)
    data_text(event)
    return event


def data_text(event: Event) -> str:
    """Check all of an event and return its data as canonical JSON. Raises EventFormatError."""
    for name, value, maximum in (
        ("agent_id", event.agent_id, AGENT_ID_MAX),
        ("timestamp_us", event.timestamp_us, INTEGER_MAX),
        ("realtime_ns", event.realtime_ns, INTEGER_MAX),
    ):
        # bool is an int to isinstance, and no id; JSON from elsewhere may hold anything here.
        if type(value) is not int or not 0 <= value <= maximum:
            raise EventFormatError(f"{name} {value!r} is no integer from 0 to {maximum}")
    if not isinstance(event.type, EventType):
        raise EventFormatError(f"{event.type!r} is no event type")
    if not _BOOT_ID.fullmatch(event.boot_id):
        raise EventFormatError(f"{event.boot_id!r} is no boot id")
    data = event.data
    if not RESERVED.isdisjoint(data):
        raise EventFormatError(f"data of {event.type} may not hold {sorted(RESERVED & set(data))}")
    for name, item in data.items():
        if item is None or isinstance(item, str | int):
            continue  # nearly always
        if isinstance(item, list | tuple):
            if any(isinstance(part, list | tuple | dict) for part in item):
                raise EventFormatError(f"{name} of {event.type} is a list of more than scalars")
        elif isinstance(item, dict):
            raise EventFormatError(f"{name} of {event.type} is neither scalar nor list")
    try:
        text = canonical_json(data if type(data) is dict else dict(data))
    except CanonicalError as error:
        raise EventFormatError(f"data of {event.type}: {error}") from error
    if len(text) > DATA_MAX_CHARACTERS:
        raise EventFormatError(f"data of {event.type} is {len(text)} characters long")
    return text


def rfc3339(realtime_ns: int) -> str:
    """Return the instant in UTC with nine digits, so that it can be read back exactly."""
    # 64 bits of nanoseconds end in 2262, long before years of five digits.
    seconds, fraction_ns = divmod(realtime_ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction_ns:09d}Z"


def parse_rfc3339(text: str) -> int:
    """Return the nanoseconds since 1970 of what rfc3339 wrote. Raises EventFormatError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise EventFormatError(f"{text!r} is no RFC 3339 time in UTC")
    try:
        since = datetime.fromisoformat(f"{match[1]}+00:00") - _EPOCH
    except ValueError as error:
        raise EventFormatError(f"{text!r}: {error}") from error
    return (since.days * 86_400 + since.seconds) * _NS + int((match[2] or "").ljust(9, "0"))


def describe(event: Event) -> str:
    """Return the sentence that people read: "Agent 103 exited (code 0)"."""
    if event.agent_id:
        return f"Agent {event.agent_id} {_clause(event)}"
    clause = _clause(event)
    # Of the system itself only notes and a few others are told; these speak for themselves.
    return clause if event.type in _SYSTEM_SENTENCES else f"System {clause}"


_SYSTEM_SENTENCES = frozenset(
    {
        EventType.DAEMON_START, EventType.DAEMON_STOP, EventType.RELOAD, EventType.KEEPER_LOST,
        EventType.COMPACTION, EventType.NOTE,
    }
)  # fmt: skip


def _clause(event: Event) -> str:
    data = event.data
    match event.type:
        case EventType.REGISTER:
            return f"registered as {data.get('name', '?')}"
        case EventType.RETIRE:
            return "retired"
        case EventType.SPAWN:
            return "spawned"
        case EventType.STARTED:
            return "started"
        case EventType.EXEC_FAILED:
            return f"could not be executed ({data.get('stage', '?')}: {_errno(data.get('errno'))})"
        case EventType.EXIT:
            return f"exited ({_status(data)})"
        case EventType.RESTART:
            return f"restarted ({_attempt(data)})"
        case EventType.RESTART_DECAY:
            return "ran stably: its restarts are forgiven"
        case EventType.FAULT:
            return f"fault: {data.get('description') or data.get('fault', 'unknown')}"
        case EventType.STOP:
            return f"is stopping{_by(data)}"
        case EventType.STOPPED:
            return "stopped"
        case EventType.FAILED:
            return f"failed: {data.get('reason', 'unknown')}"
        case EventType.RESET:
            return f"was reset{_by(data)}"
        case EventType.POLICY_CHANGE:
            return f"policy changed{_by(data)}"
        case EventType.DAEMON_START:
            return f"Supervisor started (version {data.get('version', '?')})"
        case EventType.DAEMON_STOP:
            return "Supervisor stopped"
        case EventType.RELOAD:
            parts = (f"{_count(data.get(word))} {word}" for word in ("added", "changed", "removed"))
            return f"Configuration reloaded ({', '.join(parts)})"
        case EventType.KEEPER_LOST:
            return "Keeper lost"
        case EventType.COMPACTION:
            return f"Journal compacted (events up to {data.get('through_seq', '?')} removed)"
        case EventType.NOTE:
            return str(data.get("text", ""))
        case _:
            assert_never(event.type)


def _status(data: Mapping[str, Value]) -> str:
    if data.get("code") is not None:
        return f"code {data['code']}"
    if data.get("signal") is not None:
        return f"signal {data['signal']}"
    return "status unknown"


def _attempt(data: Mapping[str, Value]) -> str:
    limit = data.get("max_restarts")
    attempt = f"attempt {data.get('attempt', '?')}"
    return attempt if limit is None else f"{attempt}/{limit}"


def _by(data: Mapping[str, Value]) -> str:
    return f" (by {data['by']})" if data.get("by") else ""


def _errno(number: Value) -> str:
    return errno.errorcode.get(number, str(number)) if isinstance(number, int) else str(number)


def _count(value: Value) -> int:
    """Return how many a reload names, whether as a list or as a number."""
    if isinstance(value, int):
        return int(value)
    return len(value) if isinstance(value, list | tuple) else 0
