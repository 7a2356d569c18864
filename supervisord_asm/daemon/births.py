"""Prepares a birth and orders it: everything between "run N may begin" and the keeper's clone3.

Owns the slots of the counting maps. What an agent needs only once (state directory, spec file) is
kept for its next lives; its cgroup and slot are kept until it is stopped, so a restart makes
neither.
"""

import contextlib
import errno
import fcntl
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from supervisord_asm.core.figures import Figures, added, counters_of, named
from supervisord_asm.core.spec import SEARCH_PATH_DEFAULT
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.gate import Gate
from supervisord_asm.kernel.cgroupfs import Cgroup, CgroupError
from supervisord_asm.kernel.exec_spec import (
    ExecSpec,
    ExecSpecError,
    ExecSpecFile,
    ExecSpecTooLarge,
    Rlimit,
)
from supervisord_asm.kernel.keeper_channel import KeeperChannel, KeeperMessage, Kind
from supervisord_asm.kernel.logdrain import LogDrain, LogDrainError
from supervisord_asm.kernel.probes import ProbeError, Probes
from supervisord_asm.kernel.sampler import Sampler, SamplerError
from supervisord_asm.paths import Paths

# 1 MiB is fs.pipe-max-size's default and CONTRACT's figure ("Logs"); the kernel rounds to pages.
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031
# Enough for real programs; the kernel's own default soft limit of 1,024 is a trap for servers.
NOFILE_DEFAULT = (1024, 524_288)

Figure = int | list[int | None]


