"""The verbs RESOURCES and PROFILE: what agents used over time, and how long operations took."""

import errno
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from supervisord_asm.core.profiler import AgentProfiler, OperationStats, SystemProfiler
from supervisord_asm.core.resources import WINDOWS_MAX, Rates, sum_rates
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet, NoSuchAgent
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.request import Request, flag, text, whole, wholes
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.daemon.usage import SECONDS_SHOWN, LiveMonitor

Answer = dict[str, Any]
# An agent takes under 600 bytes with three spans, which is the most that may be asked for of all.
PAGE = 1000
SPANS_MAX = 3
AGENT_SPANS_MAX = WINDOWS_MAX


class Readings:
    """Answers both verbs. Every method runs in the loop."""

    def __init__(
        self, fleet: Fleet, usage: LiveMonitor, profiler: SystemProfiler, snapshots: Snapshots
    ) -> None:
        self._fleet = fleet
        self._snapshots = snapshots
        self._usage = usage
        self._profiler = profiler

    def resources(self, request: Request) -> Answer:
        """RESOURCES: one agent with its windows, or a page of all with the system's sums."""
        what = text(request, "agent")
        if not what:
            return self._all_resources(request)
        agent = self._find(what)
        usage = self._usage.get_agent(agent.agent_id)
        assert usage is not None, "it is in the fleet"
        seconds = _seconds(request, AGENT_SPANS_MAX)
        (rates,) = self._usage.rates([agent], seconds)
        (last,) = self._usage.rates([agent], (1,))
        cpu_time_us, syscall_count, io_ops = usage.lifetime_stats()
        return {
            **_named(agent),
            "memory_bytes": usage.current_memory(),
            "peak_memory_bytes": usage.peak_memory(),
            "lifetime": {
                "cpu_time_us": cpu_time_us, "syscall_count": syscall_count, "io_ops": io_ops,
            },
            "spans": _records(rates),
            "windows": [asdict(window) for window in usage.history()],
            "rates": last[0]._asdict(),
            "drops": dict(self._snapshots.view(agent).drops),
        }  # fmt: skip

    def profile(self, request: Request) -> Answer:
        """PROFILE: the statistics of one agent ("0": the system itself), or over all agents.

        With "operation" only of that one and, over all, each agent's beside the sum. With "reset"
        the samples are dropped after they were read.
        """
        what, operation = text(request, "agent"), text(request, "operation")
        answer: Answer
        if what:
            agent_id, profiler = self._profiler_of(what)
            found = [] if profiler is None else profiler.get_all_stats()
            refused_count = 0 if profiler is None else profiler.refused_count
            answer = {"agent_id": agent_id, "refused_count": refused_count}
        else:
            profiler = None
            found = self._profiler.aggregate_all()
            answer = {"agent_id": None, "refused_count": self._profiler.refused_count}
        if operation:
            found = [stats for stats in found if stats.operation == operation]
            if not found:
                raise ControlRefusal(errno.ENOENT, f'no samples of operation "{operation}"')
            if not what:
                answer["agents"] = self._each(operation)
        answer["operations"] = [_stats_record(stats) for stats in found]
        if flag(request, "reset"):
            if profiler is not None:
                profiler.reset()
            elif not what:
                self._profiler.reset()
        return answer

    def _all_resources(self, request: Request) -> Answer:
        seconds = _seconds(request, SPANS_MAX)
        agents = sorted(self._fleet, key=lambda agent: agent.agent_id)
        rates = self._usage.rates(agents, seconds)
        after = whole(request, "after", 0)
        both = [pair for pair in zip(agents, rates, strict=True) if pair[0].agent_id > after]
        page = both[:PAGE]
        return {
            "system": {
                "agents_total": len(agents),
                "memory_bytes": self._usage.system_memory_usage(),
                "spans": _records([
                    sum_rates(length, [of_agent[index] for of_agent in rates])
                    for index, length in enumerate(seconds)
                ]),
                "drops": dict(self._snapshots.uncounted),
            },
            "agents": [self._row(agent, of_agent) for agent, of_agent in page],
            "next": page[-1][0].agent_id if len(both) > PAGE else None,
        }  # fmt: skip

    def _row(self, agent: Agent, rates: Sequence[Rates]) -> Answer:
        usage = self._usage.get_agent(agent.agent_id)
        assert usage is not None, "it is in the fleet"
        return {
            **_named(agent),
            "memory_bytes": usage.current_memory(),
            "peak_memory_bytes": usage.peak_memory(),
            "spans": _records(rates),
        }

    def _each(self, operation: str) -> list[Answer]:
        rows = []
        for agent in sorted(self._fleet, key=lambda agent: agent.agent_id):
            profiler = self._profiler.get_agent(agent.agent_id)
            stats = None if profiler is None else profiler.get_stats(operation)
            if stats is not None and stats.sample_count:
                rows.append({**_named(agent), **_stats_record(stats)})
        return rows

    def _profiler_of(self, what: str) -> tuple[int, AgentProfiler | None]:
        agent_id = 0 if what == "0" else self._find(what).agent_id
        return agent_id, self._profiler.get_agent(agent_id)

    def _find(self, what: str) -> Agent:
        try:
            return self._fleet.find(what)
        except NoSuchAgent as error:
            raise ControlRefusal(errno.ESRCH, str(error)) from error


def _named(agent: Agent) -> Answer:
    return {"agent_id": agent.agent_id, "name": agent.name, "state": agent.life.state.value}


def _seconds(request: Request, most: int) -> Sequence[int]:
    seconds = wholes(request, "seconds") or SECONDS_SHOWN
    if len(seconds) > most or not all(0 < length <= WINDOWS_MAX for length in seconds):
        raise ControlRefusal(
            errno.EINVAL, f'"seconds" are at most {most} numbers from 1 to {WINDOWS_MAX}'
        )
    return seconds


def _records(rates: Sequence[Rates]) -> list[Answer]:
    return [one._asdict() for one in rates]


def _stats_record(stats: OperationStats) -> Answer:
    # As the guide has it, 0.0 to 1.0: for people and their programs, and computed with no further.
    rate = stats.success_count / stats.sample_count if stats.sample_count else 0.0
    return {**asdict(stats), "success_rate": rate}
