"""Builds the one view that everybody reads: from the fleet, the history and the sampler's rows.

Views of agents are cached on the agent and built again only when its life, its spec or its figures
changed, so a thousand idle agents cost a list and not a thousand views a second.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from supervisord_asm.core import capability
from supervisord_asm.core.agent_history import counters_so_far
from supervisord_asm.core.figures import added, counters_of, named, since
from supervisord_asm.core.history import AgentHistory, History
from supervisord_asm.core.lifecycle import LIVING, State
from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView
from supervisord_asm.core.spec import LimitsSpec
from supervisord_asm.daemon.agent import Agent, Notified
from supervisord_asm.daemon.fleet import Fleet, restarts_by_itself
from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.sampler import Row, Sampler
from supervisord_asm.paths import Paths
from supervisord_asm.store.tallies import Tallies

# Ended agents stay visible this long (CONTRACT, "asmctl run").
ENDED_VISIBLE_US = 24 * 3600 * 1_000_000
RECENT_EVENTS = 1024


class Snapshots:
    """Makes a Snapshot on demand; cheap when nothing changed."""

    def __init__(
        self,
        *,
        paths: Paths,
        fleet: Fleet,
        history: History,
        sampler: Sampler,
        system: Callable[[], SystemView],
        tallies: Tallies,
        dropped_lines: Callable[[int], int],
    ) -> None:
        self._paths = paths
        self._fleet = fleet
        self._history = history
        self._sampler = sampler
        self._system = system
        self._tallies = tallies
        self._dropped_lines = dropped_lines
        self.uncounted: Mapping[str, int] = {}  # what no agent's figures hold, by cause
        self._rows: dict[int, Row] = {}
        self._ended: dict[int, AgentView] = {}

    def take_figures(self, rows: list[Row]) -> None:
        """Take the sampler's changed rows; the agents that they are of will be viewed anew."""
        for row in rows:
            self._rows[row.agent_id] = row
            agent = self._fleet.get(row.agent_id)
            if agent is not None:
                agent.view = None

    def take_drops(self, drops: Mapping[str, int]) -> None:
        """Take what could not be counted, by cause; if that is more, every agent is viewed anew."""
        uncounted = {cause: count for cause, count in drops.items() if count}
        if uncounted != self.uncounted:
            self.uncounted = uncounted
            for agent in self._fleet:
                agent.view = None

    def forget(self, agent_id: int) -> None:
        """Drop the row of an agent whose slot was given back."""
        self._rows.pop(agent_id, None)

    def view(self, agent: Agent) -> AgentView:
        """Return the agent's view, built if need be."""
        if agent.view is None:
            agent.view = self._build(agent)
        return agent.view

    def agents(self) -> tuple[AgentView, ...]:
        """Return every agent in the fleet, by rising id."""
        return tuple(sorted((self.view(a) for a in self._fleet), key=lambda view: view.agent_id))

    def ended(self, now_us: int) -> tuple[AgentView, ...]:
        """Return those that are in the history only, as long as they stay visible."""
        return tuple(
            self._ended_view(past)
            for past in self._history.agents.values()
            if self._fleet.get(past.agent_id) is None
            and past.last_exit_us is not None
            and now_us - past.last_exit_us < ENDED_VISIBLE_US
        )

    def snapshot(self) -> Snapshot:
        """Return everything as of now."""
        events = list(self._history.recent)
        events.reverse()
        return Snapshot(boottime_us(), self._system(), self.agents(), tuple(events))

    def _build(self, agent: Agent) -> AgentView:
        spec, life = agent.spec, agent.life
        past = self._history.agents.get(agent.agent_id) or AgentHistory(
            agent_id=agent.agent_id, name=agent.name
        )
        row = self._rows.get(agent.agent_id) if agent.slot is not None else None
        figures = _figures(agent, row)
        return AgentView(
            agent_id=agent.agent_id,
            name=agent.name,
            state=life.state.value,
            pid=life.pid if life.state in LIVING else None,
            capabilities=capability.names(spec.capabilities),
            auto_restart=restarts_by_itself(spec),
            max_restarts=spec.restart.max_restarts,
            restart_count=life.restart_count,
            **_counts(past),
            **figures,
            **self._said(agent, past),
            started_us=past.last_spawn_us if life.state in LIVING else None,
            cgroup=str(agent.cgroup.path) if agent.cgroup is not None else None,
            user=agent.user_name,
            uid=agent.uid,
            log_path=str(self._paths.logs / "agents" / f"{agent.name}.log"),
            drops=self._drops(agent),
            mechanisms=_mechanisms(spec.limits),
            limits=limits_of(spec.limits),
            ended=agent.is_transient and life.state in (State.STOPPED, State.FAILED),
        )

    def _said(self, agent: Agent, past: AgentHistory) -> dict[str, Any]:
        """Return what it said of itself: counts of all runs, the rest of this one."""
        tally = self._tallies.get(agent.agent_id)
        beat_us = tally.last_heartbeat_us
        is_of_this_run = beat_us is not None and beat_us >= (past.last_spawn_us or 0)
        said = agent.notified if agent.notified.run == agent.life.run else Notified()
        return {
            "heartbeat_count": tally.heartbeat_count,
            "tool_call_count": tally.tool_call_count,
            "tool_credits_milli": tally.tool_credits_milli,
            "tool_tokens": tally.tool_tokens,
            "last_heartbeat_us": beat_us if is_of_this_run else None,
            "notify_state": said.state,
            "notify_status": said.status,
        }

    def _drops(self, agent: Agent) -> Mapping[str, int]:
        lines = self._dropped_lines(agent.agent_id)
        if not lines:
            return self.uncounted  # one mapping for all agents, and mostly empty
        return {"log_lines": lines, **self.uncounted}

    def _ended_view(self, past: AgentHistory) -> AgentView:
        return AgentView(
            agent_id=past.agent_id,
            name=past.name,
            state=past.state if past.state in ("stopped", "failed") else "stopped",
            restart_count=past.restart_count,
            **_counts(past),
            **_lifetime(past),
            peak_memory_bytes=past.peak_memory_bytes,
            log_path=str(self._paths.logs / "agents" / f"{past.name}.log"),
            ended=True,
        )


