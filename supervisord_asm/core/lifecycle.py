"""The life of one agent: a table of (state, event) -> handler. Pure.

Rule 1: everything that moves an agent from one state to another lives here. Rule 2: this file does
not know how anything is done; it returns effects, which `daemon/interpret.py` carries out.

Theory of operation. A *run* is one life of the agent's process tree, numbered from 1. It begins
with the effect Spawn and has ended only when two things are known: the exit of its main process
(Exited, from the keeper) and the emptiness of its cgroup (Emptied). Between them stands STOPPING,
whoever caused the end. So a restart never overlaps with what an earlier run left behind, and
"stopped" means that nothing of the agent runs.

What happens after a run is decided when it ends, in `after`; a command that comes while it is still
ending may change it. This is how a commanded stop never resurrects: it sets `after` to STOP, and
nothing later asks the restart policy again.

Invariants: `run` grows by one at each Spawn; `exit` is set exactly while STOPPING waits for
emptiness; BACKOFF and FAILED and STOPPED have no process. The table is total: a pair that cannot
happen maps to `_ignore` with its reason in the table's comment, so a missing pair is a bug.

Words: systemd.service(5), Erlang supervisor(3); states: ../shared/spec/CONTRACT.md ("Values").
The states throttled and frozen come with the calls that enter them.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisord_asm.core.events import EventType
from supervisord_asm.core.restart import (
    Cause,
    Decision,
    cause_of_exit,
    decide_restart,
    exit_number,
    is_crash,
)
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


class Timer(enum.Enum):
    """The deadlines of one agent; at most one of each is armed."""

    START = enum.auto()
    GRACE = enum.auto()
    BACKOFF = enum.auto()
    STABLE = enum.auto()


class After(enum.Enum):
    """What follows the end of the run."""

    DECIDE = enum.auto()  # the exit is not known yet: the restart policy will say
    STOP = enum.auto()
    START = enum.auto()  # a start or restart that was commanded
    RESTART = enum.auto()  # by the policy, charged
    FAIL = enum.auto()


# -- Events: what happened. Those with a run are dropped by the caller when it is not the current one.


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
class Spawned:
    """The process exists."""

    pid: int
    start_time_ticks: int


@dataclass(frozen=True, slots=True)
class SpawnRefused:
    """No process came to be; `text` says why."""

    errno: int
    text: str


@dataclass(frozen=True, slots=True)
class ExecDone:
    """The agent's own program runs."""


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
    Start | Stop | Restart | Reset | Spawned | SpawnRefused | ExecDone | ExecFailed
    | Exited | Emptied | TimerFired
)  # fmt: skip


# -- Effects: what to do, in order.


@dataclass(frozen=True, slots=True)
class Record:
    """Append to the history. What follows Spawn waits until this is durable."""

    type: EventType
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Begin run number `run`; only after every Record before it is durable."""

    run: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send the spec's stop signal to the main process."""


@dataclass(frozen=True, slots=True)
class KillTree:
    """cgroup.kill."""


@dataclass(frozen=True, slots=True)
class AwaitEmpty:
    """Kill what is left and say Emptied when nothing is."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Set the deadline, replacing an earlier one of its kind."""

    timer: Timer
    delay_usec: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget the deadline."""

    timer: Timer


Effect = Record | Spawn | Terminate | KillTree | AwaitEmpty | Arm | Disarm


@dataclass(frozen=True, slots=True)
class Policy:
    """The parts of an agent's spec that its life depends on."""

    restart: RestartSpec
    grace_usec: int
    start_timeout_usec: int


