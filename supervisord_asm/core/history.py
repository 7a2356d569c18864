"""What the events add up to: the fold from events to counts, names and last known states. Pure.

`apply` is the only thing that changes a History, and it is the only fold there is: the daemon runs
it as things happen, the journal's writer runs it for its derived tables, and replay runs it over
the stored events. So the three can disagree only when the events do.

Rules.
1. The fold never fails. An event for an unknown agent counts in the totals and makes a row only
   where it proves that the agent exists (register, spawn, fault); a missing or odd field of `data`
   counts as not known.
2. It never asks whether an event should have happened. Deciding is core/lifecycle.py's.
3. Counters count what is recorded, once per event, and never go down. `restart_count` is no
   counter but the limiter's state, mirrored so that a restart of the daemon does not forgive.

Invariants. No id is given out twice: `next_agent_id` is above every id ever seen, and stays when
rows go. A name belongs to at most one agent that is not retired; registering it for another retires
the one that held it. A retired agent keeps its row until a compaction forgets it together with its
events, or until more than RETIRED_MAX are retired: then the RETIRED_BATCH oldest go, by the time of
their retirement, and what they add to the sum of syscalls is kept. `changed` holds the ids whose
rows differ since whoever reads it last cleared it.

RESTART puts the agent into backoff; a SPAWN from any other state was asked for by somebody, and
clears the limiter's count, as core/lifecycle.py does.

Sources: spec/asm.md 1.4 and 1.6; ../shared/spec/DECISIONS.md, "Lifecycle" and "Telemetry".
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from supervisord_asm.core.agent_history import (
    ACTIVE,
    BACKOFF,
    FAILED,
    RECENT_FAULTS_MAX,
    STARTING,
    STOPPED,
    STOPPING,
    AgentHistory,
)
from supervisord_asm.core.events import Event, EventType, Value
from supervisord_asm.core.figures import Figures, raised, restored

__all__ = ["AgentHistory", "History", "apply", "copy_history"]

FIRST_DYNAMIC_ID = 1_000  # spec/asm.md 1.1: below are ids that people give
RECENT_MAX = 1_024  # spec/asm.md 1.6: the ring of the guide
# A host that runs 100,000 short agents a day must not grow by a row for each. Their events stay.
RETIRED_MAX = 1_024
RETIRED_BATCH = 256


@dataclass(slots=True)
class History:
    """What the record says of everything. Changed by `apply` only."""

    total_spawns: int = 0
    total_exits: int = 0
    total_crashes: int = 0
    total_faults: int = 0
    total_restarts: int = 0
    events_total: int = 0
    next_agent_id: int = FIRST_DYNAMIC_ID
    syscalls_forgotten: int = 0  # of the rows that went because too many were retired
    agents: dict[int, AgentHistory] = field(default_factory=dict)
    ids_by_name: dict[str, int] = field(default_factory=dict)
    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))  # oldest first
    changed: set[int] = field(default_factory=set, compare=False)
    retired_rows: int = field(default=0, compare=False)  # how many of `agents` are retired

    @property
    def active_agents(self) -> int:
        """Return how many agents live, as far as the record knows."""
        return sum(agent.alive for agent in self.agents.values())

    def syscalls_beside(self, present: Container[int]) -> int:
        """Return the syscalls of all agents ever whose ids are not among `present`."""
        gone = (agent for agent in self.agents.values() if agent.agent_id not in present)
        return self.syscalls_forgotten + sum(agent.syscall_count or 0 for agent in gone)


def apply(history: History, event: Event) -> None:
    """Fold one event into the history."""
    history.events_total += 1
    history.recent.append(event)
    agent_id = event.agent_id
    if agent_id >= history.next_agent_id:
        history.next_agent_id = agent_id + 1
    on_system = _ON_SYSTEM.get(event.type)
    if on_system is not None:
        on_system(history, event)
    on_agent = _ON_AGENT.get(event.type)
    if on_agent is None or agent_id == 0:
        return
    agent = history.agents.get(agent_id)
    if agent is None:
        if event.type not in _PROVES_EXISTENCE:
            return
        agent = history.agents[agent_id] = AgentHistory(agent_id)
    history.changed.add(agent_id)
    on_agent(history, agent, event)


def copy_history(history: History) -> History:
    """Return a history that shares nothing changeable with this one."""
    agents = {agent_id: replace(agent) for agent_id, agent in history.agents.items()}
    return replace(
        history,
        agents=agents,
        ids_by_name=dict(history.ids_by_name),
        recent=deque(history.recent, RECENT_MAX),
        changed=set(history.changed),
    )


# -- Totals: counted also for agents that have no row.


def _count_spawn(history: History, event: Event) -> None:
    history.total_spawns += 1


def _count_exit(history: History, event: Event) -> None:
    history.total_exits += 1
    history.total_crashes += is_crash(event.data)


def _count_fault(history: History, event: Event) -> None:
    history.total_faults += 1


def _count_restart(history: History, event: Event) -> None:
    history.total_restarts += 1


def _forget(history: History, event: Event) -> None:
    """Drop the agents that were retired before the compaction's cutoff: nothing grows for ever."""
    before = _integer(event.data, "before_realtime_ns")
    if before is None:
        return
    for agent in list(history.agents.values()):
        if agent.retired_realtime_ns is not None and agent.retired_realtime_ns < before:
            _drop(history, agent)


