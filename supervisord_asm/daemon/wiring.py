"""Builds the daemon from its configuration: the only file that constructs adapters.

Order of a start: folders and lock, journal, keeper (whose greeting says what lives), cgroups,
counting, logs, then the fleet is reconciled, and only then may anybody ask. Each part closes in the
reverse order. Nothing here decides anything.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from supervisord_asm.api.server import Server
from supervisord_asm.configuration import Configuration
from supervisord_asm.core.doctor import doctor_checks
from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.lifecycle import Stop
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.support import decide_plan
from supervisord_asm.daemon import own_log
from supervisord_asm.daemon.activity import Activity
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.births import Births
from supervisord_asm.daemon.cgroup_layout import open_layout
from supervisord_asm.daemon.commands import Commands
from supervisord_asm.daemon.condition import Condition
from supervisord_asm.daemon.control import ControlDoor
from supervisord_asm.daemon.cost import CostMeter
from supervisord_asm.daemon.door import AgentDoor
from supervisord_asm.daemon.emptiness import EmptinessWatch
from supervisord_asm.daemon.enrolment import Enrolment
from supervisord_asm.daemon.fleet import AT_REST, Fleet
from supervisord_asm.daemon.folders import make_folders, paths_of
from supervisord_asm.daemon.interpret import Interpreter
from supervisord_asm.daemon.keeper_link import KeeperLink
from supervisord_asm.daemon.lock import Lock
from supervisord_asm.daemon.measuring import Measuring
from supervisord_asm.daemon.notices import Notices
from supervisord_asm.daemon.procfs import Procfs
from supervisord_asm.daemon.publish import Publisher, Texts
from supervisord_asm.daemon.reconcile import Reconciliation
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.reloading import Reloading
from supervisord_asm.daemon.retention import keep_retention
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.daemon.sockets import group_id, serve_agents, serve_operators
from supervisord_asm.kernel.clock import boot_id
from supervisord_asm.kernel.identity import Kind, PeerVanished, Principal, identify
from supervisord_asm.kernel.logdrain import LogDrain
from supervisord_asm.kernel.mounts import MountError, force_unmount, mount_bpffs, waits_for_fuse
from supervisord_asm.kernel.notify import notify, watchdog_interval_s
from supervisord_asm.kernel.notify_socket import NotifySocket
from supervisord_asm.kernel.probes import ProbeError, Probes
from supervisord_asm.kernel.sampler import Sampler
from supervisord_asm.kernel.support_probe import probe_support
from supervisord_asm.store.journal import Journal
from supervisord_asm.store.tallies import Tallies

PROCFS_STOP_TIMEOUT_S = 2.0
# Beyond the longest grace: cgroup.kill takes milliseconds, a process stuck in the kernel longer.
STOP_PATIENCE_S = 10.0
TRANSIENT_KEPT_S = 60.0
logger = logging.getLogger(__name__)


class Daemon:
    """asmd, whole. `start`, then the loop runs until `done`."""

    def __init__(self, configuration: Configuration, asm_yaml: Path) -> None:
        self._configuration = configuration
        self._asm_yaml = asm_yaml
        self._spec = configuration.daemon
        self.paths = paths_of(self._spec.paths)
        self.done: asyncio.Future[int]
        self._closers: list[Callable[[], None]] = []
        self._is_leaving = False
        self._agents_settled = asyncio.Event()
        self._keeps_agents = True
        self._servers: list[Server] = []
        self._notices: Notices | None = None
        self._syscalls_gone = 0

    async def start(self) -> None:
        """Bring everything up; raises what keeps the daemon from starting."""
        began = time.monotonic()
        loop = self._loop = asyncio.get_running_loop()
        self.done = loop.create_future()
        paths, spec = self.paths, self._spec
        self._gid = group_id(spec.sockets.group)
        make_folders(paths, self._gid)
        self._later(Lock(paths.lock_file, paths.pid_file).release)
        self._boot_id = boot_id()
        self._journal = Journal.open(
            paths.journal, clock=time.monotonic_ns, queue_max=spec.journal.queue_max,
            group=spec.sockets.group,
        )  # fmt: skip
        self._later(self._close_journal)
        self._recorder = Recorder(self._journal, loop, self._boot_id)
        self._emptiness = EmptinessWatch(loop)
        self._later(self._emptiness.close)
        keeper = self._keeper = KeeperLink(paths=paths, loop=loop, recorder=self._recorder)
        children = keeper.connect()
        self._later(keeper.close)
        assert keeper.channel is not None
        self._layout = open_layout(str(paths.cgroup), keeper.channel.peer_pid())
        self._open_counting()
        self._open_logs()
        self._build_fleet()
        self._build_views()
        Reconciliation(
            fleet=self._fleet, enrolment=self._enrolment, recorder=self._recorder,
            births=self._births, keeper=keeper, layout=self._layout,
            bound=self._probes.bound() if self._probes is not None else {},
            boot_id=self._boot_id, on_service=self._procfs.adopt,
        ).run(self._configuration.agents, children)  # fmt: skip
        self._syscalls_gone = self._syscalls_of_the_gone()
        keeper.listen()
        self._procfs.start()
        await self._open_sockets()
        self._start_clockwork()
        notify(f"READY=1\nSTATUS={len(self._fleet)} agents")
        self._announce()
        logger.info(
            "started: %d agents configured, %d processes adopted, in %d ms",
            len(self._fleet), len(children), int((time.monotonic() - began) * 1000),
        )  # fmt: skip

    def shut_down(self, agents: str, status: int = 0) -> "asyncio.Future[bool]":
        """Leave: with "stop" every agent is stopped first, with "keep" they go on.

        Returns what is done when the agents are as wanted; then we leave.
        """
        if not self._is_leaving:
            self._is_leaving = True
            self._commands.is_leaving = True
            self._shutdown_task = self._loop.create_task(self._leave(agents, status))
            self._shutdown_task.add_done_callback(self._left)
        return asyncio.ensure_future(self._agents_settled.wait())

    def _left(self, task: "asyncio.Task[None]") -> None:
        """Nothing keeps us from leaving, not even a mistake on the way."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.critical("unable to leave in order: %s", error, exc_info=error)
        self._agents_settled.set()
        if not self.done.done():
            self.done.set_result(1)

    def reload(self) -> None:
        """Read the configuration again, for SIGHUP: errors go to the log, nothing by halves."""
        try:
            self._reloading.reload(Principal(Kind.OPERATOR, 0, 0, 0))
        except ControlRefusal as error:
            logger.error("reload refused: %s %s", error.text, error.details.get("errors", ""))

    def close(self) -> None:
        """Close all parts in reverse order. After a crash of `start` too."""
        while self._closers:
            with contextlib.suppress(OSError):
                self._closers.pop()()

    # -- Parts, in the order of the start.

    def _close_journal(self) -> None:
        lost = self._journal.close()
        if lost:
            logger.critical("%d events could not be written before the end", lost)

    def _open_counting(self) -> None:
        paths, spec = self.paths, self._spec
        pins: str | None = str(paths.bpffs)
        try:
            mount_bpffs()
        except MountError as error:
            logger.error("counts will not outlive asmd: %s", error)
            pins = None
        support = probe_support()
        plan = decide_plan(support, spec.probes.value)
        self._probes: Probes | None = None
        self._probes_trouble: str | None = None
        try:
            self._probes = Probes.open(pins, self._layout.agents.fd, spec.agents_max, plan)
        except ProbeError as error:
            self._probes_trouble = str(error)
            logger.error("counting without BPF: %s", f"{error}\n{error.log}".rstrip())
            plan = plan.failed(str(error))
        self._support_checks = doctor_checks(support, plan)
        self._sampler = Sampler(self._probes, spec.agents_max)
        self._sampler.start()
        self._later(self._close_counting)

    def _close_counting(self) -> None:
        self._loop.remove_reader(self._sampler.fileno())
        self._sampler.close()
        if self._probes is not None:
            # Unpinned only when no agent is left to be counted.
            self._probes.close(unpin=self._is_leaving and not self._keeps_agents)

    def _open_logs(self) -> None:
        folder = self.paths.logs / "agents"
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._logs = LogDrain(fd, self._gid)
        os.close(fd)
        self._logs.start()
        self._later(self._logs.close)

    def _build_fleet(self) -> None:
        self._births = Births(
            paths=self.paths, agents=self._layout.agents, probes=self._probes,
            sampler=self._sampler, logs=self._logs, slots=self._spec.agents_max,
        )  # fmt: skip
        interpreter = Interpreter(
            loop=self._loop, recorder=self._recorder, births=self._births,
            emptiness=self._emptiness, on_stuck=self._on_stuck,
        )  # fmt: skip
        self._fleet = Fleet(interpreter, self._births)
        self._activity = Activity(self._fleet, self._probes)
        self._births.on_release = self._activity.finish
        self._enrolment = Enrolment(self._fleet, self._recorder, self._spec)
        self._keeper.attach(self._fleet, interpreter)
        interpreter.on_released = lambda agent: self._snapshots.forget(agent.agent_id)

    def _build_views(self) -> None:
        history = self._recorder.history
        self._tallies = Tallies(self.paths.tallies, 2 * self._spec.agents_max, self._boot_id)
        self._later(self._tallies.close)
        self._condition = Condition(
            history=history, fleet=self._fleet, sampler=self._sampler, probes=self._probes,
            probes_trouble=self._probes_trouble, journal=self._journal,
            support_checks=self._support_checks, controllers=self._layout.controllers,
            boot_id=self._boot_id, counters=self._counters, syscalls_total=self._syscalls_total,
            keeper_pid=self._keeper_pid,
        )  # fmt: skip
        system = self._condition.system
        self._snapshots = Snapshots(
            paths=self.paths, fleet=self._fleet, history=history, sampler=self._sampler,
            system=system, dropped_lines=self._logs.dropped_lines, tallies=self._tallies,
        )  # fmt: skip
        self._measuring = Measuring(self._fleet, self._recorder, self._sampler, self._snapshots)
        self._texts = Texts(self._snapshots, history, system)
        self._publisher = Publisher(self._texts, history, system, self._measuring)
        self._procfs = Procfs(
            loop=self._loop, paths=self.paths, publisher=self._publisher, logs=self._logs,
            cgroup=self._layout.procfs, agents_cgroup=str(self._layout.agents_path),
            keeper=lambda: self._keeper.channel, acknowledge=self._keeper.acknowledge,
        )  # fmt: skip
        self._condition.procfs = self._procfs
        self._keeper.on_service = self._procfs.take
        self._keeper.on_restored = self._on_keeper_restored
        self._recorder.on_recorded = self._on_recorded
        self._fleet.on_ended = self._on_ended
        self._fleet.on_gone = self._on_gone

    async def _open_sockets(self) -> None:
        paths, sockets = self.paths, self._spec.sockets
        commands = self._commands = Commands(
            paths=paths, fleet=self._fleet, enrolment=self._enrolment, recorder=self._recorder,
            logs=self._logs, note_drained=self._note_drained,
        )  # fmt: skip
        reloading = self._reloading = Reloading(
            asm_yaml=self._asm_yaml, configuration=self._configuration, fleet=self._fleet,
            enrolment=self._enrolment, recorder=self._recorder,
        )  # fmt: skip
        control = ControlDoor(
            fleet=self._fleet, snapshots=self._snapshots, history=self._recorder.history,
            system=self._condition.system, commands=commands, reloading=reloading,
            sampler=self._sampler, journal=self._journal, checks=self._condition.checks,
            cost=CostMeter(sampler=self._sampler, processes=self._own_pids),
            activity=self._activity, readings=self._measuring.readings, shut_down=self.shut_down,
        )  # fmt: skip
        profiling = self._measuring.profiling
        door = AgentDoor(self._fleet, self._snapshots, self._texts, self._tallies, profiling)
        self._tallies.keep_only({agent.agent_id for agent in self._fleet})
        self._notices = Notices(
            loop=self._loop, fleet=self._fleet, beat=door.beat,
            socket=NotifySocket(paths.notify_socket, self._layout.agents_path),
        )  # fmt: skip
        self._later(self._notices.close)
        agents = await serve_agents(
            self._loop, paths.agent_socket, sockets, self._spec.agents_max, self._identify,
            profiling.timed_door(door.answer),
        )  # fmt: skip
        operators = await serve_operators(
            self._loop, paths.control_socket, sockets, self._gid, self._identify,
            profiling.timed_control(control.answer),
        )  # fmt: skip
        for path, server in ((paths.agent_socket, agents), (paths.control_socket, operators)):
            self._servers.append(server)
            self._later(partial(path.unlink, missing_ok=True))
            self._later(server.close)

    def _start_clockwork(self) -> None:
        self._loop.add_reader(self._sampler.fileno(), self._on_pass)
        self._later(self._activity.watch(self._loop))
        retention = self._loop.create_task(
            keep_retention(
                self._journal, self._recorder, self._spec.journal.retention_days, self._boot_id
            )
        )
        self._retention = retention
        interval = watchdog_interval_s()
        if interval is not None:
            self._beat(interval)

    # -- What happens.

    def _on_pass(self) -> None:
        self._sampler.acknowledge()
        self._note_drained()
        self._activity.take()
        self._measuring.pass_over(self._publisher.tick)
        self._procfs.flush()

    def _on_recorded(self, event: Event) -> None:
        self._publisher.event(event)
        agent = self._fleet.get(event.agent_id)
        if agent is not None:
            agent.view = None

    def _note_drained(self) -> None:
        """Take from the log drain which runs' output is complete.

        Asked by whoever waits for that, and once a second: not told, because every exit would wake
        us twice, and first for what can wait.
        """
        for agent_id, run in self._logs.finished():
            agent = self._fleet.get(agent_id)
            if agent is not None:
                agent.drained_run = max(agent.drained_run, run)

    def _on_stuck(self, agent: Agent) -> None:
        """Free it if it waits for us; a slow end (much memory, a slow disk) is its own affair."""
        logger.error("agent %d was killed a second ago and is not gone", agent.agent_id)
        cgroup = agent.cgroup
        if cgroup is not None and any(map(waits_for_fuse, cgroup.processes())):
            self._procfs.abort()

    def _on_keeper_restored(self) -> None:
        assert self._keeper.channel is not None
        layout = open_layout(str(self.paths.cgroup), self._keeper.channel.peer_pid())
        layout.agents.close()
        self._procfs.restart(layout.procfs)

    def _beat(self, interval_s: float) -> None:
        notify("WATCHDOG=1")
        self._loop.call_later(interval_s, self._beat, interval_s)

    async def _leave(self, agents: str, status: int) -> None:
        self._keeps_agents = agents == "keep"
        notify("STOPPING=1")
        if not self._keeps_agents:
            await self._stop_all()
            self._keeper.quit()
            self.paths.keeper_socket.unlink(missing_ok=True)
        elif status == 0:
            self._keeper.rest()
        self._agents_settled.set()
        self._procfs.close(stop=not self._keeps_agents)
        if not self._keeps_agents:
            await self._await_procfs_end()
            self._layout.remove(self._keeper_pid())
        self._recorder.record(EventType.DAEMON_STOP, 0, {"agents": agents})
        durable = asyncio.Event()
        self._recorder.after_durable(lambda error: durable.set())
        await durable.wait()
        if not self.done.done():
            self.done.set_result(status)

    async def _stop_all(self) -> None:
        """Stop every agent; what does not end within its grace and a while is let go of."""
        waits = []
        patience_s = STOP_PATIENCE_S
        for agent in self._fleet:
            if agent.life.state not in AT_REST:
                patience_s = max(patience_s, STOP_PATIENCE_S + agent.life.policy.grace_usec / 1e6)
                self._fleet.dispatch(agent, Stop("shutdown", Cause.SHUTDOWN))
                waits.append(self._fleet.wait_for(agent, AT_REST))
        if waits:
            _, late = await asyncio.wait(waits, timeout=patience_s)
            if late:
                logger.error("%d agents did not stop in %g s", len(late), patience_s)

    async def _await_procfs_end(self) -> None:
        """It cleans up when it ends; one that does not end, or was killed, is cleaned up after."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._procfs.ended.wait(), PROCFS_STOP_TIMEOUT_S)
        with contextlib.suppress(MountError):
            force_unmount(self.paths.fuse)
        self.paths.procfs_socket.unlink(missing_ok=True)

    # -- Small answers for the parts.

    def _identify(self, peer_socket: socket.socket) -> Principal | None:
        try:
            return identify(peer_socket, self._layout.agents_path, self._gid)
        except PeerVanished:
            return None

    def _counters(self) -> Mapping[str, int]:
        counted: Counter[str] = Counter()
        for server in self._servers:
            counted.update(server.counters)
        if self._notices is not None:
            counted.update(self._notices.counters)
        counted["events_not_recorded"] = self._recorder.lost_events
        counted["asmd_log_lines"] = own_log.dropped_lines()
        counted["log_lines"] = sum(map(self._logs.dropped_lines, self._fleet.ids()))
        return counted

    def _keeper_pid(self) -> int:
        return self._keeper.channel.peer_pid() if self._keeper.channel is not None else 0

    def _own_pids(self) -> Mapping[str, list[int]]:
        keeper = self._keeper_pid()
        return {
            "asmd": [os.getpid()],
            "asm-keeper": [keeper] if keeper else [],
            "asm-procfs": self._procfs.pids(),
        }

    def _syscalls_total(self) -> int | None:
        if self._probes is None:
            return None
        return self._syscalls_gone + sum(v.syscall_count or 0 for v in self._snapshots.agents())

    def _syscalls_of_the_gone(self) -> int:
        """What agents made that are in the history only: the total must not fall with them."""
        return self._recorder.history.syscalls_beside(self._fleet.ids())

    def _on_ended(self, agent: Agent) -> None:
        self._snapshots.forget(agent.agent_id)
        if agent.is_transient:
            self._births.forget_spec(agent)
            agent.cancel_forgetting()
            agent.forgetting = self._loop.call_later(
                TRANSIENT_KEPT_S, self._forget_transient, agent
            )

    def _forget_transient(self, agent: Agent) -> None:
        """It was asked about by whoever ran it; from now on the history answers, for 24 h."""
        if self._fleet.get(agent.agent_id) is agent and agent.life.state in AT_REST:
            self._fleet.forget(agent)
            with contextlib.suppress(OSError):
                self._births.state_directory(agent).rmdir()  # an empty home is nobody's loss

    def _on_gone(self, agent: Agent) -> None:
        self._tallies.forget(agent.agent_id)
        if self._notices is not None:
            self._notices.forget(agent.agent_id)
        agent.cancel_forgetting()  # another may have its name within the minute
        if agent.is_transient:  # its name is free; the history keeps the last 1,024 of them
            self._recorder.record(EventType.RETIRE, agent.agent_id, {"name": agent.name})
        self._snapshots.forget(agent.agent_id)
        self._syscalls_gone = self._syscalls_of_the_gone()
        self._measuring.forget(agent)

    def _announce(self) -> None:
        """The line that the guide's `dmesg | grep ASM` looks for (CONTRACT, Logs)."""
        with contextlib.suppress(OSError):
            fd = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
            try:
                if stat.S_ISCHR(os.fstat(fd).st_mode):
                    os.write(fd, b"[ASM] Agent Supervision Module initialized\n")
            finally:
                os.close(fd)

    def _later(self, close: Callable[[], None]) -> None:
        self._closers.append(close)