@dataclass(slots=True)
class Lifecycle:
    """The state of one agent's life. Changed by `step` only."""

    policy: Policy
    state: State = State.STOPPED
    run: int = 0
    restart_count: int = 0
    pid: int | None = None
    after: After = After.DECIDE
    attempt: int = 0  # the restart that BACKOFF or draining leads to
    delay_usec: int = 0
    cause: Cause | None = None  # why we are ending it; None = it ends by itself
    exit: Exited | None = None
    exec_failure: ExecFailed | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What an event led to: effects, and a word for whoever commanded it."""

    effects: tuple[Effect, ...] = ()
    note: str = ""


class IllegalTransition(Exception):
    """A pair that the table does not hold: a bug here or in the caller."""


Handler = Callable[[Lifecycle, Any, int], Step]


def step(life: Lifecycle, event: Event, jitter_permille: int = 0) -> Step:
    """Apply one event. Raises IllegalTransition for a pair that is not in the table."""
    handler = TABLE[life.state].get(type(event))
    if handler is None:
        raise IllegalTransition(f"{type(event).__name__} while {life.state}")
    return handler(life, event, jitter_permille)


# -- Handlers.


def _ignore(life: Lifecycle, event: Event, jitter: int) -> Step:
    return Step()


def _already(life: Lifecycle, event: Event, jitter: int) -> Step:
    return Step(note=f"already {life.state}")


def _spawn(life: Lifecycle) -> tuple[Effect, ...]:
    life.state = State.STARTING
    life.run += 1
    life.after = After.DECIDE
    life.cause = life.exit = life.exec_failure = life.pid = None
    life.attempt = life.delay_usec = 0
    return (
        Record(EventType.SPAWN, {"run": life.run}),
        Spawn(life.run),
        Arm(Timer.START, life.policy.start_timeout_usec),
    )


def _start(life: Lifecycle, event: Start, jitter: int) -> Step:
    # By hand from FAILED, and from anywhere: the operator looked at it, so the count starts anew.
    life.restart_count = 0
    return Step((Disarm(Timer.BACKOFF), *_spawn(life)), "starting")


def _start_after_stop(life: Lifecycle, event: Start | Restart, jitter: int) -> Step:
    life.after = After.START
    return Step(note="starts once it has stopped")


def _begin_stop(life: Lifecycle, by: str, cause: Cause, by_force: bool, after: After) -> Step:
    life.state = State.STOPPING
    life.after = after
    life.cause = cause
    way: tuple[Effect, ...] = (
        (KillTree(),) if by_force else (Terminate(), Arm(Timer.GRACE, life.policy.grace_usec))
    )
    return Step(
        (
            Record(EventType.STOP, {"by": by, "cause": cause.value}),
            Disarm(Timer.START),
            Disarm(Timer.STABLE),
            *way,
        ),
        "stopping",
    )


def _stop(life: Lifecycle, event: Stop, jitter: int) -> Step:
    return _begin_stop(life, event.by, event.cause, event.by_force, After.STOP)


def _restart(life: Lifecycle, event: Restart, jitter: int) -> Step:
    return _begin_stop(life, event.by, Cause.OPERATOR, False, After.START)


def _stop_harder(life: Lifecycle, event: Stop, jitter: int) -> Step:
    # Whatever was to follow (a restart by policy, a commanded one) does not any more.
    life.after = After.STOP
    if life.cause is None:
        life.cause = event.cause
    return Step((KillTree(),) if event.by_force else (), "stopping")


def _stop_in_backoff(life: Lifecycle, event: Stop, jitter: int) -> Step:
    life.state = State.STOPPED
    return Step(
        (
            Disarm(Timer.BACKOFF),
            Record(EventType.STOP, {"by": event.by, "cause": event.cause.value}),
            Record(EventType.STOPPED, {}),
        ),
        "stopped",
    )


def _reset(life: Lifecycle, event: Reset, jitter: int) -> Step:
    life.restart_count = 0
    if life.state is State.FAILED:
        life.state = State.STOPPED
    return Step((Record(EventType.RESET, {"by": event.by}),), "reset")


def _spawned(life: Lifecycle, event: Spawned, jitter: int) -> Step:
    life.pid = event.pid
    return Step()


def _spawned_too_late(life: Lifecycle, event: Spawned, jitter: int) -> Step:
    # The stop came while the birth was on its way: it could signal nobody then.
    life.pid = event.pid
    return Step((Terminate(),))


def _exec_done(life: Lifecycle, event: ExecDone, jitter: int) -> Step:
    life.state = State.ACTIVE
    effects: list[Effect] = [
        Disarm(Timer.START),
        Record(EventType.STARTED, {"run": life.run, "pid": life.pid}),
    ]
    if life.restart_count:
        effects.append(Arm(Timer.STABLE, life.policy.restart.stable_usec))
    return Step(tuple(effects))


def _exec_failed(life: Lifecycle, event: ExecFailed, jitter: int) -> Step:
    life.exec_failure = event
    return Step(
        (Record(EventType.EXEC_FAILED, {"stage": event.stage, "errno": event.errno}),)
    )


def _spawn_refused(life: Lifecycle, event: SpawnRefused, jitter: int) -> Step:
    life.exec_failure = ExecFailed(event.text, event.errno)
    record = Record(EventType.EXEC_FAILED, {"stage": event.text, "errno": event.errno})
    ended = _exited(life, Exited(None, None), jitter)
    return Step((record, *ended.effects))


def _start_timed_out(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    if event.timer is not Timer.START:
        return Step()
    life.state = State.STOPPING
    life.cause = Cause.START_TIMEOUT
    return Step((KillTree(),))


def _stable(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    if event.timer is not Timer.STABLE or not life.restart_count:
        return Step()
    life.restart_count = 0
    return Step((Record(EventType.RESTART_DECAY, {}),))


def _grace_over(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    return Step((KillTree(),)) if event.timer is Timer.GRACE else Step()


def _backoff_over(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    return Step(_respawn(life)) if event.timer is Timer.BACKOFF else Step()


def _respawn(life: Lifecycle) -> tuple[Effect, ...]:
    attempt, charged = life.attempt, life.attempt > life.restart_count
    life.restart_count = attempt
    record = Record(
        EventType.RESTART,
        {
            "attempt": attempt,
            "max_restarts": life.policy.restart.max_restarts,
            "delay_us": life.delay_usec,
            "charged": charged,
        },
    )
    return (record, *_spawn(life))


def _cause(life: Lifecycle, event: Exited) -> Cause:
    if event.cause is not None and life.cause is None:
        return event.cause
    if life.cause is not None:
        return life.cause
    if life.exec_failure is not None:
        return Cause.EXEC_FAILURE
    return cause_of_exit(life.policy.restart, event.code, event.signal)


def _exited(life: Lifecycle, event: Exited, jitter: int) -> Step:
    cause = _cause(life, event)
    life.state = State.STOPPING
    life.exit = event
    effects: list[Effect] = [
        Disarm(Timer.START),
        Disarm(Timer.GRACE),
        Disarm(Timer.STABLE),
        Record(
            EventType.EXIT,
            {
                "code": event.code,
                "signal": event.signal,
                "cause": cause.value,
                "pid": life.pid,
                "run": life.run,
                "crashed": is_crash(cause),
            },
        ),
    ]
    if life.after is After.DECIDE:
        _decide(life, cause, event, jitter)
    if is_crash(cause):
        effects.append(Record(EventType.FAULT, _crash_fault(life, event)))
    effects.append(AwaitEmpty())
    return Step(tuple(effects))


def _decide(life: Lifecycle, cause: Cause, event: Exited, jitter: int) -> None:
    number = exit_number(event.code, event.signal)
    restart = life.policy.restart
    verdict = decide_restart(restart, cause, number, life.restart_count, jitter)
    life.attempt, life.delay_usec = verdict.attempt, verdict.delay_usec
    life.after = {
        Decision.RESTART: After.RESTART,
        Decision.FAIL: After.FAIL,
        Decision.STAY_STOPPED: After.STOP,
    }[verdict.decision]


def _crash_fault(life: Lifecycle, event: Exited) -> dict[str, Any]:
    # A crash is one fault (CONTRACT, Faults); its payload is the guide's Crashed{signal}.
    action = "Restart" if life.after in (After.RESTART, After.START) else "Alert"
    return {
        "fault": "Crashed",
        "severity": "Critical",
        "action": action,
        "description": "Agent crashed",
        "signal": event.signal,
    }


def _emptied(life: Lifecycle, event: Emptied, jitter: int) -> Step:
    if life.exit is None:
        # Empty, and yet the keeper has not told the exit: it will, and then we ask again.
        return Step()
    after = life.after
    assert after is not After.DECIDE, "decided at the exit"
    life.exit = None
    if after is After.START:
        life.restart_count = 0
        return Step(_spawn(life))
    if after is After.RESTART and life.delay_usec == 0:
        return Step(_respawn(life))
    if after is After.RESTART:
        life.state = State.BACKOFF
        return Step((Arm(Timer.BACKOFF, life.delay_usec),))
    if after is After.FAIL:
        life.state = State.FAILED
        reason = "exec-failure" if life.exec_failure else "restart limit"
        if life.policy.restart.max_restarts > life.restart_count and not life.exec_failure:
            reason = "crashed, and its restart policy forbids another start"
        return Step((Record(EventType.FAILED, {"reason": reason}),))
    life.state = State.STOPPED
    return Step((Record(EventType.STOPPED, {}),))


# -- The table. Total: each state answers each event. `_ignore` marks what may arrive late and means
# nothing any more; a timer may have fired before its Disarm was carried out.

TABLE: Mapping[State, Mapping[type, Handler]] = {
    State.STOPPED: {
        Start: _start, Stop: _already, Restart: _start, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _ignore,
    },
    State.STARTING: {
        Start: _already, Stop: _stop, Restart: _restart, Reset: _reset,
        Spawned: _spawned, SpawnRefused: _spawn_refused, ExecDone: _exec_done,
        ExecFailed: _exec_failed, Exited: _exited, Emptied: _ignore, TimerFired: _start_timed_out,
    },
    State.ACTIVE: {
        Start: _already, Stop: _stop, Restart: _restart, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _exited, Emptied: _ignore, TimerFired: _stable,
    },
    State.STOPPING: {
        Start: _start_after_stop, Stop: _stop_harder, Restart: _start_after_stop, Reset: _reset,
        Spawned: _spawned_too_late, SpawnRefused: _spawn_refused, ExecDone: _ignore,
        ExecFailed: _exec_failed, Exited: _exited, Emptied: _emptied, TimerFired: _grace_over,
    },
    State.BACKOFF: {
        Start: _start, Stop: _stop_in_backoff, Restart: _start, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _backoff_over,
    },
    State.FAILED: {
        Start: _start, Stop: _already, Restart: _start, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _ignore,
    },
}  # fmt: skip