class BirthError(Exception):
    """What could not be prepared, with the errno that the agent's record shows."""

    def __init__(self, errno_: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno_
        self.text = text


class Births:
    """Makes the surroundings of a run and sends the keeper its order."""

    def __init__(
        self,
        *,
        paths: Paths,
        agents: Cgroup,
        probes: Probes | None,
        sampler: Sampler,
        logs: LogDrain,
        slots: int,
    ) -> None:
        self._paths = paths
        self._agents = agents
        self._probes = probes
        self._sampler = sampler
        self._logs = logs
        self._free_slots = list(range(slots - 1, -1, -1))
        self.on_release: Callable[[Agent], None] = lambda agent: None
        """Called while the slot of an agent that has ended still says whose it is."""

    def order(
        self, agent: Agent, run: int, keeper: KeeperChannel, gate: Gate | None = None
    ) -> list[int]:
        """Prepare the run and send SPAWN; return the pipes' read ends, for `drain`.

        With a gate, which is used then, the program is executed only when that opens. Raises
        BirthError, KeeperError.
        """
        try:
            self._prepare(agent)
            assert agent.cgroup is not None
            assert agent.exec_spec is not None
            pipes = Pipes(agent.uid, agent.gid)
        except (CgroupError, ProbeError, SamplerError, OSError) as error:
            raise BirthError(error.errno or errno.EIO, str(error)) from error
        except ExecSpecError as error:
            # As execve(2) would say: the spec is too large, or cannot be written down.
            number = errno.E2BIG if isinstance(error, ExecSpecTooLarge) else errno.EINVAL
            raise BirthError(number, str(error)) from error
        fds = (agent.exec_spec.fd, agent.cgroup.fd, *pipes.write_ends, *pipes.read_ends)
        if gate is not None:
            fds += (gate.read_end,)
        try:
            keeper.send(KeeperMessage(Kind.SPAWN, agent_id=agent.agent_id, run=run, fds=fds))
            if gate is not None:
                gate.use()
            return pipes.take_read_ends()
        finally:
            pipes.close()

    def drain(self, agent: Agent, run: int, read_ends: Sequence[int]) -> None:
        """Hand a run's pipes to the log drain, which owns them from here on."""
        logs = agent.spec.logs
        with contextlib.suppress(LogDrainError):
            # An agent whose log cannot be opened still runs: output is dropped by the closed pipe's
            # keeper end and the drain's counters say so.
            self._logs.add(
                agent.agent_id, run, agent.name, read_ends[0], read_ends[1], logs.max_bytes,
                logs.files,
            )  # fmt: skip

    def bind(self, agent: Agent) -> None:
        """Make the agent's cgroup and count it, unless done. Raises BirthError or its causes."""
        if agent.cgroup is not None:
            return
        if not self._free_slots:
            raise BirthError(
                errno.ENOSPC, "no counting slot is free: agents_max in asm.yaml is reached"
            )
        cgroup = Cgroup.make(self._agents.path / str(agent.agent_id))
        slot = self._free_slots.pop()
        try:
            if self._probes is not None:
                self._probes.bind(slot, cgroup.fd, cgroup.id)
            self._sampler.add(slot, agent.agent_id, cgroup.fd)
        except BaseException:  # whatever it was, the slot is free again; it goes on upward
            self._free_slots.append(slot)
            cgroup.close()
            raise
        agent.cgroup, agent.slot, agent.is_cgroup_killed = cgroup, slot, False

    def adopt_slot(self, agent: Agent, slot: int) -> None:
        """Take over a slot that an earlier asmd bound and that still counts."""
        assert agent.cgroup is None
        agent.cgroup = Cgroup(self._agents.path / str(agent.agent_id))
        agent.slot = slot
        agent.is_cgroup_killed = True  # perhaps, by the asmd before us
        self._free_slots.remove(slot)
        self._sampler.add(slot, agent.agent_id, agent.cgroup.fd)

    def unbind_others(self) -> None:
        """Free the slots that an earlier asmd bound and nobody took over."""
        if self._probes is not None:
            free = set(self._free_slots)
            for slot in self._probes.bound():
                if slot in free:
                    self._probes.unbind(slot)

    def release(self, agent: Agent) -> None:
        """Take the final figures and remove the cgroup of an agent that has ended."""
        if agent.cgroup is None or agent.slot is None:
            return
        self.on_release(agent)
        row = self._sampler.remove(agent.slot)
        totals = agent.totals
        totals.counters = added(totals.counters, counters_of(row))
        totals.peak_memory_bytes = max(totals.peak_memory_bytes, row.peak_memory_bytes or 0)
        if self._probes is not None:
            self._probes.unbind(agent.slot)
        self._free_slots.append(agent.slot)
        cgroup, agent.cgroup, agent.slot = agent.cgroup, None, None
        with contextlib.suppress(CgroupError):
            # EBUSY would mean a process that cgroup.kill spared; the next start meets it again.
            cgroup.remove_tree()
        cgroup.close()

    def begin_run(self, agent: Agent) -> dict[str, Figure]:
        """Note what the agent used before the run that begins now; return what to record of it.

        That is what the cgroups that are gone have counted, for whoever adopts the run beside the
        present one, and in `run_base` the lifetime so far, that one included.
        """
        totals = agent.totals
        agent.run_base = totals.counters
        if agent.slot is not None:
            self._sampler.sample_now(agent.slot)
            now = counters_of(self._sampler.row(agent.slot))
            agent.run_base = added(totals.counters, now)
        record = _recorded(totals.counters, totals.peak_memory_bytes)
        return {**record, "run_base": list(agent.run_base)}

    def lifetime_figures(self, agent: Agent) -> dict[str, Figure]:
        """Return what the agent used in all its runs, as of now, as it is recorded."""
        totals = agent.totals
        if agent.slot is None:
            return _recorded(totals.counters, totals.peak_memory_bytes)
        self._sampler.sample_now(agent.slot)
        row = self._sampler.row(agent.slot)
        peak_bytes = max(totals.peak_memory_bytes, row.peak_memory_bytes or 0)
        return _recorded(added(totals.counters, counters_of(row)), peak_bytes)

    def finish_log(self, agent: Agent, run: int) -> None:
        """Nothing of the run lives: whoever still holds its pipes has nothing to say."""
        with contextlib.suppress(LogDrainError):
            self._logs.finish(agent.agent_id, run)

    def forget_log(self, agent: Agent) -> None:
        """Let the agent's log go: the agent leaves, and its name may be taken."""
        with contextlib.suppress(LogDrainError):
            self._logs.remove(agent.agent_id)

    def forget_spec(self, agent: Agent) -> None:
        """Drop the prepared spec file: the spec has changed, or the agent leaves."""
        if agent.exec_spec is not None:
            agent.exec_spec.close()
            agent.exec_spec = None

    def state_directory(self, agent: Agent) -> Path:
        """Return the agent's HOME."""
        return self._paths.state / "agents" / agent.name

    def _prepare(self, agent: Agent) -> None:
        if agent.exec_spec is None:
            home = self.state_directory(agent)
            make_state_directory(home, agent.uid, agent.gid)
            agent.exec_spec = ExecSpecFile(exec_spec_of(agent, home, self._paths))
        self.bind(agent)


def _recorded(counters: Figures, peak_memory_bytes: int) -> dict[str, Figure]:
    """Return figures as STOPPED, FAILED and SPAWN have them."""
    record: dict[str, Figure] = {
        name: figure or 0
        for name, figure in named(counters).items()
        if name in ("cpu_time_us", "syscall_count")
    }
    record["peak_memory_bytes"] = peak_memory_bytes
    if any(counters):
        record["counters"] = list(counters)
    return record


class Pipes:
    """The two log pipes of one run: write ends for the child, read ends for keeper and drain."""

    def __init__(self, uid: int, gid: int) -> None:
        self.read_ends: list[int] = []
        self.write_ends: list[int] = []
        for _ in ("stdout", "stderr"):
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            self.read_ends.append(read_end)
            self.write_ends.append(write_end)
            # Only our end: the agent gets the blocking pipe that programs expect.
            os.set_blocking(read_end, False)
            _enlarge(write_end)
            # Programs open /dev/stderr anew, which asks the inode's owner and not the descriptor.
            os.fchown(write_end, uid, gid)

    def take_read_ends(self) -> list[int]:
        """Hand the read ends over; close() leaves them alone then."""
        taken, self.read_ends = self.read_ends, []
        return taken

    def close(self) -> None:
        """Close what was not handed over."""
        for fd in (*self.read_ends, *self.write_ends):
            os.close(fd)
        self.read_ends, self.write_ends = [], []


def _enlarge(fd: int) -> None:
    # Refused beyond pipe-user-pages for the unprivileged; 64 KiB then remain, which also work.
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES)


