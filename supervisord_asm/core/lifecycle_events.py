"""What happens to an agent: a closed set of events, the input of the lifecycle's table.

Commands (Start to Reset) say who gave them. News of a process belong to the present run: the caller
drops those of an earlier one. Nothing here is recorded; records are core/events.py's.
"""

from dataclasses import dataclass

from supervisord_asm.core.lifecycle_effects import Timer
from supervisord_asm.core.restart import Cause


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody wants it to run."""

    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody wants it gone: politely, with grace; `by_force` goes straight to cgroup.kill."""

    by: str
    cause: Cause = Cause.OPERATOR
    by_force: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop, then start."""

    by: str


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget the failures."""

    by: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """The keeper holds this run, which an earlier daemon began. Only for an agent at rest."""

    run: int
    pid: int
    is_active: bool
    """The agent's own program runs; else its exec is still to come, or has failed."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The record has this end of a run and not what followed. Only for an agent at rest."""

    code: int | None
    signal: int | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process exists."""

    pid: int
    start_time_ticks: int | None = None
    """None: nobody has looked, since the pidfd tells it from every other."""


@dataclass(frozen=True, slots=True)
class SpawnRefused:
    """No process came to be; `text` says why."""

    errno: int
    text: str


@dataclass(frozen=True, slots=True)
class ExecDone:
    """The agent's own program runs."""


@dataclass(frozen=True, slots=True)
class Ready:
    """It said READY=1. Means something only where the policy waits for it."""


@dataclass(frozen=True, slots=True)
class Extended:
    """It said EXTEND_TIMEOUT_USEC: it is alive and needs at least this long from now."""

    delay_usec: int


@dataclass(frozen=True, slots=True)
class ExecFailed:
    """asm-exec could not become the program. Its exit follows."""

    stage: str
    errno: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended: `code`, or `signal`, or neither when nobody can know any more.

    `cause` overrides what the status says (the keeper's death, a shutdown found out later).
    """

    code: int | None
    signal: int | None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Emptied:
    """No process is left in the cgroup."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A deadline that we armed has come."""

    timer: Timer


Event = (
    Start | Stop | Restart | Reset | Adopted | Recalled | Spawned | SpawnRefused | ExecDone
    | Ready | Extended | ExecFailed | Exited | Emptied | TimerFired
)  # fmt: skip
