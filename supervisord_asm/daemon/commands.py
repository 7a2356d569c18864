"""The operators' commands on agents: start, stop, restart, kill, reset, run, wait.

Each command names agents by id or name and answers for each; one that fails does not keep the
others from being done. `wait` answers when the agent has got there, so that a script may go on.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from typing import Any

from supervisord_asm.api.numbers import Control
from supervisord_asm.configuration import ConfigurationErrors, spec_for_run
from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import LIVING, Event, Reset, Restart, Start, State, Stop
from supervisord_asm.core.spec import AgentSpec
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.enrolment import Enrolment, EnrolmentError
from supervisord_asm.daemon.fleet import AT_REST, STARTED, Fleet, NoSuchAgent
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.request import Request, flag, text, texts, whole
from supervisord_asm.kernel.identity import Principal
from supervisord_asm.kernel.logdrain import LogDrain, LogDrainError
from supervisord_asm.paths import Paths

Result = dict[str, Any]
# Reached only when the disk hangs: the drain ends a run's log when its cgroup is empty.
DRAIN_TIMEOUT_S = 1.0
DRAIN_POLL_S = 0.01


class Commands:
    """Carries out commands. Every method runs in the loop."""

    def __init__(
        self,
        *,
        paths: Paths,
        fleet: Fleet,
        enrolment: Enrolment,
        recorder: Recorder,
        logs: LogDrain,
        note_drained: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._fleet = fleet
        self._enrolment = enrolment
        self._recorder = recorder
        self._logs = logs
        self.is_leaving = False
        self._note_drained = note_drained

    async def act(self, verb: Control, request: Request, principal: Principal) -> Result:
        """START, STOP, RESTART, KILL or RESET on each agent named."""
        if self.is_leaving and verb in (Control.START, Control.RESTART):
            raise _leaving()
        by = str(principal)
        number = _signal_of(request) if verb is Control.KILL else None
        agents = self._named(request)
        results: list[Result] = []
        waits: list[asyncio.Future[None]] = []
        for name, agent in agents:
            if agent is None:
                results.append(_result(None, name, -errno.ESRCH, f"Agent {name} not found"))
                continue
            if number is not None:
                results.append(_send_signal(agent, number))
                continue
            note = self._fleet.dispatch(agent, _event(verb, by))
            results.append(_result(agent, agent.name, 0, note))
            if flag(request, "wait") and verb is not Control.RESET:
                # A stop is over when its run is, also if somebody starts another one meanwhile.
                run = agent.life.run if verb in (Control.STOP, Control.KILL) else None
                waits.append(self._fleet.wait_for(agent, _goal(verb), run))
        # What we answer, the next asmd knows too: a stop that was accepted is not forgotten.
        await self._recorded()
        if waits:
            await asyncio.gather(*waits)
            _judge(verb, results, self._fleet)
        return {"results": results}

    async def _recorded(self) -> None:
        """Wait until all so far is durable, or the journal has said that it cannot be now."""
        done = asyncio.Event()
        self._recorder.after_durable(lambda error: done.set())
        await done.wait()

    async def run(self, request: Request, principal: Principal) -> Result:
        """RUN: make an agent, start it, answer after its exec."""
        if self.is_leaving:
            raise _leaving()
        given = {key: value for key, value in request.items() if key != "wait"}
        try:
            spec = spec_for_run(given, self._enrolment.daemon, self._taken_names())
        except ConfigurationErrors as error:
            raise ControlRefusal(errno.EINVAL, "; ".join(map(str, error.errors))) from error
        try:
            self._enrolment.check(spec)  # before an ended namesake gives way
        except EnrolmentError as error:
            raise ControlRefusal(errno.EINVAL, str(error)) from error
        self._make_way(spec)
        try:
            agent = self._enrolment.enrol(spec, is_transient=True)
        except EnrolmentError as error:
            raise ControlRefusal(errno.EINVAL, str(error)) from error
        self._fleet.dispatch(agent, Start(str(principal)))
        run = agent.life.run
        await self._fleet.wait_for(agent, STARTED | {State.STOPPING})
        failure = agent.life.exec_failure
        if failure is not None and agent.life.run == run:
            raise ControlRefusal(
                failure.errno or errno.EIO,
                f"unable to start {spec.command[0]}: {failure.stage}: {os.strerror(failure.errno)}",
                {"agent_id": agent.agent_id},
            )
        return {
            "agent_id": agent.agent_id,
            "name": agent.name,
            "run": run,
            "log_path": str(self._paths.logs / "agents" / f"{agent.name}.log"),
            "log_offset": self._log_offset(agent),
        }

    async def wait(self, request: Request) -> Result:
        """WAIT: answer when the run has ended and its output is in the log."""
        agent = self._find(text(request, "agent"))
        run = whole(request, "run", agent.life.run)
        if agent.life.run == run:
            await self._fleet.wait_for(agent, AT_REST, run)
        await self._drain(agent, run)
        past = self._recorder.history.agents[agent.agent_id]
        return {
            "code": past.last_exit_code,
            "signal": past.last_exit_signal,
            "cause": past.last_exit_cause,
            "state": agent.life.state.value,
        }

    async def _drain(self, agent: Agent, run: int) -> None:
        """Wait until the run's output is in its log: pipes end when the cgroup is empty."""
        for _ in range(int(DRAIN_TIMEOUT_S / DRAIN_POLL_S)):
            self._note_drained()
            if agent.drained_run >= run:
                return
            await asyncio.sleep(DRAIN_POLL_S)

    def _log_offset(self, agent: Agent) -> int:
        """Where the present run's output begins; 0 when there is no log."""
        try:
            return self._logs.run_offset(agent.agent_id)
        except LogDrainError:
            return 0

    def _find(self, what: str) -> Agent:
        try:
            return self._fleet.find(what)
        except NoSuchAgent as error:
            raise ControlRefusal(errno.ESRCH, str(error)) from error

    def _named(self, request: Request) -> list[tuple[str, Agent | None]]:
        if flag(request, "all"):
            return [(agent.name, agent) for agent in self._fleet]
        names = texts(request, "agents")
        if not names:
            raise ControlRefusal(errno.EINVAL, 'name agents in "agents", or say "all": true')
        found: dict[str, Agent | None] = {}
        for name in names:
            try:
                found[name] = self._fleet.find(name)
            except NoSuchAgent:
                found[name] = None
        return list(found.items())

    def _taken_names(self) -> frozenset[str]:
        return frozenset(agent.name for agent in self._fleet)

    def _make_way(self, spec: AgentSpec) -> None:
        """An ended transient agent gives its name up; a live one, or one of a file, does not."""
        holder = self._fleet.named(spec.name)
        if holder is not None:
            if not holder.is_transient:
                raise ControlRefusal(
                    errno.EEXIST, f"agent {spec.name} is defined in {holder.spec.source.file}"
                )
            if holder.life.state not in AT_REST:
                raise ControlRefusal(
                    errno.EEXIST,
                    f"agent {spec.name} (id {holder.agent_id}) is {holder.life.state}",
                    {"hint": f"stop it first: asmctl stop {spec.name}"},
                )
            self._fleet.forget(holder)
        agent_id = self._recorder.history.ids_by_name.get(spec.name)
        if agent_id is not None:
            self._recorder.record(EventType.RETIRE, agent_id, {"name": spec.name})