def make_state_directory(home: Path, uid: int, gid: int) -> None:
    """Make the agent's 0700 directory, its own. An existing one is given to it. Raises OSError."""
    try:
        os.mkdir(home, 0o700)
    except FileExistsError:
        found = os.lstat(home)
        if (found.st_uid, found.st_gid) == (uid, gid):
            return
    # By descriptor and without following links: the agent itself may own what stands here.
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(fd, uid, gid)
        os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def exec_spec_of(agent: Agent, home: Path, paths: Paths) -> ExecSpec:
    """Return what asm-exec is told about this agent."""
    spec = agent.spec
    environment = environment_of(agent, home, paths)
    return ExecSpec(
        program=find_program(spec.command[0], environment.get("PATH", SEARCH_PATH_DEFAULT)),
        arguments=spec.command,
        environment=tuple(environment.items()),
        working_directory=spec.working_directory or str(home),
        uid=agent.uid,
        gid=agent.gid,
        groups=agent.groups,
        rlimits=_rlimits_of(agent),
        oom_score_adj=spec.oom_score_adj,
        nice=spec.nice,
        umask=spec.umask,
    )


def environment_of(agent: Agent, home: Path, paths: Paths) -> dict[str, str]:
    """Return the agent's whole environment: from empty, never ours."""
    spec = agent.spec
    environment = {
        "PATH": SEARCH_PATH_DEFAULT,
        "HOME": str(home),
        "USER": agent.user_name,
        "LANG": "C.UTF-8",
    }
    environment |= {name: os.environ[name] for name in spec.environment_pass if name in os.environ}
    environment |= dict(spec.environment)
    # Last, so that no spec can lie about them (core/spec.py refuses to try).
    environment |= {
        "ASM_AGENT_ID": str(agent.agent_id),
        "ASM_SOCKET": str(paths.agent_socket),
        "NOTIFY_SOCKET": str(paths.notify_socket),
    }
    if spec.limits.watchdog_usec is not None:
        # Without WATCHDOG_PID: any process of the agent may speak for it (sd_watchdog_enabled(3)).
        environment["WATCHDOG_USEC"] = str(spec.limits.watchdog_usec)
    return environment


def find_program(name: str, search_path: str) -> str:
    """Return the program's path as execvp(3) would find it; the name itself when nothing fits."""
    if "/" in name:
        return name
    for folder in search_path.split(":"):
        candidate = os.path.join(folder or ".", name)
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    return name


def _rlimits_of(agent: Agent) -> tuple[Rlimit, ...]:
    limits, scope = agent.spec.limits, agent.spec.scope
    # The keeper's own NOFILE is high; an agent gets the usual one unless it asks.
    soft, hard = NOFILE_DEFAULT if limits.nofile is None else (limits.nofile, limits.nofile)
    chosen = [Rlimit(resource.RLIMIT_NOFILE, soft, hard)]
    core = limits.core_bytes or 0
    chosen.append(Rlimit(resource.RLIMIT_CORE, core, core))
    if scope.max_file_size_bytes is not None:
        size = scope.max_file_size_bytes
        chosen.append(Rlimit(resource.RLIMIT_FSIZE, size, size))
    return tuple(chosen)
