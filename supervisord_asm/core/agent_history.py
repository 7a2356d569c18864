"""What the record says of one agent: its row of the history, and the row as JSON. Pure values.

Only core/history.py's fold changes a row. `state` is the last that the record shows, not what is
true: a daemon that died knows no more, and whoever takes over compares with what it finds. None
means that the record does not say, never 0.

Times in _us are CLOCK_BOOTTIME of the boot in which they were taken, `boot_id` for the run; the
times in _realtime_ns beside them hold across boots.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from supervisord_asm.core.events import Event, event_from_json

RECENT_FAULTS_MAX = 10  # spec/asm.md 1.6

# Of the words of core/lifecycle.State and CONTRACT ("Values"), those that a record can leave.
STOPPED = "stopped"
STARTING = "starting"
ACTIVE = "active"
STOPPING = "stopping"
BACKOFF = "backoff"
FAILED = "failed"


@dataclass(slots=True)
class AgentHistory:
    """What the record says of one agent. Times in _us are of the boot `boot_id`."""

    agent_id: int
    name: str = ""  # empty: never registered
    state: str = STOPPED
    alive: bool = False  # between a SPAWN and its EXIT
    retired: bool = False
    retired_realtime_ns: int | None = None
    spawn_count: int = 0
    exit_count: int = 0
    crash_count: int = 0
    fault_count: int = 0
    total_restarts: int = 0
    restart_count: int = 0
    last_spawn_us: int | None = None
    last_spawn_realtime_ns: int | None = None
    last_exit_us: int | None = None
    last_exit_realtime_ns: int | None = None
    last_exit_code: int | None = None
    last_exit_signal: int | None = None
    last_exit_cause: str | None = None
    last_exit_run: int | None = None  # an exit told again (run <= this) is already recorded
    # The identity of the current run: never the pid alone.
    pid: int | None = None
    start_time_ticks: int | None = None
    run: int = 0
    cgroup_id: int | None = None
    boot_id: str = ""
    transient: bool = False  # made by `asmctl run`, in no file
    # Lifetime figures, as of its last end; None before the first.
    cpu_time_us: int | None = None
    syscall_count: int | None = None
    peak_memory_bytes: int | None = None
    recent_faults: deque[Event] = field(default_factory=lambda: deque(maxlen=RECENT_FAULTS_MAX))


AGENT_FIELDS = tuple(item.name for item in fields(AgentHistory))
_values = attrgetter(*AGENT_FIELDS)


def agent_to_record(agent: AgentHistory) -> dict[str, Any]:
    """Return the row as JSON: every field under its name, the faults oldest first."""
    record = dict(zip(AGENT_FIELDS, _values(agent), strict=True))
    record["recent_faults"] = [fault.to_json() for fault in agent.recent_faults]
    return record


def agent_from_record(record: Mapping[str, Any]) -> AgentHistory:
    """Read what agent_to_record made. Raises KeyError, TypeError or EventFormatError."""
    known = {name: record[name] for name in AGENT_FIELDS}
    faults = map(event_from_json, known["recent_faults"])
    known["recent_faults"] = deque(faults, RECENT_FAULTS_MAX)
    return AgentHistory(**known)
