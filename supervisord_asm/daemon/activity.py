"""What agents do, beyond their figures: which programs they ran, which syscalls they make.

Takes the starts and ends of programs from the counting programs' ring: once a second, when the ring
is half full, when somebody asks, and before a slot is given up, while it still tells whose they
are. Kept in memory only, in each agent; a new asmd finds what the ring has kept meanwhile.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Any

from supervisord_asm.core.syscall_names import syscall_name
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet, NoSuchAgent
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.request import Request, text
from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.probes import ProbeError, Probes

logger = logging.getLogger(__name__)


class Activity:
    """Fills the agents' histories and answers for them. Without probes it knows nothing."""

    def __init__(self, fleet: Fleet, probes: Probes | None) -> None:
        self._fleet = fleet
        self._probes = probes
        self._has_failed = False

    def watch(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Let the ring wake us when it is half full; return what ends that."""
        if self._probes is None:
            return lambda: None
        fileno = self._probes.execs_fileno()
        loop.add_reader(fileno, self.take)

        def unwatch() -> None:
            loop.remove_reader(fileno)

        return unwatch

    def take(self) -> None:
        """Give what the ring holds to the agents that it is about."""
        if self._probes is None:
            return
        try:
            events = self._probes.drain_execs()
        except ProbeError as error:
            if not self._has_failed:  # it would be said every second
                logger.error("what agents run is not known: %s", error)
            self._has_failed = True
            return
        if not events:
            return
        agents = {agent.slot: agent for agent in self._fleet if agent.slot is not None}
        for event in events:
            agent = agents.get(event.slot)
            if agent is None:
                continue  # a slot that is just being bound: nobody has asked for it yet
            if event.path is None:
                agent.execs.end(event.pid, event.status or 0, event.time_us)
            else:
                agent.execs.begin(event.pid, event.path, event.comm, event.time_us)

    def finish(self, agent: Agent) -> None:
        """Take what was told of an agent of which nothing runs any more; its slot goes next."""
        self.take()
        agent.execs.end_all(boottime_us())

    def history(self, request: Request) -> dict[str, Any]:
        """Answer which programs an agent ran lately, oldest first. Raises ControlRefusal."""
        agent = self._find(request)
        self._counting()
        self.take()
        records = agent.execs.records()
        return {
            "agent_id": agent.agent_id,
            "name": agent.name,
            "total": agent.execs.total,
            "programs": [record.to_json() for record in records],
            "drops": self._drops(),
        }

    def syscalls(self, request: Request) -> dict[str, Any]:
        """Answer an agent's syscalls by number since its present start, the most frequent first.

        Raises ControlRefusal.
        """
        agent = self._find(request)
        probes = self._counting()
        counts = probes.syscalls_of(agent.slot) if agent.slot is not None else {}
        return {
            "agent_id": agent.agent_id,
            "name": agent.name,
            "total": sum(counts.values()),
            "syscalls": [
                {"number": number, "name": syscall_name(number), "count": count}
                for number, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            ],
            "drops": self._drops(),
        }

    def _find(self, request: Request) -> Agent:
        try:
            return self._fleet.find(text(request, "agent"))
        except NoSuchAgent as error:
            raise ControlRefusal(errno.ESRCH, str(error)) from error

    def _counting(self) -> Probes:
        if self._probes is None:
            raise ControlRefusal(
                errno.EOPNOTSUPP, "BPF counting is off, so this is not known; see asmctl doctor"
            )
        return self._probes

    def _drops(self) -> dict[str, int]:
        assert self._probes is not None
        return {cause: count for cause, count in self._probes.drops().items() if count}
