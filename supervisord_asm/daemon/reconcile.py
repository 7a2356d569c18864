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
from supervisord_asm.core.lifecycle import ExecDone, ExecFailed, Start, State
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.spec import AgentSpec, RestartSpec, StartMode
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.births import Births
from supervisord_asm.daemon.cgroup_layout import CgroupLayout
from supervisord_asm.daemon.enrolment import Enrolment, EnrolmentError
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.keeper_link import SERVICE_ID_FIRST, KeeperLink
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.cgroupfs import Cgroup, CgroupError
from supervisord_asm.kernel.exec_spec import describe_stage
from supervisord_asm.kernel.keeper_channel import KeeperMessage

LIVING_STATES = frozenset({"starting", "active", "stopping", "throttled", "frozen"})
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
        # An asmd that died leaves stopped agents stopped; one that was shut down starts them again.
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
        self._close_lost_runs(adopted)
        self._remove_leftover_cgroups(adopted)
        self._births.unbind_others(self._slot_of_cgroup.values())
        for agent in self._fleet:
            if self._should_start(agent):
                self._fleet.dispatch(agent, Start("daemon start"))

    def _adopt(self, child: KeeperMessage) -> int | None:
        if child.agent_id >= SERVICE_ID_FIRST:
            self._on_service(child)
            return None
        agent = self._fleet.get(child.agent_id) or self._adopt_transient(child)
        if agent is None:
            self._end_unwanted(child)
            return None
        life = agent.life
        life.run = child.run
        life.pid = child.pid
        life.state = State.ACTIVE if child.is_exec_done and not child.result else State.STARTING
        if child.wait_code == 0:
            agent.pidfd = child.fds[0]
        else:
            _close(child.fds[:1])
        self._take_cgroup(agent)
        if len(child.fds) == 3:
            self._births.drain(agent, child.run, child.fds[1:])
        if child.is_exec_done and child.result:
            self._fleet.dispatch(agent, ExecFailed(describe_stage(child.stage), -child.result))
        elif child.is_exec_done and life.state is State.STARTING:
            self._fleet.dispatch(agent, ExecDone())
        if child.wait_code:
            self._keeper.exited(agent, child)
        else:
            logger.info("adopted agent %d, run %d, pid %d", agent.agent_id, child.run, child.pid)
        return agent.agent_id

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

    def _close_lost_runs(self, adopted: set[int]) -> None:
        cause = Cause.SHUTDOWN if self._is_new_boot else Cause.UNKNOWN
        for known in list(self._recorder.history.agents.values()):
            if known.state not in LIVING_STATES or known.agent_id in adopted:
                continue
            if known.exit_count < known.spawn_count:
                self._recorder.record(
                    EventType.EXIT,
                    known.agent_id,
                    {
                        "code": None, "signal": None, "cause": cause.value, "pid": known.pid,
                        "run": known.run, "crashed": False,
                    },
                )  # fmt: skip
            self._recorder.record(EventType.STOPPED, known.agent_id, {})

    def _remove_leftover_cgroups(self, adopted: set[int]) -> None:
        """Kill what a lost keeper left behind, before anything is started beside it."""
        for path in self._layout.agents.children():
            if path.name.isdigit() and int(path.name) in adopted:
                continue
            with contextlib.suppress(CgroupError):
                cgroup = Cgroup(path)
                if cgroup.is_populated():
                    logger.warning("killing what is left in %s", path)
                    cgroup.kill()
                else:
                    cgroup.remove_tree()
                cgroup.close()

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
                # After a crash of ours: only what ran, or never did, is started.
                return not self._is_recovery or known.last_exit_cause != Cause.OPERATOR.value


def _was_shut_down(recent: Iterable[Event]) -> bool:
    """Whether the last daemon said good-bye. Far more than 1,024 events ago counts as no."""
    for event in reversed(list(recent)):
        if event.type in (EventType.DAEMON_START, EventType.DAEMON_STOP):
            return event.type is EventType.DAEMON_STOP
    return False


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
