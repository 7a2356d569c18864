"""All agents together: what is taken twice, what points nowhere, what waits for itself.

Required cycles are an error that names the cycle; cycles through optional and peer edges are
allowed (DECISIONS.md, "Lifecycle"). Every fault is noted once, at the later of two places.
"""

from supervisord_asm.configuration.agent import LocatedAgent
from supervisord_asm.configuration.daemon import LocatedDaemon
from supervisord_asm.configuration.document import Mark
from supervisord_asm.configuration.errors import ConfigurationError
from supervisord_asm.configuration.suggestion import nearest
from supervisord_asm.core.spec import DependencyKind


def check_fleet(
    agents: list[LocatedAgent], daemon: LocatedDaemon, complete: bool
) -> list[ConfigurationError]:
    """Judge the agents together. `complete` = every file was read, so absence means absence."""
    errors = _members(agents, daemon) if complete else []
    errors += _taken_twice(agents)
    if complete:
        errors += _dangling(agents)
    errors += _required_cycles(agents)
    if len(agents) > daemon.spec.agents_max:
        over = agents[daemon.spec.agents_max]
        errors.append(
            _error(
                over,
                over.name_mark,
                f"{len(agents)} agents; agents_max is {daemon.spec.agents_max}",
                "fewer agents, or a larger agents_max in asm.yaml",
            )
        )
    return errors


def _error(agent: LocatedAgent, mark: Mark, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(agent.file, mark.line, mark.column, message, hint)


def _taken_twice(agents: list[LocatedAgent]) -> list[ConfigurationError]:
    errors: list[ConfigurationError] = []
    names: dict[str, LocatedAgent] = {}
    ids: dict[int, LocatedAgent] = {}
    for agent in agents:
        name, agent_id = agent.spec.name, agent.spec.agent_id
        first = names.setdefault(name, agent)
        if first is not agent:
            errors.append(
                _error(
                    agent,
                    agent.name_mark,
                    f'the name "{name}" is taken by {first.file}:{first.name_mark.line}',
                    "give one of the two another name",
                )
            )
        if agent_id is None:
            continue
        holder = ids.setdefault(agent_id, agent)
        if holder is not agent:
            errors.append(
                _error(
                    agent,
                    agent.id_mark,
                    f'the id {agent_id} is taken by "{holder.spec.name}" in '
                    f"{holder.file}:{holder.id_mark.line}",
                    "give one of the two another id, or none",
                )
            )
    return errors


def _dangling(agents: list[LocatedAgent]) -> list[ConfigurationError]:
    names = {agent.spec.name for agent in agents}
    errors: list[ConfigurationError] = []
    for agent in agents:
        for dependency, mark in zip(agent.spec.dependencies, agent.dependency_marks, strict=True):
            if dependency.on not in names:
                errors.append(
                    _error(
                        agent,
                        mark,
                        f'"{agent.spec.name}" depends on "{dependency.on}", which does not exist',
                        _other(dependency.on, names - {agent.spec.name}, "drop the dependency"),
                    )
                )
    return errors


def _other(name: str, names: set[str], otherwise: str) -> str:
    return nearest(name, names) or f"add that agent, or {otherwise}"


def _members(agents: list[LocatedAgent], daemon: LocatedDaemon) -> list[ConfigurationError]:
    names = {agent.spec.name for agent in agents}
    errors: list[ConfigurationError] = []
    grouped: dict[str, str] = {}
    for group in daemon.spec.groups:
        for member in group.members:
            mark = daemon.member_marks[group.name, member]
            place = (daemon.file, mark.line, mark.column)
            if member not in names:
                message = f'groups.{group.name} names "{member}", which does not exist'
                hint = _other(member, names, "drop the name")
                errors.append(ConfigurationError(*place, message, hint))
            elif grouped.setdefault(member, group.name) != group.name:
                message = f'"{member}" is in groups.{grouped[member]} and groups.{group.name}'
                errors.append(ConfigurationError(*place, message, "put it into one of them"))
    return errors


def _required_cycles(agents: list[LocatedAgent]) -> list[ConfigurationError]:
    """Find cycles of required edges; each once, told from its first member in name order."""
    by_name = {agent.spec.name: agent for agent in reversed(agents)}
    errors: list[ConfigurationError] = []
    finished: set[str] = set()
    for start in sorted(by_name):
        cycle = _cycle_from(start, by_name, finished)
        while cycle:
            pivot = cycle.index(min(cycle))
            ring = cycle[pivot:] + cycle[:pivot]
            agent = by_name[ring[0]]
            mark = next(
                mark
                for dependency, mark in zip(
                    agent.spec.dependencies, agent.dependency_marks, strict=True
                )
                if dependency.on == ring[1 % len(ring)]
            )
            errors.append(
                _error(
                    agent,
                    mark,
                    "a cycle of required dependencies: " + " -> ".join([*ring, ring[0]]),
                    "make one of them optional",
                )
            )
            finished.update(ring)
            cycle = _cycle_from(start, by_name, finished)
    return errors


def _cycle_from(
    start: str, agents: dict[str, LocatedAgent], finished: set[str]
) -> list[str] | None:
    """Walk required edges depth-first without recursion; return the names of a ring, or None."""
    if start in finished:
        return None
    path: list[str] = [start]
    pending: list[list[str]] = [_required(start, agents)]
    while path:
        if not pending[-1]:
            finished.add(path.pop())
            pending.pop()
            continue
        following = pending[-1].pop()
        if following in path:
            return path[path.index(following) :]
        if following in agents and following not in finished:
            path.append(following)
            pending.append(_required(following, agents))
    return None


def _required(name: str, agents: dict[str, LocatedAgent]) -> list[str]:
    return [
        dependency.on
        for dependency in agents[name].spec.dependencies
        if dependency.kind is DependencyKind.REQUIRED
    ]