# -- One agent's row.


def _register(history: History, agent: AgentHistory, event: Event) -> None:
    name = _text(event.data, "name") or ""
    if agent.name != name:
        _release_name(history, agent)
    agent.name = name
    agent.transient = event.data.get("transient") is True
    # An id that an operator spells in the configuration may come back; given-out ones do not.
    history.retired_rows -= agent.retired
    agent.retired, agent.retired_realtime_ns = False, None
    if not name:
        return
    holder = history.agents.get(history.ids_by_name.get(name, 0))
    if holder is not None and holder is not agent:
        _retire(history, holder, event)
        history.changed.add(holder.agent_id)
    history.ids_by_name[name] = agent.agent_id


def _retire(history: History, agent: AgentHistory, event: Event) -> None:
    _release_name(history, agent)
    history.retired_rows += not agent.retired
    agent.retired, agent.retired_realtime_ns = True, event.realtime_ns
    if history.retired_rows > RETIRED_MAX:
        for old in oldest_retired(history.agents.values()):
            history.syscalls_forgotten += old.syscall_count or 0
            _drop(history, old)


def oldest_retired(agents: Iterable[AgentHistory]) -> list[AgentHistory]:
    """Return the RETIRED_BATCH rows that go first. By their own values, so that a history that was
    read from its tables drops what the one that wrote them would have dropped."""
    retired = [agent for agent in agents if agent.retired]
    retired.sort(key=lambda agent: (agent.retired_realtime_ns or 0, agent.agent_id))
    return retired[:RETIRED_BATCH]


def _drop(history: History, agent: AgentHistory) -> None:
    del history.agents[agent.agent_id]
    history.retired_rows -= agent.retired
    history.changed.add(agent.agent_id)


def _release_name(history: History, agent: AgentHistory) -> None:
    if history.ids_by_name.get(agent.name) == agent.agent_id:
        del history.ids_by_name[agent.name]


def _spawn(history: History, agent: AgentHistory, event: Event) -> None:
    agent.spawn_count += 1
    agent.last_spawn_us, agent.last_spawn_realtime_ns = event.timestamp_us, event.realtime_ns
    if agent.state != BACKOFF:
        agent.restart_count = 0
    agent.state = STARTING
    agent.alive = True
    run = _integer(event.data, "run")
    agent.run = agent.run + 1 if run is None else run
    agent.pid = agent.start_time_ticks = agent.cgroup_id = None
    agent.boot_id = event.boot_id
    _identify(agent, event)
    _measure(agent, event)  # given where a life begins in a new cgroup
    agent.run_base = _counters(event.data, "run_base") or ()


def _started(history: History, agent: AgentHistory, event: Event) -> None:
    if agent.state == STARTING:
        agent.state = ACTIVE
    _identify(agent, event)


def _identify(agent: AgentHistory, event: Event) -> None:
    pid = _integer(event.data, "pid")
    start_time_ticks = _integer(event.data, "start_time_ticks")
    cgroup_id = _integer(event.data, "cgroup_id")
    agent.pid = agent.pid if pid is None else pid
    agent.start_time_ticks = (
        agent.start_time_ticks if start_time_ticks is None else start_time_ticks
    )
    agent.cgroup_id = agent.cgroup_id if cgroup_id is None else cgroup_id


