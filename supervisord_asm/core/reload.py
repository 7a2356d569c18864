"""What a reload would change: two configurations in, one plan out.

Pure: decides nothing about when or how, only what differs and whether a running agent can take it
as it runs. An agent is its name and, where the file gives one, its id: another name or another id
is another agent, so a rename is one removed and one added (ids that we handed out are never used
again; DECISIONS.md, "Identity and policy").

Every field of AgentSpec stands in exactly one of the tables below; a test walks them, so a new
field cannot be forgotten. `source` is in none: where a spec stands changes nothing.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, fields

from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import AgentSpec, LimitsSpec

IDENTITY = frozenset({"name", "agent_id"})

# Fixed by asm-exec between fork and exec, or by the one seccomp filter: a running process keeps
# them. The value is the reason that an operator is shown.
AT_EXEC: dict[str, str] = {
    "command": "another program",
    "user": "another user",
    "group": "another group",
    "working_directory": "another working directory",
    "environment": "another environment",
    "environment_pass": "another environment",
    "credentials": "other credentials",
    "umask": "another umask",
    "nice": "another nice value",
    "oom_score_adj": "another oom score",
    "unconfined": "confinement is set at exec",
    "doors": "doors are set up at exec",
    "allow": "the seccomp filter is installed at exec",
    "nested_sandbox": "the floor is set up at exec",
    "delegate": "the cgroup is handed over at exec",
}

# Taken up while the agent runs: by cgroup files and maps, or at the next event that they rule.
LIVE = frozenset(
    {
        "capabilities", "scope", "loopback", "audit", "start", "start_timeout_usec", "ready",
        "probe", "dependencies", "restart", "stop", "idle_timeout_usec", "watchdog", "limits",
        "recovery", "budget", "gateway", "logs", "risk", "purpose",
    }
)  # fmt: skip

# Of the limits, those that are rlimits: inherited at exec, each process has its own.
LIMITS_AT_EXEC = frozenset({"nofile", "core_bytes"})

# Of the daemon's record, what it looks at once, at its own start.
DAEMON_AT_START = frozenset({"paths", "uid_base", "uid_range", "agents_max", "probes", "tick_usec"})


class ChangeKind(enum.StrEnum):
    """How a changed agent takes its new spec."""

    LIVE = "live"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class AgentChange:
    """One agent whose spec differs. `reason` says why a restart is needed; "" when none is."""

    old: AgentSpec
    new: AgentSpec
    fields: tuple[str, ...]  # limits spelled out: limits.memory_bytes
    kind: ChangeKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """All differences; each tuple in the order of the new (or, if removed, the old) agents."""

    added: tuple[AgentSpec, ...] = ()
    removed: tuple[AgentSpec, ...] = ()
    changed: tuple[AgentChange, ...] = ()
    daemon_live: tuple[str, ...] = ()
    daemon_at_start: tuple[str, ...] = ()  # need a restart of asmd, which agents survive

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing differs."""
        return self == ReloadPlan()


def plan_reload(
    old_daemon: DaemonSpec,
    old_agents: Iterable[AgentSpec],
    new_daemon: DaemonSpec,
    new_agents: Iterable[AgentSpec],
) -> ReloadPlan:
    """Compare two configurations; names are unique in each."""
    old = {agent.name: agent for agent in old_agents}
    new = {agent.name: agent for agent in new_agents}
    kept = {name for name in new if name in old and _same_agent(old[name], new[name])}
    differing = [
        field.name
        for field in fields(DaemonSpec)
        if getattr(old_daemon, field.name) != getattr(new_daemon, field.name)
    ]
    return ReloadPlan(
        added=tuple(agent for name, agent in new.items() if name not in kept),
        removed=tuple(agent for name, agent in old.items() if name not in kept),
        changed=tuple(
            _change(old[name], agent)
            for name, agent in new.items()
            if name in kept and old[name] != agent
        ),
        daemon_live=tuple(name for name in differing if name not in DAEMON_AT_START),
        daemon_at_start=tuple(name for name in differing if name in DAEMON_AT_START),
    )


def _same_agent(old: AgentSpec, new: AgentSpec) -> bool:
    """Tell whether both mean one agent: an id that one of them leaves out is not another id."""
    return old.agent_id == new.agent_id or None in (old.agent_id, new.agent_id)


def _change(old: AgentSpec, new: AgentSpec) -> AgentChange:
    names: list[str] = []
    for field in fields(AgentSpec):
        if field.compare and getattr(old, field.name) != getattr(new, field.name):
            names += _limits(old.limits, new.limits) if field.name == "limits" else [field.name]
    reasons = [AT_EXEC[name] for name in names if name in AT_EXEC]
    reasons += [
        "another resource limit of the process"
        for name in names
        if name.removeprefix("limits.") in LIMITS_AT_EXEC
    ]
    kind = ChangeKind.RESTART if reasons else ChangeKind.LIVE
    return AgentChange(old, new, tuple(names), kind, ", ".join(dict.fromkeys(reasons)))


def _limits(old: LimitsSpec, new: LimitsSpec) -> list[str]:
    return [
        f"limits.{field.name}"
        for field in fields(LimitsSpec)
        if getattr(old, field.name) != getattr(new, field.name)
    ]
