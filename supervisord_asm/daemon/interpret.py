"""Carries out effects: one short method for each. Decides nothing.

Order matters twice. Records come before the spawn that they announce (the recorder holds the spawn
back until they are durable), and a kill never waits for anything.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import assert_never

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    Arm,
    AwaitEmpty,
    Disarm,
    Effect,
    Emptied,
    Event,
    Extend,
    KillTree,
    Record,
    Spawn,
    SpawnRefused,
    State,
    Terminate,
    Timer,
    TimerFired,
)
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.births import BirthError, Births
from supervisord_asm.daemon.emptiness import EmptinessWatch
from supervisord_asm.daemon.gate import Gate
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.cgroupfs import CgroupError
from supervisord_asm.kernel.keeper_channel import KeeperChannel, KeeperError
from supervisord_asm.store.errors import JournalBroken, JournalClosed, JournalFull

ECANCELED = 125
ENOTCONN = 107
# How long a killed tree may take to empty before we suspect a reader parked in our own FUSE mount
# (CONTRACT, "Freezing, doors and effects").
EMPTY_SUSPECT_S = 1.0
# In one group of records. A few births run beside the disk; of many, the processors are the bound,
# and waiting processes would only be in the way.
GATES_MAX = 8
# After these nothing will be recorded; other errors are of a disk that is tried again.
FINAL_ERRORS = (JournalFull, JournalClosed, JournalBroken)

logger = logging.getLogger(__name__)


class Interpreter:
    """Turns effects into calls on the adapters, and their answers into further events."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
        births: Births,
        emptiness: EmptinessWatch,
        on_stuck: Callable[[Agent], None],
    ) -> None:
        self._loop = loop
        self._recorder = recorder
        self._births = births
        self._emptiness = emptiness
        self._on_stuck = on_stuck
        self.keeper: KeeperChannel | None = None
        # Set by the fleet, which constructs itself around us.
        self.dispatch: Callable[[Agent, Event], str]
        self.on_keeper_error: Callable[[KeeperError], None]
        self.on_released: Callable[[Agent], None] = lambda agent: None

    def carry_out(self, agent: Agent, effects: tuple[Effect, ...]) -> None:
        """Do them in order."""
        for effect in effects:
            match effect:
                case Record(EventType.STOPPED | EventType.FAILED):
                    # The cgroup goes with this: what it counted goes into the record.
                    data = {**effect.data, **self._births.lifetime_figures(agent)}
                    self._recorder.record(effect.type, agent.agent_id, data)
                case Record(EventType.SPAWN):
                    # What was counted before it: the base for whoever adopts the run.
                    data = {**effect.data, **self._births.begin_run(agent)}
                    self._recorder.record(effect.type, agent.agent_id, data)
                case Record():
                    self._recorder.record(effect.type, agent.agent_id, effect.data)
                case Spawn():
                    self._spawn_when_durable(agent, effect.run)
                case Terminate():
                    self._terminate(agent)
                case KillTree():
                    self.kill_tree(agent)
                case AwaitEmpty():
                    self._await_empty(agent)
                case Arm():
                    self._arm(agent, effect.timer, effect.delay_usec)
                case Extend():
                    self._extend(agent, effect.timer, effect.delay_usec)
                case Disarm():
                    self._disarm(agent, effect.timer)
                case _:
                    assert_never(effect)

    def kill_tree(self, agent: Agent) -> None:
        """cgroup.kill, and the main process by its pidfd, wherever it may have moved itself."""
        if agent.cgroup is not None:
            agent.is_cgroup_killed = True
            with contextlib.suppress(CgroupError):
                agent.cgroup.kill()
        if agent.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(agent.pidfd, signal.SIGKILL)

    def _spawn_when_durable(self, agent: Agent, run: int) -> None:
        gate = self._new_gate()
        is_born = False

        def spawn(error: BaseException | None) -> None:
            if gate is not None and is_born:
                # Turned away only if nothing will ever be recorded.
                if isinstance(error, FINAL_ERRORS):
                    logger.error("agent %d may not begin: %s", agent.agent_id, error)
                    gate.close()
                return
            if agent.life.run != run:
                return
            if isinstance(error, FINAL_ERRORS):
                self.dispatch(agent, SpawnRefused(28, f"unable to record the start: {error}"))
            elif error is not None:
                # The disk refuses for now; the journal tries again and then calls once more.
                logger.error("start of agent %d waits for the journal: %s", agent.agent_id, error)
            elif agent.life.state is not State.STARTING:
                self.dispatch(agent, SpawnRefused(ECANCELED, "stopped before it began"))
            else:
                self._spawn(agent, run)

        self._recorder.after_durable(spawn)
        if gate is not None:
            # First, so that the disk is at work while we give the order.
            self._recorder.open_when_durable(gate.open)
            is_born = self._order_behind(gate, agent, run)

    def _new_gate(self) -> Gate | None:
        """Return what lets a run be born before its record is durable; None: it is born then."""
        if self.keeper is None or self._recorder.openings >= GATES_MAX:
            return None
        try:
            return Gate()
        except OSError:
            return None

    def _order_behind(self, gate: Gate, agent: Agent, run: int) -> bool:
        """Have the run born up to its gate. False: it is not.

        What goes wrong now goes wrong once more when the record is durable, and is answered there:
        an effect is no place for a further event.
        """
        assert self.keeper is not None
        try:
            read_ends = self._births.order(agent, run, self.keeper, gate)
        except (BirthError, KeeperError):
            gate.close()
            return False
        # Behind the record, which the program waits for; so its output is not late.
        self._loop.call_soon(self._births.drain, agent, run, read_ends)
        return True

    def _spawn(self, agent: Agent, run: int) -> None:
        if self.keeper is None:
            self.dispatch(agent, SpawnRefused(ENOTCONN, "no keeper is there"))
            return
        try:
            read_ends = self._births.order(agent, run, self.keeper)
        except BirthError as error:
            logger.error("unable to start agent %d: %s", agent.agent_id, error.text)
            self.dispatch(agent, SpawnRefused(error.errno, error.text))
        except KeeperError as error:
            self.on_keeper_error(error)
        else:
            self._births.drain(agent, run, read_ends)

    def _terminate(self, agent: Agent) -> None:
        if agent.pidfd is None:
            return  # being born: the table says Terminate again when it is
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(agent.pidfd, agent.spec.stop.signal)

    def _await_empty(self, agent: Agent) -> None:
        cgroup, run = agent.cgroup, agent.life.run
        if cgroup is None or not cgroup.is_populated():
            self._emptied(agent, run)
            return
        self.kill_tree(agent)
        suspect = self._loop.call_later(EMPTY_SUSPECT_S, self._on_stuck, agent)

        def emptied() -> None:
            suspect.cancel()
            if agent.life.run == run:
                self._emptied(agent, run)

        self._emptiness.watch(cgroup, emptied)

    def _emptied(self, agent: Agent, run: int) -> None:
        # Not now: what follows may be a restart, which somebody waits for.
        self._loop.call_soon(self._births.finish_log, agent, run)
        if agent.is_cgroup_killed:
            # Linux 6.14 to at least 6.18 compares the kill count of the *parent's* cgroup with that
            # of the one that clone3 is told to be born into: in a cgroup that was ever killed, each
            # newborn dies at once. So the next run gets a new one (docs/decisions/0010).
            self._births.release(agent)
            self.on_released(agent)
        self.dispatch(agent, Emptied())

    def _arm(self, agent: Agent, timer: Timer, delay_usec: int) -> None:
        self._disarm(agent, timer)

        def fired() -> None:
            agent.timers.pop(timer, None)
            self.dispatch(agent, TimerFired(timer))

        agent.timers[timer] = self._loop.call_later(delay_usec / 1e6, fired)

    def _extend(self, agent: Agent, timer: Timer, delay_usec: int) -> None:
        handle = agent.timers.get(timer)
        if handle is not None and handle.when() < self._loop.time() + delay_usec / 1e6:
            self._arm(agent, timer, delay_usec)

    def _disarm(self, agent: Agent, timer: Timer) -> None:
        handle = agent.timers.pop(timer, None)
        if handle is not None:
            handle.cancel()
