"""Whether and when an agent that ended is started again. Pure: knows no clock and no process.

Kinds and words follow systemd.service(5) ("Restart="), the limit and FAILED follow the guide
(restart while restart_count < max_restarts), the delay follows ../shared/spec/DECISIONS.md: the
first restart is at once, then 100 ms doubling to 30 s with jitter. Which causes may restart at all
is CONTRACT's ("Faults"): crash, watchdog and fault exits count towards the limit; operator,
dependency, policy and budget exits never restart.

Jitter comes in as a number from the caller, so that one input has one output.
"""

import enum
from dataclasses import dataclass

from supervisord_asm.core.spec import RestartKind, RestartSpec


class Cause(enum.StrEnum):
    """Why an agent ended. A closed list; its values are shown and recorded."""

    CLEAN = "clean"
    ERROR = "error"
    SIGNAL = "signal"
    OOM_AGENT = "oom-agent"
    OOM_HOST = "oom-host"
    WATCHDOG = "watchdog"
    CPU = "cpu"
    MEMORY = "memory"
    SYSCALL_FLOOD = "syscall-flood"
    POLICY = "policy"
    BUDGET = "budget"
    DEPENDENCY = "dependency"
    OPERATOR = "operator"
    EXEC_FAILURE = "exec-failure"
    START_TIMEOUT = "start-timeout"
    KEEPER_LOST = "keeper-lost"
    SHUTDOWN = "shutdown"
    UNKNOWN = "unknown"


NEVER_RESTART = frozenset(
    {Cause.OPERATOR, Cause.DEPENDENCY, Cause.POLICY, Cause.BUDGET, Cause.SHUTDOWN}
)
# The keeper's death is ours, not the agent's: the fleet comes back uncharged (CONTRACT, Programs).
UNCHARGED = frozenset({Cause.KEEPER_LOST})

# Why an agent is FAILED, as people read it.
LIMIT_REACHED = "restart limit reached"
NOT_BY_POLICY = "not restarted by its policy"

PERMILLE = 1000


class Decision(enum.Enum):
    """What follows an exit."""

    STAY_STOPPED = enum.auto()
    RESTART = enum.auto()
    FAIL = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision; RESTART with its attempt and the wait before it, FAIL with its reason."""

    decision: Decision
    attempt: int = 0
    delay_usec: int = 0
    reason: str = ""


def is_crash(cause: Cause) -> bool:
    """Whether an exit by this cause is a crash: it counts as a fault and may lead to FAILED."""
    return cause is not Cause.CLEAN and cause not in NEVER_RESTART and cause not in UNCHARGED


def backoff_usec(spec: RestartSpec, attempt: int, jitter_permille: int) -> int:
    """Return the wait before restart number `attempt` (from 1).

    `jitter_permille` in -1000..1000 scales the spec's own share of jitter, so that a thousand
    agents felled by one event do not come back in one instant.
    """
    assert attempt >= 1
    assert -PERMILLE <= jitter_permille <= PERMILLE
    if attempt == 1:
        return 0
    # Shifting by more than this passes any sane maximum; a huge int would only be slow.
    doublings = min(attempt - 2, 40)
    delay = min(spec.backoff_initial_usec << doublings, spec.backoff_max_usec)
    spread = delay * spec.jitter_permille // PERMILLE
    return max(0, delay + spread * jitter_permille // PERMILLE)


def exit_number(code: int | None, signal: int | None) -> int | None:
    """Return the exit as the spec's lists write it: a code, or a negated signal number."""
    return code if code is not None else -signal if signal is not None else None


def cause_of_exit(spec: RestartSpec, code: int | None, signal: int | None) -> Cause:
    """Name an exit that nobody asked for, from its status alone."""
    number = exit_number(code, signal)
    if number is None:
        return Cause.UNKNOWN
    if number == 0 or number in spec.success_exits:
        return Cause.CLEAN
    return Cause.ERROR if number > 0 else Cause.SIGNAL


def decide_restart(
    spec: RestartSpec, cause: Cause, number: int | None, restart_count: int, jitter_permille: int
) -> Verdict:
    """Decide what follows an exit, `restart_count` restarts after the last reset.

    `number` is exit_number()'s, for the spec's lists. They outrank the kind, not the limit.
    """
    if cause in NEVER_RESTART:
        return Verdict(Decision.STAY_STOPPED)
    if cause in UNCHARGED:
        return Verdict(Decision.RESTART, restart_count, 0)
    may_restart = number not in spec.prevent_exits and (
        number in spec.force_exits or _kind_restarts(spec.kind, cause)
    )
    if may_restart and restart_count < spec.max_restarts:
        attempt = restart_count + 1
        return Verdict(Decision.RESTART, attempt, backoff_usec(spec, attempt, jitter_permille))
    # A clean exit is no failure, also when the limit forbids to start it once more.
    if not is_crash(cause):
        return Verdict(Decision.STAY_STOPPED)
    return Verdict(Decision.FAIL, reason=LIMIT_REACHED if may_restart else NOT_BY_POLICY)


def _kind_restarts(kind: RestartKind, cause: Cause) -> bool:
    match kind:
        case RestartKind.NO:
            return False
        case RestartKind.ALWAYS:
            return True
        case RestartKind.ON_SUCCESS:
            return cause is Cause.CLEAN
        case RestartKind.ON_FAILURE:
            return cause is not Cause.CLEAN
        case RestartKind.ON_ABNORMAL:
            # systemd: signal, watchdog, time-out; not an unclean exit status.
            return cause not in (Cause.CLEAN, Cause.ERROR, Cause.EXEC_FAILURE)
        case RestartKind.ON_WATCHDOG:
            return cause is Cause.WATCHDOG