def _exit(history: History, agent: AgentHistory, event: Event) -> None:
    agent.exit_count += 1
    agent.crash_count += is_crash(event.data)
    agent.last_exit_us, agent.last_exit_realtime_ns = event.timestamp_us, event.realtime_ns
    agent.last_exit_code = _integer(event.data, "code")
    agent.last_exit_signal = _integer(event.data, "signal")
    agent.last_exit_cause = _text(event.data, "cause")
    run = _integer(event.data, "run")
    agent.last_exit_run = agent.run if run is None else run
    agent.state = STOPPING  # what is left in its cgroup ends next
    _end(agent)


def _end(agent: AgentHistory) -> None:
    agent.alive = False
    agent.pid = agent.start_time_ticks = None


def _restart(history: History, agent: AgentHistory, event: Event) -> None:
    agent.total_restarts += 1
    attempt = _integer(event.data, "attempt")
    agent.restart_count = agent.restart_count + 1 if attempt is None else attempt
    agent.state = BACKOFF


def _forgive(history: History, agent: AgentHistory, event: Event) -> None:
    agent.restart_count = 0
    if event.type is EventType.RESET and agent.state == FAILED:
        agent.state = STOPPED


def _fault(history: History, agent: AgentHistory, event: Event) -> None:
    agent.fault_count += 1
    agent.recent_faults = (*agent.recent_faults, event)[-RECENT_FAULTS_MAX:]


def _stop(history: History, agent: AgentHistory, event: Event) -> None:
    if agent.state not in (STOPPED, FAILED):
        agent.state = STOPPING


def _stopped(history: History, agent: AgentHistory, event: Event) -> None:
    agent.state = STOPPED
    _end(agent)
    _measure(agent, event)


def _failed(history: History, agent: AgentHistory, event: Event) -> None:
    agent.state = FAILED
    _end(agent)
    _measure(agent, event)


def _measure(agent: AgentHistory, event: Event) -> None:
    """Take its lifetime figures. They only grow: a missing one takes nothing away."""
    for name in ("cpu_time_us", "syscall_count", "peak_memory_bytes"):
        figure = _integer(event.data, name)
        if figure is not None:
            setattr(agent, name, max(getattr(agent, name) or 0, figure))
    counters = _counters(event.data, "counters")
    if counters is not None:
        agent.counters = raised(agent.counters, counters) if agent.counters else counters


_ON_SYSTEM: Mapping[EventType, Callable[[History, Event], None]] = {
    EventType.SPAWN: _count_spawn,
    EventType.EXIT: _count_exit,
    EventType.FAULT: _count_fault,
    EventType.RESTART: _count_restart,
    EventType.COMPACTION: _forget,
}
_ON_AGENT: Mapping[EventType, Callable[[History, AgentHistory, Event], None]] = {
    EventType.REGISTER: _register,
    EventType.RETIRE: _retire,
    EventType.SPAWN: _spawn,
    EventType.STARTED: _started,
    EventType.EXIT: _exit,
    EventType.RESTART: _restart,
    EventType.RESTART_DECAY: _forgive,
    EventType.RESET: _forgive,
    EventType.FAULT: _fault,
    EventType.STOP: _stop,
    EventType.STOPPED: _stopped,
    EventType.FAILED: _failed,
}
# These only stand in the ring and the record.
RECORDED_ONLY = frozenset(EventType) - _ON_SYSTEM.keys() - _ON_AGENT.keys()
_PROVES_EXISTENCE = frozenset({EventType.REGISTER, EventType.SPAWN, EventType.FAULT})


# -- Reading data that may be missing or odd.


def is_crash(data: Mapping[str, Value]) -> bool:
    """Whether an exit counts as a crash: as recorded, else by the guide (signal or non-zero)."""
    crashed = data.get("crashed")
    if isinstance(crashed, bool):
        return crashed
    return _integer(data, "signal") is not None or _integer(data, "code") not in (0, None)


def _counters(data: Mapping[str, Value], name: str) -> Figures | None:
    stored = data.get(name)
    return restored(stored) if isinstance(stored, list | tuple) else None


def _integer(data: Mapping[str, Value], name: str) -> int | None:
    value = data.get(name)
    return value if type(value) is int else None


def _text(data: Mapping[str, Value], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None
