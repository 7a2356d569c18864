"""What the record says of one agent: its row of the history, and the row as JSON. Pure values.

Only core/history.py's fold changes a row. `state` is the last that the record shows, not what is
true: a daemon that died knows no more, and whoever takes over compares with what it finds. None
means that the record does not say, never 0.

Times in _us are CLOCK_BOOTTIME of the boot in which they were taken, `boot_id` for the run; the
times in _realtime_ns beside them hold across boots.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from supervisord_asm.core.events import Event, event_from_json
from supervisord_asm.core.figures import COUNTERS, ZERO, Figures

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
    # core/figures.py's counters; empty: never recorded. What its cgroups counted that are gone, or
    # all of them as of its last end; and its lifetime as the run began.
    counters: Figures = ()
    run_base: Figures = ()
    recent_faults: tuple[Event, ...] = ()  # the newest RECENT_FAULTS_MAX, oldest first


AGENT_FIELDS = tuple(item.name for item in fields(AgentHistory))
_SINCE_VERSION_2 = ("counters", "run_base")
_values = attrgetter(*AGENT_FIELDS)


def counters_so_far(agent: AgentHistory) -> Figures:
    """Return what its cgroups counted up to the record; None where nothing is recorded."""
    if agent.counters:
        return agent.counters
    if not agent.spawn_count:
        return ZERO
    # A record of version 1, or of an agent whose figures were all 0.
    recorded = {"cpu_time_us": agent.cpu_time_us, "syscall_count": agent.syscall_count}
    return tuple(recorded.get(name) for name in COUNTERS)


def agent_to_record(agent: AgentHistory) -> dict[str, Any]:
    """Return the row as JSON: every field under its name, the faults oldest first."""
    record = dict(zip(AGENT_FIELDS, _values(agent), strict=True))
    record["counters"], record["run_base"] = list(agent.counters), list(agent.run_base)
    record["recent_faults"] = [fault.to_json() for fault in agent.recent_faults]
    return record


def agent_from_record(record: Mapping[str, Any]) -> AgentHistory:
    """Read what agent_to_record made. Raises KeyError, TypeError or EventFormatError."""
    known = {name: record[name] for name in AGENT_FIELDS if name not in _SINCE_VERSION_2}
    for name in _SINCE_VERSION_2:  # an older compaction's base does not have them
        known[name] = tuple(record.get(name, ()))
    faults = tuple(map(event_from_json, known["recent_faults"]))
    known["recent_faults"] = faults[-RECENT_FAULTS_MAX:]
    return AgentHistory(**known)
