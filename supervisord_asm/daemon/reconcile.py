"""Brings together what is wanted (configuration), recorded (journal) and found (keeper, cgroups).

Runs once, before anything else moves. Adopts what the keeper still holds, by agent and run, never
by a pid; ends what nobody wants or nobody can tell the exit of; then starts what should run.

A run that the journal calls alive and the keeper does not hold has an exit that nobody can know:
it is recorded with the cause unknown (another boot: shutdown), so that every spawn has its exit.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable

from supervisord_asm import __version__
from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.lifecycle import (
    Adopted,
    ExecDone,
    ExecFailed,
    Ready,
    Recalled,
    Start,
    State,
    Stop,
)
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.spec import AgentSpec, RestartSpec, StartMode
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.births import Births
from supervisord_asm.daemon.cgroup_layout import CgroupLayout
from supervisord_asm.daemon.enrolment import Enrolment, EnrolmentError
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.keeper_link import SERVICE_ID_FIRST, KeeperLink
from supervisord_asm.daemon.leftovers import clear_leftovers
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.cgroupfs import Cgroup, CgroupError
from supervisord_asm.kernel.exec_spec import describe_stage
from supervisord_asm.kernel.keeper_channel import KeeperMessage

LIVING_STATES = frozenset({"starting", "active", "stopping", "throttled", "frozen", "backoff"})
logger = logging.getLogger(__name__)


class Reconciliation:
    """One start of the daemon."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        enrolment: Enrolment,
        recorder: Recorder,
        births: Births,
        keeper: KeeperLink,
        layout: CgroupLayout,
        bound: dict[int, int],
        boot_id: str,
        on_service: Callable[[KeeperMessage], None],
    ) -> None:
        """`bound` maps slots that an earlier asmd bound and that still count to cgroup ids."""
        self._fleet = fleet
        self._enrolment = enrolment
        self._recorder = recorder
        self._births = births
        self._keeper = keeper
        self._layout = layout
        self._slot_of_cgroup = {cgroup_id: slot for slot, cgroup_id in bound.items()}
        self._boot_id = boot_id
        self._on_service = on_service
        recent = recorder.history.recent
        self._is_new_boot = not recent or recent[-1].boot_id != boot_id
        # What the operator stopped stays so, unless the whole fleet was stopped and begins anew.
        self._is_recovery = not self._is_new_boot and not _was_shut_down(recent)

    def run(self, specs: Iterable[AgentSpec], children: list[KeeperMessage]) -> None:
        """Adopt, clean, start."""
        wanted = list(specs)
        for spec in wanted:
            try:
                self._enrolment.enrol(spec)
            except EnrolmentError as error:
                logger.error("%s: not started", error)
        self._recorder.record(EventType.DAEMON_START, 0, {"version": __version__})
        adopted = {agent_id for child in children if (agent_id := self._adopt(child)) is not None}
        undecided = self._close_lost_runs(adopted)
        clear_leftovers(
            self._layout.agents, adopted, self._slot_of_cgroup, self._fleet, self._births
        )
        self._births.unbind_others()
        for agent, end in undecided:
            self._fleet.dispatch(agent, end)
        self._retire_ended_transients()
        for agent in self._fleet:
            if self._should_start(agent):
                self._fleet.dispatch(agent, Start("daemon start"))

    def _retire_ended_transients(self) -> None:
        """The asmd before would have, a minute after their ends; the history remembers them."""
        for known in list(self._recorder.history.agents.values()):
            if known.transient and not known.retired and self._fleet.get(known.agent_id) is None:
                self._recorder.record(EventType.RETIRE, known.agent_id, {"name": known.name})

    def _adopt(self, child: KeeperMessage) -> int | None:
        if child.agent_id >= SERVICE_ID_FIRST:
            self._on_service(child)
            return None
        agent = self._fleet.get(child.agent_id) or self._adopt_transient(child)
        if agent is None:
            self._end_unwanted(child)
            return None
        known = self._recorder.history.agents[agent.agent_id]
        if child.run > known.run:
            self._turn_away(agent, child)
            return None
        if child.wait_code and known.last_exit_run is not None and child.run <= known.last_exit_run:
            self._take_told_exit(agent, child)
            return None
        self._take_over(agent, child, known.state)
        return agent.agent_id

    def _take_over(self, agent: Agent, child: KeeperMessage, recorded: str) -> None:
        """The run goes on, or its exit is news to us. `recorded` is its last recorded state."""
        if child.wait_code == 0:
            agent.pidfd = child.fds[0]
        else:
            _close(child.fds[:1])
        self._take_cgroup(agent)
        if len(child.fds) == 3:
            self._births.drain(agent, child.run, child.fds[1:])
        has_started = child.is_exec_done and not child.result
        is_start_news = recorded == "starting"
        active = has_started and not is_start_news
        self._fleet.dispatch(agent, Adopted(child.run, child.pid, active))
        if has_started and is_start_news:
            self._fleet.dispatch(agent, ExecDone())
            # Whether it said READY=1 while no asmd listened, nobody can know: doubt ends nobody.
            self._fleet.dispatch(agent, Ready())
        elif child.is_exec_done and child.result:
            self._fleet.dispatch(agent, ExecFailed(describe_stage(child.stage), -child.result))
        if recorded == "stopping":
            # Somebody wanted it gone and was told that it would be. A signal may come twice.
            self._fleet.dispatch(agent, Stop("the asmd before", self._cause_of_stop(agent)))
        if child.wait_code:
            self._keeper.exited(agent, child)
        else:
            logger.info("adopted agent %d, run %d, pid %d", agent.agent_id, child.run, child.pid)

    def _turn_away(self, agent: Agent, child: KeeperMessage) -> None:
        """The asmd before us died before this start was durable, and its gate has closed.

        The agent's program was never executed; asm-exec leaves by itself. As far as anybody was
        told, the run has not been, and its number is free once the keeper has forgotten it.
        """
        logger.info("agent %d, run %d: not begun, not recorded", agent.agent_id, child.run)
        _close(child.fds)
        if child.wait_code:
            self._keeper.forget(child.agent_id, child.run)
        else:
            agent.life.run = child.run

    def _take_told_exit(self, agent: Agent, child: KeeperMessage) -> None:
        """Its exit is recorded; only the acknowledgement was lost. Its last words may not be."""
        _close(child.fds[:1])
        if len(child.fds) == 3:
            self._births.drain(agent, child.run, child.fds[1:])
            self._births.finish_log(agent, child.run)
        self._keeper.acknowledge(child.agent_id, child.run)

    def _cause_of_stop(self, agent: Agent) -> Cause:
        for event in reversed(self._recorder.history.recent):
            if event.type is EventType.STOP and event.agent_id == agent.agent_id:
                return Cause(str(event.data.get("cause", Cause.OPERATOR.value)))
        return Cause.OPERATOR

    def _is_stop_newest(self, agent_id: int) -> bool:
        """Whether the last that was recorded of the agent is somebody's wish that it be stopped."""
        events = (event for event in reversed(self._recorder.history.recent)
                  if event.agent_id == agent_id)  # fmt: skip
        newest = next(events, None)
        return newest is not None and newest.type is EventType.STOP

    def _adopt_transient(self, child: KeeperMessage) -> Agent | None:
        """An agent of `asmctl run`: its spec was never in a file, its history is in the journal."""
        known = self._recorder.history.agents.get(child.agent_id)
        if known is None or known.retired or not known.transient:
            return None
        spec = AgentSpec(
            agent_id=child.agent_id, name=known.name, command=("(adopted)",),
            restart=RestartSpec(), start=StartMode.MANUAL,
        )  # fmt: skip
        return self._enrolment.enrol(spec, is_transient=True)

    def _end_unwanted(self, child: KeeperMessage) -> None:
        """It is in no file any more. Its exit comes as news of nobody and is acknowledged there."""
        logger.warning("ending process %d of agent %d: no file has it", child.pid, child.agent_id)
        with contextlib.suppress(CgroupError):
            cgroup = Cgroup(self._layout.agents.path / str(child.agent_id))
            cgroup.kill()
            cgroup.close()
        _close(child.fds)
        if child.wait_code:
            self._keeper.acknowledge(child.agent_id, child.run)

    def _take_cgroup(self, agent: Agent) -> None:
        path = self._layout.agents.path / str(agent.agent_id)
        try:
            found = Cgroup(path)
        except CgroupError:
            return  # it has ended, and its cgroup was removed
        slot = self._slot_of_cgroup.get(found.id)
        found.close()
        if slot is not None:
            self._births.adopt_slot(agent, slot)
        else:
            self._births.bind(agent)

    def _close_lost_runs(self, adopted: set[int]) -> list[tuple[Agent, Recalled]]:
        """Give every spawn its exit; return the agents of which nobody has decided what follows.

        A run whose exit nobody can know ended with its keeper: it comes back uncharged. An exit
        that is recorded without what followed is decided now, as it would have been then.
        """
        cause = Cause.SHUTDOWN if self._is_new_boot else Cause.UNKNOWN
        undecided = []
        for known in list(self._recorder.history.agents.values()):
            if known.state not in LIVING_STATES or known.agent_id in adopted:
                continue
            if known.alive:
                is_stopping = known.state == "stopping"
                end = Recalled(None, None, Cause.OPERATOR if is_stopping else Cause.KEEPER_LOST)
                self._recorder.record(
                    EventType.EXIT,
                    known.agent_id,
                    {
                        "code": None, "signal": None, "cause": cause.value, "pid": known.pid,
                        "run": known.run, "crashed": False,
                    },
                )  # fmt: skip
            elif self._is_stop_newest(known.agent_id):
                # Stopped while the last of its processes ended: that decides what follows.
                end = Recalled(known.last_exit_code, known.last_exit_signal, Cause.OPERATOR)
            else:
                last_cause = Cause(known.last_exit_cause or Cause.UNKNOWN.value)
                end = Recalled(known.last_exit_code, known.last_exit_signal, last_cause)
            agent = self._fleet.get(known.agent_id)
            if agent is None or self._is_new_boot:
                self._recorder.record(EventType.STOPPED, known.agent_id, {})
            else:
                undecided.append((agent, end))
        return undecided

    def _should_start(self, agent: Agent) -> bool:
        if agent.is_transient or agent.life.state is not State.STOPPED:
            return False
        known = self._recorder.history.agents[agent.agent_id]
        match agent.spec.start:
            case StartMode.MANUAL:
                return False
            case StartMode.BOOT:
                return self._is_new_boot
            case StartMode.AUTO:
                # After a crash of ours: what never ran, and what our own shutdown had stopped.
                is_ours = known.spawn_count == 0 or known.last_exit_cause == Cause.SHUTDOWN.value
                return is_ours or not self._is_recovery


def _was_shut_down(recent: Iterable[Event]) -> bool:
    """Whether the last daemon stopped its agents and said good-bye, within the last 1,024 events.

    One that left them running is taken over from, however it went.
    """
    for event in reversed(list(recent)):
        if event.type in (EventType.DAEMON_START, EventType.DAEMON_STOP):
            return event.type is EventType.DAEMON_STOP and event.data.get("agents") == "stop"
    return False


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
