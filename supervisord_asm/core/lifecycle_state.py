"""Where one agent stands in its life: plain values, changed by `core/lifecycle.step` only."""

import enum
from dataclasses import dataclass

from supervisord_asm.core.lifecycle_events import ExecFailed, Exited
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.spec import RestartSpec


class State(enum.StrEnum):
    """Where an agent stands. Values are shown to people and are ABI."""

    STOPPED = "stopped"
    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


LIVING = frozenset({State.STARTING, State.ACTIVE, State.STOPPING})


class After(enum.Enum):
    """What follows the end of the run."""

    DECIDE = enum.auto()  # the exit is not known yet: the restart policy will say
    STOP = enum.auto()
    START = enum.auto()  # a start or restart that was commanded
    RESTART = enum.auto()  # by the policy
    FAIL = enum.auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """The parts of an agent's spec that its life depends on."""

    restart: RestartSpec
    grace_usec: int
    start_timeout_usec: int
    waits_for_ready: bool = False  # active when it has said READY=1, not when its program runs


@dataclass(slots=True)
class Lifecycle:
    """The state of one agent's life."""

    policy: Policy
    state: State = State.STOPPED
    run: int = 0
    restart_count: int = 0
    pid: int | None = None
    is_executed: bool = False  # STARTING: its program runs
    is_ready: bool = False  # STARTING: it said READY=1, of which news may come before that
    after: After = After.DECIDE
    is_forced: bool = False  # the tree was killed: who is born late is killed too
    attempt: int = 0  # the restart that BACKOFF or draining leads to
    delay_usec: int = 0
    reason: str = ""  # why FAIL follows
    cause: Cause | None = None  # why we are ending it; None = it ends by itself
    exit: Exited | None = None
    exec_failure: ExecFailed | None = None