def _leaving() -> ControlRefusal:
    return ControlRefusal(errno.ESHUTDOWN, "asmd is shutting down: nothing is started any more")


def _event(verb: Control, by: str) -> Event:
    makers: dict[Control, Callable[[], Event]] = {
        Control.START: lambda: Start(by),
        Control.STOP: lambda: Stop(by),
        Control.RESTART: lambda: Restart(by),
        Control.KILL: lambda: Stop(by, by_force=True),
        Control.RESET: lambda: Reset(by),
    }
    return makers[verb]()


def _goal(verb: Control) -> frozenset[State]:
    return STARTED if verb in (Control.START, Control.RESTART) else AT_REST | {State.BACKOFF}


def _judge(verb: Control, results: list[Result], fleet: Fleet) -> None:
    """A start that was waited for and did not come up is a failure, with what is known."""
    for result in results:
        agent = fleet.get(result["agent_id"] or 0)
        if agent is None or result["result"] < 0:
            continue
        result["message"] = agent.life.state.value
        if verb in (Control.START, Control.RESTART) and agent.life.state is not State.ACTIVE:
            failure = agent.life.exec_failure
            result["result"] = -(failure.errno or errno.EIO) if failure else -errno.EIO
            if failure:
                result["message"] = f"{failure.stage}: {os.strerror(failure.errno)}"
            else:
                result["message"] = f"ended at once; it is {agent.life.state} now"


def _result(agent: Agent | None, name: str, result: int, message: str) -> Result:
    agent_id = agent.agent_id if agent is not None else None
    return {"agent_id": agent_id, "name": name, "result": result, "message": message}


def _signal_of(request: Request) -> int | None:
    """Return the signal to send; None for the default, which kills the whole tree."""
    given = request.get("signal")
    if given is None:
        return None
    text = str(given).upper()
    try:
        if text.isdecimal():
            return signal.Signals(int(text)).value
        return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"].value
    except (KeyError, ValueError) as error:
        raise ControlRefusal(errno.EINVAL, f"{given!r} is no signal; see signal(7)") from error


def _send_signal(agent: Agent, number: int) -> Result:
    if agent.pidfd is None or agent.life.state not in LIVING:
        return _result(agent, agent.name, -errno.ESRCH, f"agent {agent.name} does not run")
    try:
        signal.pidfd_send_signal(agent.pidfd, number)
    except ProcessLookupError:
        return _result(agent, agent.name, -errno.ESRCH, f"agent {agent.name} has just ended")
    return _result(agent, agent.name, 0, f"sent {signal.Signals(number).name}")
