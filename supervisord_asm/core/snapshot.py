"""What everybody sees at one instant: the system, its agents, the newest events. Pure values.

The daemon builds one Snapshot per tick and never changes it; the socket, the FUSE tree, the CLI and
the exporters all read the same one, so no two of them can disagree. Here live the nouns and their
JSON form, nothing else: how they look as text is view/'s business, how they came to be daemon/'s.

Rules of the values:

- None means "not known here" (no source, not yet, not applicable) and is never replaced by 0:
  a figure whose source is off is absent, a counter that counted nothing is 0.
- Times are CLOCK_BOOTTIME microseconds, so they are comparable on one host across suspend.
- `cpu_percent_milli` is thousandths of a percent of one core: 100000 is one core, fully used.
- Reading JSON ignores keys that it does not know and fills absent ones with the field's default:
  the CLI and the daemon may be one version apart during an upgrade.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from supervisord_asm.core.events import Event

# Every value that AgentView.state can take (../shared/spec/CONTRACT.md, "Values").
STATES = (
    "starting", "active", "throttled", "frozen", "stopping", "stopped", "backoff", "failed",
)  # fmt: skip

# The limits that an agent can have, in the order in which people read them, each with the key
# under which AgentView.mechanisms tells how it is enforced.
LIMIT_MECHANISMS = {
    "cpu_quota_us": "cpu",
    "memory_limit_bytes": "memory",
    "pids_max": "pids",
    "syscall_rate_limit": "syscalls",
    "watchdog_timeout_us": "watchdog",
    "wall_timeout_us": "wall",
}


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent as it stood at the snapshot's instant."""

    agent_id: int
    name: str
    state: str
    pid: int | None = None
    capabilities: tuple[str, ...] = ()
    auto_restart: bool = False
    max_restarts: int = 0
    # The limiter's counter: decays after a stable run and is cleared by `reset`.
    restart_count: int = 0
    spawn_count: int = 0
    exit_count: int = 0
    crash_count: int = 0
    fault_count: int = 0
    # The lifetime counter: only ever grows. Not the limiter's.
    total_restarts: int = 0
    # Counters (core/figures.py) are of the agent's lifetime, over all runs; `run` has those of the
    # present run, or the last one, by the same names.
    cpu_time_us: int | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    syscall_count: int | None = None
    # Of the syscalls: the read and write families.
    io_ops: int | None = None
    process_count: int | None = None
    fork_count: int | None = None
    exec_count: int | None = None
    process_exit_count: int | None = None
    memory_anon_bytes: int | None = None
    memory_shmem_bytes: int | None = None
    memory_file_bytes: int | None = None
    thread_count: int | None = None
    block_read_bytes: int | None = None
    block_write_bytes: int | None = None
    network_receive_bytes: int | None = None
    network_transmit_bytes: int | None = None
    page_fault_count: int | None = None
    major_fault_count: int | None = None
    context_switch_count: int | None = None
    socket_count: int | None = None
    cpu_pressure_us: int | None = None
    memory_pressure_us: int | None = None
    io_pressure_us: int | None = None
    run: Mapping[str, int | None] = field(default_factory=dict)
    # Over the last closed one-second window.
    cpu_percent_milli: int | None = None
    syscall_rate: int | None = None
    last_exit_code: int | None = None
    last_exit_signal: int | None = None
    last_exit_cause: str | None = None
    last_activity_us: int | None = None
    # What it says of itself: over all runs, but for the last three, which are of this one.
    heartbeat_count: int = 0
    tool_call_count: int = 0
    tool_credits_milli: int = 0
    tool_tokens: int = 0
    last_heartbeat_us: int | None = None
    notify_state: str | None = None  # "ready" or "stopping"
    notify_status: str | None = None
    started_us: int | None = None
    cgroup: str | None = None
    user: str = ""
    uid: int | None = None
    log_path: str = ""
    # Records lost, by cause, that may be missing in its figures: its log lines, and what could not
    # be counted on this host, since the kernel does not say whose that was. Without zeros.
    drops: Mapping[str, int] = field(default_factory=dict)
    mechanisms: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int | None] = field(default_factory=dict)
    # Over for good: kept for 24 h so that people can still ask how it went.
    ended: bool = False


@dataclass(frozen=True, slots=True)
class SystemView:
    """The totals over all agents, and how the daemon itself stands."""

    total_spawns: int = 0
    total_exits: int = 0
    total_crashes: int = 0
    total_faults: int = 0
    total_restarts: int = 0
    active_agents: int = 0
    total_syscalls: int | None = None
    events_total: int = 0
    agents_total: int = 0
    # Records lost, by where they were lost. Zero entries may be absent.
    drops: Mapping[str, int] = field(default_factory=dict)
    # The mechanism in force, by subject.
    tier: Mapping[str, str] = field(default_factory=dict)
    # One sentence for each thing that is off or worse than it should be.
    degraded: tuple[str, ...] = ()
    version: str = ""
    boot_id: str = ""
    uptime_us: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one instant. `agents` is sorted by id, `recent_events` is newest first."""

    timestamp_us: int
    system: SystemView
    agents: tuple[AgentView, ...] = ()
    recent_events: tuple[Event, ...] = ()


AGENT_FIELDS = tuple(item.name for item in fields(AgentView))
SYSTEM_FIELDS = tuple(item.name for item in fields(SystemView))
# dataclasses.asdict copies deeply and costs ten times as much; 1,000 agents are listed at a time.
_agent_values = attrgetter(*AGENT_FIELDS)
_system_values = attrgetter(*SYSTEM_FIELDS)


class SnapshotFormatError(ValueError):
    """A JSON object is not what the name says: a required key is missing or is of another kind."""


def agent_to_json(view: AgentView) -> dict[str, Any]:
    """Return the view as one JSON object, every field under its own name."""
    record = dict(zip(AGENT_FIELDS, _agent_values(view), strict=True))
    # A read-only mapping is no dict to the json module.
    record["run"] = dict(view.run)
    record["mechanisms"] = dict(view.mechanisms)
    record["limits"] = dict(view.limits)
    record["drops"] = dict(view.drops)
    return record


def system_to_json(view: SystemView) -> dict[str, Any]:
    """Return the view as one JSON object, every field under its own name."""
    record = dict(zip(SYSTEM_FIELDS, _system_values(view), strict=True))
    record["drops"] = dict(view.drops)
    record["tier"] = dict(view.tier)
    return record


def agent_from_json(record: Mapping[str, Any]) -> AgentView:
    """Read what agent_to_json wrote. Raises SnapshotFormatError without id, name or state."""
    try:
        known = {name: record[name] for name in AGENT_FIELDS if name in record}
        known["capabilities"] = tuple(known.get("capabilities") or ())
        return AgentView(**known)
    except (TypeError, KeyError) as error:
        raise SnapshotFormatError(f"not an agent: {error}") from error


def system_from_json(record: Mapping[str, Any]) -> SystemView:
    """Read what system_to_json wrote. Raises SnapshotFormatError when it is no object."""
    try:
        known = {name: record[name] for name in SYSTEM_FIELDS if name in record}
        known["degraded"] = tuple(known.get("degraded") or ())
        return SystemView(**known)
    except (TypeError, KeyError) as error:
        raise SnapshotFormatError(f"not a system: {error}") from error
