"""What the agents use, over the sampler's windows: the live side of core/resource_monitor.py.

Rates over the last 5, 10 and 60 seconds are kept for everybody who shows them. Each second they are
summed anew for the agents that ran and for those whose rates are still falling; an agent that has
been idle for a minute costs nothing.

Windows are those of the agent's present cgroup: an agent that is stopped has none, and one that was
killed and restarted begins anew (docs/decisions/0010).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from supervisord_asm.core.resource_monitor import Lifetime, Monitor, Usage
from supervisord_asm.core.resources import Rates, Window, sum_rates
from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.kernel.sampler import Row, Sampler

SECONDS_SHOWN = (5, 10, 60)
NOTHING_RUNS = tuple(map(Rates, SECONDS_SHOWN))


class AgentUsage(Usage):
    """One agent of the fleet, as it stands now."""

    def __init__(self, agent: Agent, view: AgentView, sampler: Sampler) -> None:
        self._agent = agent
        self._view = view
        self._sampler = sampler

    def history(self) -> list[Window]:
        """Return the closed windows, at most 60, oldest first; none when nothing of it runs."""
        slot = self._agent.slot
        return [] if slot is None else self._sampler.windows(slot)

    def current_memory(self) -> int | None:
        """Return the bytes in use, as last measured."""
        return self._view.memory_bytes

    def peak_memory(self) -> int | None:
        """Return the most bytes that were ever in use, over all runs."""
        return self._view.peak_memory_bytes

    def lifetime_stats(self) -> Lifetime:
        """Return (CPU time in microseconds, syscalls, read and write calls) over all runs."""
        return self._view.cpu_time_us, self._view.syscall_count, self._view.io_ops


class LiveMonitor(Monitor[AgentUsage]):
    """All agents of the fleet."""

    def __init__(
        self, fleet: Fleet, view_of: Callable[[Agent], AgentView], sampler: Sampler
    ) -> None:
        self._fleet = fleet
        self._view_of = view_of
        self._sampler = sampler
        self._rates: dict[int, tuple[Rates, ...]] = {}
        self._falling: set[int] = set()

    def get_agent(self, agent_id: int) -> AgentUsage | None:
        """Return one agent; None: it is not in the fleet."""
        agent = self._fleet.get(agent_id)
        return None if agent is None else self._usage(agent)

    def all_agents(self) -> Iterator[AgentUsage]:
        """Return every agent of the fleet."""
        return map(self._usage, self._fleet)

    def take(self, changed: Iterable[Row]) -> None:
        """A pass is over: sum anew for those that ran, and those whose rates are not zero yet."""
        for agent_id in [known for known in self._rates if not self._runs(known)]:
            del self._rates[agent_id]
        ids = {row.agent_id for row in changed} | self._falling
        agents = [agent for agent in map(self._fleet.get, ids) if agent is not None]
        self._falling.clear()
        for agent, rates in zip(agents, self.rates(agents, SECONDS_SHOWN), strict=True):
            if agent.slot is None:
                continue
            if any(map(_is_some, rates)):
                self._falling.add(agent.agent_id)
            # The same object for the same figures: whoever shows them sees that nothing changed.
            if self._rates.get(agent.agent_id) != rates:
                self._rates[agent.agent_id] = rates

    def rates(self, agents: Sequence[Agent], seconds: Sequence[int]) -> list[tuple[Rates, ...]]:
        """Return each agent's rates over the last windows, one for each number of seconds."""
        running = [agent.slot for agent in agents if agent.slot is not None]
        found = iter(self._sampler.spans(running, seconds))
        nothing_runs = tuple(map(Rates, seconds))
        return [
            nothing_runs if agent.slot is None else tuple(span.rates() for span in next(found))
            for agent in agents
        ]

    def rates_shown(self, agent_id: int) -> tuple[Rates, ...]:
        """Return an agent's rates of the last pass; without figures when nothing of it runs."""
        return self._rates.get(agent_id, NOTHING_RUNS)

    def system_rates(self) -> list[Rates]:
        """Return the sums of all agents' rates of the last pass."""
        return [
            sum_rates(seconds, [rates[index] for rates in self._rates.values()])
            for index, seconds in enumerate(SECONDS_SHOWN)
        ]

    def system_cpu_usage(self, last: int) -> int:
        """Return the sum of the agents' CPU use over the last windows."""
        rates = self.rates(list(self._fleet), (last,))
        return sum(agent[0].cpu_percent_milli or 0 for agent in rates)

    def _runs(self, agent_id: int) -> bool:
        agent = self._fleet.get(agent_id)
        return agent is not None and agent.slot is not None

    def _usage(self, agent: Agent) -> AgentUsage:
        return AgentUsage(agent, self._view_of(agent), self._sampler)


def _is_some(rates: Rates) -> bool:
    """Whether anything was used."""
    return any((rates.cpu_percent_milli, rates.syscall_rate, rates.io_rate, rates.network_rate))
