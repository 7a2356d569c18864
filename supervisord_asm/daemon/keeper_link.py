"""The keeper, as the daemon lives with it: connecting, greeting, its news, and its loss.

News become events of the agents that they are about; news of an earlier run change nothing but are
acknowledged. An exit is acknowledged only when its record is durable, so that no status is ever
lost between two processes. Losing the keeper means losing every agent's parent: all are killed at
once and the fleet starts over, uncharged (../shared/spec/CONTRACT.md, "Programs").
"""

import asyncio
import contextlib
import errno
import logging
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    LIVING,
    ExecDone,
    ExecFailed,
    Exited,
    Spawned,
    SpawnRefused,
)
from supervisord_asm.core.restart import Cause
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.cgroup_layout import is_systemds
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.interpret import Interpreter
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.exec_spec import describe_stage
from supervisord_asm.kernel.keeper_channel import (
    VERSION,
    KeeperChannel,
    KeeperError,
    KeeperMessage,
    KeeperTooOld,
    Kind,
)
from supervisord_asm.paths import Paths

CLD_EXITED = 1  # waitid(2); 2 = killed, 3 = killed and dumped core
CONNECT_TIMEOUT_S = 5.0
CONNECT_RETRY_S = 0.005
# Ids of our own helper programs on the keeper's table; agents' ids end at 2^31 - 1.
SERVICE_ID_FIRST = 1 << 31

logger = logging.getLogger(__name__)


class LossPause:
    """How long to wait for the next keeper: not at all after one loss, longer after many.

    A fleet that is killed and begun anew many times a second does nothing but fill the journal.
    """

    FIRST_S, LONGEST_S = 0.25, 5.0
    FORGOTTEN_S = 30.0

    def __init__(self) -> None:
        self._lost_at = -math.inf
        self._delay_s = 0.0

    def next(self, now_s: float) -> float:
        """Take note of a loss; return the seconds to wait (0 for one after a quiet time)."""
        if now_s - self._lost_at > self.FORGOTTEN_S:
            self._delay_s = 0.0
        else:
            self._delay_s = min(max(2 * self._delay_s, self.FIRST_S), self.LONGEST_S)
        self._lost_at = now_s
        return self._delay_s


