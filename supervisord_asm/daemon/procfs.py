"""asm-procfs as the daemon keeps it: started through the keeper, connected to, started again.

It is a child of the keeper, not ours, so the mount and its last snapshot outlive us; a new asmd
connects to the one that runs. When it dies, readers see ENOTCONN until it is back, which is within
a second: the first start is at once, then every 500 ms.

When a killed agent does not empty, the one thing of ours that can hold a process unkillable is a
reader parked in this mount; `abort` cuts the FUSE connection, which frees every reader, and starts
over (../shared/spec/CONTRACT.md, "Freezing, doors and effects").
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

from supervisord_asm.daemon.births import Pipes
from supervisord_asm.daemon.keeper_link import SERVICE_ID_FIRST
from supervisord_asm.daemon.publish import Publisher
from supervisord_asm.kernel.cgroupfs import Cgroup, CgroupError
from supervisord_asm.kernel.exec_spec import ExecSpec, ExecSpecFile, describe_stage
from supervisord_asm.kernel.keeper_channel import KeeperChannel, KeeperError, KeeperMessage, Kind
from supervisord_asm.kernel.logdrain import LogDrain, LogDrainError
from supervisord_asm.kernel.mounts import MountError, force_unmount
from supervisord_asm.kernel.procfs_channel import ConnectionLost, ProcfsChannel
from supervisord_asm.paths import Paths

PROCFS_ID = SERVICE_ID_FIRST
CONNECT_RETRY_S = 0.02
CONNECT_TRIES = 100
RESTART_DELAY_S = 0.5
# However many agents are stuck: everybody reads the tree.
ABORT_INTERVAL_S = 10.0
ALL_CAPABILITIES = (1 << 64) - 1
LOG_BYTES = 1 << 20

logger = logging.getLogger(__name__)


class Procfs:
    """Keeps one asm-procfs running and fed."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        paths: Paths,
        publisher: Publisher,
        logs: LogDrain,
        cgroup: Cgroup,
        agents_cgroup: str,
        keeper: Callable[[], KeeperChannel | None],
        acknowledge: Callable[[int, int], None],
    ) -> None:
        self._loop = loop
        self._paths = paths
        self._publisher = publisher
        self._logs = logs
        self._cgroup = cgroup
        self._agents_cgroup = agents_cgroup
        self._keeper = keeper
        self._acknowledge = acknowledge
        self._channel = ProcfsChannel(str(paths.procfs_socket))
        self._run = 0
        self._pidfd: int | None = None
        self._is_writer_armed = False
        self._lives = False  # or is being born, as far as the keeper has told
        self._is_closing = self._is_stopping = False
        self._retry: asyncio.TimerHandle | None = None
        self._next_abort = 0.0
        self.trouble: str | None = "starting"
        self.ended = asyncio.Event()  # after close: the process is gone, or is let alone

    def pids(self) -> list[int]:
        """Return the pids of the server and of its unmounter; none while it does not run."""
        try:
            return self._cgroup.processes()
        except CgroupError:
            return []  # the cgroup is made anew, with a keeper

    def adopt(self, message: KeeperMessage) -> None:
        """An asm-procfs of an earlier asmd that still runs (or has ended): take it over."""
        self._run = max(self._run, message.run)
        if message.wait_code:
            self._acknowledge(message.agent_id, message.run)
            for fd in message.fds:
                os.close(fd)
            return
        self._pidfd = message.fds[0]
        self._lives = True
        if len(message.fds) == 3:
            self._drain(message.run, message.fds[1], message.fds[2])

    def start(self) -> None:
        """Connect to the one that runs, or start one."""
        if self._pidfd is None:
            self._spawn()
        self._connect(CONNECT_TRIES)

    def take(self, message: KeeperMessage) -> None:
        """News of the process from the keeper."""
        if message.kind is Kind.SPAWNED and message.result == 0:
            self._pidfd = message.fds[0]
            if self._is_stopping:
                self._signal(signal.SIGTERM)  # it was being born when we were told to leave
        elif message.kind is Kind.SPAWNED:
            self._lives = False
            self.trouble = f"unable to start asm-procfs: {os.strerror(-message.result)}"
            logger.error("%s, retrying", self.trouble)
            self._retry_later()
        elif message.kind is Kind.EXECED and message.result:
            stage = describe_stage(message.stage)
            self.trouble = f"unable to start asm-procfs: {stage}: {os.strerror(-message.result)}"
            logger.error("%s", self.trouble)
        elif message.kind is Kind.EXITED:
            self._ended(message)

    def restart(self, cgroup: Cgroup) -> None:
        """The keeper and with it asm-procfs is lost: begin again with the new one, in `cgroup`."""
        self._cgroup.close()
        self._cgroup = cgroup
        # Its keeper's death does not end it: a change of uid has cleared what prctl(2) had set.
        self._signal(signal.SIGKILL)
        self._close_pidfd()
        self._lives = False
        self._disconnect()
        with contextlib.suppress(MountError):
            force_unmount(self._paths.fuse)
        self.start()

    def abort(self) -> None:
        """Free every reader by cutting the FUSE connection; asm-procfs is started again."""
        now = self._loop.time()
        if now < self._next_abort:
            return
        self._next_abort = now + ABORT_INTERVAL_S
        logger.error("aborting the FUSE connection at %s: a reader may be stuck", self._paths.fuse)
        with contextlib.suppress(MountError):
            force_unmount(self._paths.fuse)
        self._signal(signal.SIGKILL)

    def flush(self) -> None:
        """Send what the publisher queued, as far as the socket takes it."""
        if not self._channel.is_connected:
            return
        try:
            is_done = self._channel.flush()
        except ConnectionLost as error:
            self._disconnect()
            if not self._is_closing:
                logger.warning("asm-procfs is gone (%s), reconnecting", error)
                self._connect(CONNECT_TRIES)
            return
        if not is_done and not self._is_writer_armed:
            self._is_writer_armed = True
            self._loop.add_writer(self._channel.fileno(), self._on_writable)

    def close(self, stop: bool) -> None:
        """Let go; with `stop`, end it too (it unmounts on SIGTERM)."""
        self._is_closing = True
        self._is_stopping = stop
        if self._retry is not None:
            self._retry.cancel()
        self._disconnect()
        if stop and self._lives:
            self._signal(signal.SIGTERM)
        else:
            self.ended.set()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._channel.fileno())
        self._is_writer_armed = False
        self.flush()

    def _connect(self, tries: int) -> None:
        self._retry = None
        if self._is_closing or self._channel.is_connected:
            return
        try:
            self._channel.connect()
        except ConnectionLost as error:
            if tries > 0:
                self._retry = self._loop.call_later(CONNECT_RETRY_S, self._connect, tries - 1)
                return
            self.trouble = str(error)
            logger.error("%s, retrying in %g s", error, 10 * RESTART_DELAY_S)
            self._retry = self._loop.call_later(10 * RESTART_DELAY_S, self._connect, CONNECT_TRIES)
            return
        self.trouble = None
        self._publisher.attach(self._channel)
        self.flush()

    def _disconnect(self) -> None:
        if self._channel.is_connected and self._is_writer_armed:
            self._loop.remove_writer(self._channel.fileno())
        self._is_writer_armed = False
        self._channel.close()
        self._publisher.detach()
        self.trouble = "not connected"

    def _ended(self, message: KeeperMessage) -> None:
        self._acknowledge(message.agent_id, message.run)
        if message.run != self._run:
            return
        self._close_pidfd()
        self._disconnect()
        self._lives = False
        self.ended.set()
        if self._is_closing:
            return
        logger.error("asm-procfs ended (status %d), starting it again", message.wait_status)
        self._retry_later()

    def _retry_later(self) -> None:
        if not self._is_closing:
            self._retry = self._loop.call_later(RESTART_DELAY_S, self.start)

    def _spawn(self) -> None:
        keeper = self._keeper()
        if keeper is None:
            return
        self._run += 1
        program = str(self._paths.libexec / "asm-procfs")
        arguments = (
            "asm-procfs",
            "--mount", str(self._paths.fuse),
            "--listen", str(self._paths.procfs_socket),
            "--user", "asm-procfs",
            "--agents-cgroup", self._agents_cgroup,
            "--group", "asm",
        )  # fmt: skip
        # It mounts as root with all capabilities and then drops both itself.
        spec = ExecSpecFile(
            ExecSpec(
                program,
                arguments,
                (("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),),
                "/",
                0,
                0,
                oom_score_adj=-500,
                umask=0o022,
                capabilities=ALL_CAPABILITIES,
            )
        )
        pipes = Pipes(0, 0)
        try:
            fds = (spec.fd, self._cgroup.fd, *pipes.write_ends, *pipes.read_ends)
            keeper.send(KeeperMessage(Kind.SPAWN, agent_id=PROCFS_ID, run=self._run, fds=fds))
            self._lives = True
            self.ended.clear()
            stdout, stderr = pipes.take_read_ends()
            self._drain(self._run, stdout, stderr)
        except (KeeperError, LogDrainError) as error:
            # A lost keeper is noticed by its link, which then has us begin again.
            self.trouble = str(error)
            logger.error("unable to start asm-procfs: %s", error)
        finally:
            spec.close()
            pipes.close()

    def _drain(self, run: int, stdout: int, stderr: int) -> None:
        self._logs.add(PROCFS_ID, run, "asm-procfs", stdout, stderr, LOG_BYTES, 2)

    def _signal(self, number: int) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
