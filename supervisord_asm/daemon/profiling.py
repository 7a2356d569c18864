"""What the daemon profiles of itself and of its agents: the hooks, and who owns which operation.

The samples are the profiler's (core/profiler.py), in memory, as long as the agent is in the fleet:
they outlive restarts of the agent and not one of asmd.

    each agent   spawn, exec, restart, stop, kill      its life (core/lifecycle_profile.py)
                 call_500 … call_511                   its calls, from the frame to the reply
                 whatever it reports by call 508       its own; not these names
    agent 0      journal_commit                        a group of records, until it is durable
                 sampler_pass, publish                 the work of each second
                 control_status …                      operators' verbs, until answered
                 call_500 …                            the same calls by strangers and operators

All run in the loop but the journal's commits, which its thread leaves in `Recorder.commits`.
"""

import errno
import os
import time
from collections.abc import Awaitable, Callable

from supervisord_asm.api.numbers import Control, Door
from supervisord_asm.api.wire import Frame
from supervisord_asm.core import lifecycle_profile
from supervisord_asm.core.lifecycle import Effect, Event
from supervisord_asm.core.lifecycle_profile import LifeTimer
from supervisord_asm.core.profiler import (
    OPERATIONS_MAX,
    AgentProfiler,
    ProfileGuard,
    SystemProfiler,
    is_operation_name,
)
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.identity import Principal
from supervisord_asm.kernel.sampler import Sampler

SYSTEM_ID = 0
CALL_NAMES = {int(number): f"call_{number}" for number in Door}
# These last as long as somebody else wants them to: their durations say nothing about us.
CONTROL_UNTIMED = frozenset({Control.WAIT, Control.RUN, Control.SHUTDOWN})
CONTROL_NAMES = {
    int(verb): f"control_{verb.name.lower()}" for verb in Control if verb not in CONTROL_UNTIMED
}
WORK = ("journal_commit", "sampler_pass", "publish")
OURS = frozenset({*lifecycle_profile.OPERATIONS, *CALL_NAMES.values()})
# Of those that the profiler keeps; the rest is for ours, which must not find it full.
OWN_OPERATIONS_MAX = OPERATIONS_MAX - len(OURS)

DoorHandler = Callable[[Principal, Frame], Frame]
ControlHandler = Callable[[Principal, Frame], Frame | Awaitable[Frame]]


def now_us() -> int:
    """Return the clock of durations; it stands still while the host sleeps."""
    return time.monotonic_ns() // 1000


class OwnOperationRefused(Exception):
    """An agent may not report this: the name is ours (EPERM), or it has too many (ENOSPC)."""

    def __init__(self, operation: str, errno_: int) -> None:
        super().__init__(f"{operation}: {os.strerror(errno_)}")
        self.errno = errno_


class Profiling:
    """Takes every sample that the daemon takes."""

    def __init__(self, fleet: Fleet, recorder: Recorder, sampler: Sampler) -> None:
        self.profiler = SystemProfiler(now_us)
        self._fleet = fleet
        self._recorder = recorder
        self._sampler = sampler
        # Whatever agents report: ours are always in the sums.
        self.profiler.reserve({*OURS, *CONTROL_NAMES.values(), *WORK})
        self._system = self.profiler.add_agent(SYSTEM_ID)
        self._lives: dict[int, LifeTimer] = {}
        fleet.on_step = self._on_step

    def forget(self, agent_id: int) -> None:
        """Drop an agent that has left the fleet."""
        self.profiler.remove_agent(agent_id)
        self._lives.pop(agent_id, None)

    def report(self, agent_id: int, operation: str, duration_us: int, success: bool) -> None:
        """Take a sample that an agent reports of itself. Raises ValueError, OwnOperationRefused."""
        if not is_operation_name(operation):
            raise ValueError(operation)
        if operation in OURS:
            raise OwnOperationRefused(operation, errno.EPERM)
        profiler = self._of(agent_id)
        known = profiler.operations()
        own_count = sum(name not in OURS for name in known)
        if operation not in known and own_count >= OWN_OPERATIONS_MAX:
            profiler.refused_count += 1
            raise OwnOperationRefused(operation, errno.ENOSPC)
        profiler.record(operation, duration_us, success)

    def pass_over(self) -> None:
        """The sampler has made a pass: take what it took, and the commits since the last one."""
        self._system.record("sampler_pass", self._sampler.figures().last_pass_us, True)
        commits = self._recorder.commits
        while commits:
            duration_us, success = commits.popleft()
            self._system.record("journal_commit", duration_us, success)

    def guard(self, operation: str) -> ProfileGuard:
        """Return a guard for a piece of the daemon's own work."""
        return self._system.guard(operation)

    def timed_door(self, handler: DoorHandler) -> DoorHandler:
        """Return the agents' handler with each call timed, for whoever made it."""

        def answer(principal: Principal, frame: Frame) -> Frame:
            started_us = now_us()
            reply = handler(principal, frame)
            name = CALL_NAMES.get(frame.number)
            if name is not None:
                self._caller(principal).end_operation(name, started_us, reply.result >= 0)
            return reply

        return answer

    def timed_control(self, handler: ControlHandler) -> ControlHandler:
        """Return the operators' handler with each verb timed, until its answer is made."""

        def answer(principal: Principal, frame: Frame) -> Frame | Awaitable[Frame]:
            started_us = now_us()
            reply = handler(principal, frame)
            name = CONTROL_NAMES.get(frame.number)
            if name is None:
                return reply
            if not isinstance(reply, Frame):
                return self._answer_later(name, started_us, reply)
            self._system.end_operation(name, started_us, reply.result >= 0)
            return reply

        return answer

    async def _answer_later(self, name: str, started_us: int, pending: Awaitable[Frame]) -> Frame:
        reply = await pending
        self._system.end_operation(name, started_us, reply.result >= 0)
        return reply

    def _on_step(self, agent: Agent, event: Event, effects: tuple[Effect, ...]) -> None:
        life = self._lives.get(agent.agent_id)
        if life is None:
            life = self._lives[agent.agent_id] = LifeTimer()
        for sample in life.take(event, effects, now_us()):
            self._of(agent.agent_id).record(*sample)

    def _of(self, agent_id: int) -> AgentProfiler:
        return self.profiler.get_agent(agent_id) or self.profiler.add_agent(agent_id)

    def _caller(self, principal: Principal) -> AgentProfiler:
        agent_id = principal.agent_id
        if agent_id is None or self._fleet.get(agent_id) is None:
            return self._system
        return self._of(agent_id)