class KeeperLink:
    """Owns the channel. `children` holds what the greeting told, for reconciling."""

    def __init__(
        self,
        *,
        paths: Paths,
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
    ) -> None:
        self._paths = paths
        self._loop = loop
        self._recorder = recorder
        self._interpreter: Interpreter
        self._fleet: Fleet
        self.channel: KeeperChannel | None = None
        self.is_leaving = False
        self._pause = LossPause()
        self.on_service: Callable[[KeeperMessage], None]
        self.on_restored: Callable[[], None]

    def attach(self, fleet: Fleet, interpreter: Interpreter) -> None:
        """Say whose events the news become, and who gives the orders. Once, after `connect`."""
        self._fleet = fleet
        self._interpreter = interpreter
        interpreter.keeper = self.channel
        interpreter.on_keeper_error = self._lost

    def connect(self) -> list[KeeperMessage]:
        """Connect, starting a keeper if none listens; return the CHILD records of its greeting.

        Blocks for at most CONNECT_TIMEOUT_S. Raises KeeperError.
        """
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        is_started = is_systemds()  # then it starts the keeper too
        while True:
            try:
                return self._be_greeted(deadline)
            except KeeperError:
                # Also a reset in the middle: a keeper that dies still accepts for a moment.
                if time.monotonic() > deadline:
                    raise
                if not is_started:
                    self._start_keeper()
                    is_started = True
                time.sleep(CONNECT_RETRY_S)

    def _be_greeted(self, deadline: float) -> list[KeeperMessage]:
        channel = KeeperChannel(str(self._paths.keeper_socket))
        children: list[KeeperMessage] = []
        # poll, not select: a fleet's descriptors pass select's 1,024.
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        try:
            channel.send(KeeperMessage(Kind.HELLO))
            while True:
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    path = str(self._paths.keeper_socket)
                    raise KeeperError("be greeted by", path, errno.ETIMEDOUT)
                for message in channel.receive():
                    if message.version < VERSION:
                        channel.close()
                        raise KeeperTooOld(
                            f"the asm-keeper that runs speaks version {message.version}, this asmd "
                            f"{VERSION}; its agents must be stopped once: make down && make up"
                        )
                    if message.kind is Kind.CHILD:
                        children.append(message)
                    elif message.kind is Kind.SYNCED:
                        self.channel = channel
                        return children
        except KeeperError:
            channel.close()
            raise

    def listen(self) -> None:
        """Take news from the loop from now on."""
        assert self.channel is not None
        self._loop.add_reader(self.channel.fileno(), self._on_readable)

    def acknowledge(self, agent_id: int, run: int) -> None:
        """Let the keeper forget an exit once everything recorded so far is durable."""

        def send(error: BaseException | None) -> None:
            if error is None:
                self.forget(agent_id, run)

        self._recorder.after_durable(send)

    def forget(self, agent_id: int, run: int) -> None:
        """Let the keeper forget an exit now: it is durable, or of a run that is not."""
        if self.channel is not None:
            try:
                self.channel.send(KeeperMessage(Kind.ACK, agent_id=agent_id, run=run))
            except KeeperError as failure:
                self._lost(failure)

    def quit(self) -> None:
        """Tell the keeper to leave when no child is left, and not to start asmd again."""
        self._say_good_bye(Kind.QUIT)

    def rest(self) -> None:
        """Tell the keeper that we leave on purpose: it keeps the agents and does not start us."""
        self._say_good_bye(Kind.REST)

    def _say_good_bye(self, kind: Kind) -> None:
        self.is_leaving = True
        if self.channel is not None:
            with contextlib.suppress(KeeperError):  # gone already: nothing is left to be told
                self.channel.send(KeeperMessage(kind))

    def close(self) -> None:
        """Leave the agents to the keeper."""
        self.is_leaving = True
        if self.channel is not None:
            self._loop.remove_reader(self.channel.fileno())
            self.channel.close()
            self.channel = None

    def _on_readable(self) -> None:
        assert self.channel is not None
        try:
            for message in self.channel.receive():
                self.take(message)
        except KeeperError as error:
            self._lost(error)
        # Not at the end of the turn: restarts wait for these records.
        self._recorder.flush()

    def take(self, message: KeeperMessage) -> None:
        """Turn one piece of news into an event."""
        if message.agent_id >= SERVICE_ID_FIRST:
            self.on_service(message)
            return
        agent = self._fleet.get(message.agent_id)
        if agent is None or agent.life.run != message.run:
            for fd in message.fds:
                os.close(fd)
            if message.kind is Kind.EXITED:
                self.acknowledge(message.agent_id, message.run)
            return
        match message.kind:
            case Kind.SPAWNED:
                self._spawned(agent, message)
            case Kind.EXECED if message.result == 0:
                self._fleet.dispatch(agent, ExecDone())
            case Kind.EXECED:
                stage = describe_stage(message.stage)
                logger.error(
                    "unable to start agent %d: %s: %s",
                    agent.agent_id, stage, os.strerror(-message.result),
                )  # fmt: skip
                self._fleet.dispatch(agent, ExecFailed(stage, -message.result))
            case Kind.EXITED:
                self.exited(agent, message)

    def exited(self, agent: Agent, message: KeeperMessage) -> None:
        """An exit of the agent's present run."""
        agent.close_pidfd()
        if message.wait_code == CLD_EXITED:
            event = Exited(message.wait_status, None)
        else:
            event = Exited(None, message.wait_status)
        self._fleet.dispatch(agent, event)
        self.acknowledge(agent.agent_id, message.run)

    def _spawned(self, agent: Agent, message: KeeperMessage) -> None:
        if message.result < 0:
            text = f"unable to make a process: {os.strerror(-message.result)}"
            self._fleet.dispatch(agent, SpawnRefused(-message.result, text))
            return
        agent.pidfd = message.fds[0]
        self._fleet.dispatch(agent, Spawned(message.pid))

    def _lost(self, error: KeeperError) -> None:
        if self.channel is None:
            return
        self._loop.remove_reader(self.channel.fileno())
        self.channel.close()
        self.channel = self._interpreter.keeper = None
        if self.is_leaving:
            return
        logger.error("asm-keeper is lost (%s): killing every agent and starting over", error)
        living = [agent for agent in self._fleet if agent.life.state in LIVING]
        for agent in living:
            self._interpreter.kill_tree(agent)  # effect first, record after: this narrows
        self._recorder.record(EventType.KEEPER_LOST, 0, {"agents": len(living)})
        delay_s = self._pause.next(time.monotonic())
        if delay_s == 0:
            self._replace(living)
        else:
            logger.error("it is lost again and again: the next one in %.1f s", delay_s)
            self._loop.call_later(delay_s, self._replace, living)

    def _replace(self, living: list[Agent]) -> None:
        """Get a new keeper, and let those live again that died with the one before."""
        if self.is_leaving:
            return
        try:
            self.connect()
        except KeeperError as failure:
            logger.critical("unable to get a new keeper: %s; leaving, to be started anew", failure)
            os.abort()
        self._interpreter.keeper = self.channel
        self.listen()
        for agent in living:
            agent.close_pidfd()
            if agent.life.exit is None:
                self._fleet.dispatch(agent, Exited(None, None, Cause.KEEPER_LOST))
        self.on_restored()

    def _start_keeper(self) -> None:
        libexec = self._paths.libexec
        # argv of a Python started with -m is not what starts it again: say it in full.
        again = [sys.executable, "-m", "supervisord_asm.daemon", *sys.argv[1:]]
        subprocess.Popen(
            [
                # Into its own cgroup at once, or a kill of asmd's would take it along.
                str(libexec / "asm-enter"), "--cgroup", str(self._paths.cgroup),
                str(libexec / "asm-keeper"),
                "--listen", str(self._paths.keeper_socket),
                "--exec", str(libexec / "asm-exec"),
                "--asmd-pid", str(os.getpid()),
                "--asmd", *again,
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        logger.warning("no keeper was listening at %s: started one", self._paths.keeper_socket)