def _lifetime(past: AgentHistory) -> dict[str, Any]:
    return dict(named(counters_so_far(past)))


def _counts(past: AgentHistory) -> dict[str, Any]:
    return {
        "spawn_count": past.spawn_count,
        "exit_count": past.exit_count,
        "crash_count": past.crash_count,
        "fault_count": past.fault_count,
        "total_restarts": past.total_restarts,
        "last_exit_code": past.last_exit_code,
        "last_exit_signal": past.last_exit_signal,
        "last_exit_cause": past.last_exit_cause,
    }


# Of an agent that has no cgroup nothing runs.
_AT_REST = {
    "memory_bytes": 0,
    "memory_anon_bytes": 0,
    "memory_shmem_bytes": 0,
    "memory_file_bytes": 0,
    "process_count": 0,
    "thread_count": 0,
    "socket_count": 0,
    "cpu_percent_milli": 0,
    "syscall_rate": 0,
}
_GAUGES = (*_AT_REST, "last_activity_us")
_gauges_of = attrgetter(*_GAUGES)


def _figures(agent: Agent, row: Row | None) -> dict[str, Any]:
    totals = agent.totals
    if row is None:
        counters, peak_bytes, gauges = totals.counters, totals.peak_memory_bytes, _AT_REST
    else:
        counters = added(totals.counters, counters_of(row))
        peak_bytes = max(totals.peak_memory_bytes, row.peak_memory_bytes or 0)
        gauges = dict(zip(_GAUGES, _gauges_of(row), strict=True))
    return {
        **named(counters),
        **gauges,
        "peak_memory_bytes": peak_bytes,
        "run": named(since(agent.run_base, counters)),
    }


def limits_of(limits: LimitsSpec) -> Mapping[str, int | None]:
    """Return the limits under the names that people are shown."""
    return {
        "cpu_quota_us": limits.cpu_quota_usec,
        "memory_limit_bytes": limits.memory_bytes,
        "pids_max": limits.pids_max,
        "syscall_rate_limit": limits.syscall_rate,
        "watchdog_timeout_us": limits.watchdog_usec,
        "wall_timeout_us": limits.wall_usec,
    }


def _mechanisms(limits: LimitsSpec) -> Mapping[str, str]:
    """Say how each limit is enforced. None is yet: said, not hoped (laws, ARCHITECTURE.md)."""
    off = "off (recorded; enforcement of limits is not built yet)"
    return {
        key: off
        for key, value in (
            ("cpu", limits.cpu_quota_usec),
            ("memory", limits.memory_bytes),
            ("pids", limits.pids_max),
            ("syscalls", limits.syscall_rate),
            ("watchdog", limits.watchdog_usec),
            ("wall", limits.wall_usec),
        )
        if value is not None
    }
