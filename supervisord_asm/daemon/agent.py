"""One agent as the daemon holds it: its spec, its life, and the kernel objects of the present run.

Data only. `fleet.py` finds and moves agents, `births.py` fills in the kernel objects, and
`interpret.py` acts on them.
"""

import asyncio
import os
from dataclasses import dataclass, field

from supervisord_asm.core.exec_history import ExecHistory
from supervisord_asm.core.figures import ZERO, Figures
from supervisord_asm.core.lifecycle import Lifecycle, State, Timer
from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.core.spec import AgentSpec
from supervisord_asm.kernel.cgroupfs import Cgroup
from supervisord_asm.kernel.exec_spec import ExecSpecFile


@dataclass(slots=True)
class Totals:
    """Figures of the agent's earlier cgroups, to which the present one's row is added."""

    counters: Figures = ZERO
    peak_memory_bytes: int = 0


@dataclass(slots=True)
class Notified:
    """What it has said of itself in its present run, through NOTIFY_SOCKET."""

    run: int = 0
    state: str | None = None  # "ready" or "stopping"
    status: str | None = None


@dataclass(slots=True)
class Waiter:
    """Somebody who waits for the agent to reach one of these states, or for a run to end."""

    states: frozenset[State]
    future: asyncio.Future[None]
    run: int | None = None  # also done when another run than this one has begun


@dataclass(slots=True, eq=False)
class Agent:
    """Everything about one agent. Identity is the object: ids are unique in the fleet."""

    agent_id: int
    spec: AgentSpec
    life: Lifecycle
    uid: int
    gid: int
    is_transient: bool = False  # made by `asmctl run`, not by a file
    is_leaving: bool = False  # taken from the configuration; forgotten once stopped
    groups: tuple[int, ...] = ()
    user_name: str = ""
    slot: int | None = None
    cgroup: Cgroup | None = None
    is_cgroup_killed: bool = False  # cgroup.kill was written to it: no birth in it any more
    pidfd: int | None = None
    exec_spec: ExecSpecFile | None = None
    timers: dict[Timer, asyncio.TimerHandle] = field(default_factory=dict)
    forgetting: asyncio.TimerHandle | None = None  # of one that has ended and comes from no file
    waiters: list[Waiter] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    run_base: Figures = ZERO  # its lifetime's counters when the present run began, or the last
    notified: Notified = field(default_factory=Notified)
    execs: ExecHistory = field(default_factory=ExecHistory)  # since this asmd began
    drained_run: int = 0  # the last run whose log pipes reached their end
    view: AgentView | None = None  # cached until something changes

    @property
    def name(self) -> str:
        """The agent's unique name."""
        return self.spec.name

    def close_pidfd(self) -> None:
        """Let go of the main process; it has been reaped."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def cancel_forgetting(self) -> None:
        """Let the timer that would forget it go, and what it holds."""
        if self.forgetting is not None:
            self.forgetting.cancel()
            self.forgetting = None

    def wake_waiters(self) -> None:
        """Answer everybody whose state has come."""
        still: list[Waiter] = []
        for waiter in self.waiters:
            is_past = waiter.run is not None and waiter.run != self.life.run
            if self.life.state not in waiter.states and not is_past:
                still.append(waiter)
            elif not waiter.future.done():
                waiter.future.set_result(None)
        self.waiters = still
