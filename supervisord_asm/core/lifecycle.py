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
emptiness; BACKOFF and FAILED and STOPPED have no process. The table is total but for Adopted and
Recalled, which are for agents at rest: a pair that cannot happen maps to `_ignore`, so a missing
one is a bug.

Words: systemd.service(5), Erlang supervisor(3); states: ../shared/spec/CONTRACT.md ("Values").
The states throttled and frozen come with the calls that enter them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle_effects import (
    Arm,
    AwaitEmpty,
    Disarm,
    Effect,
    Extend,
    KillTree,
    Record,
    Spawn,
    Terminate,
    Timer,
)
from supervisord_asm.core.lifecycle_events import (
    Adopted,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    Extended,
    Ready,
    Recalled,
    Reset,
    Restart,
    Spawned,
    SpawnRefused,
    Start,
    Stop,
    TimerFired,
)
from supervisord_asm.core.lifecycle_state import LIVING, After, Lifecycle, Policy, State
from supervisord_asm.core.restart import (
    Cause,
    Decision,
    cause_of_exit,
    decide_restart,
    exit_number,
    is_crash,
)

# The whole vocabulary of a life under one name, for whoever drives one.
__all__ = [
    "step", "Step", "IllegalTransition", "TABLE",
    "Lifecycle", "Policy", "State", "LIVING", "After",
    "Event", "Start", "Stop", "Restart", "Reset", "Adopted", "Recalled", "Spawned", "SpawnRefused",
    "ExecDone", "Ready", "Extended", "ExecFailed", "Exited", "Emptied", "TimerFired",
    "Effect", "Record", "Spawn", "Terminate", "KillTree", "AwaitEmpty", "Arm", "Extend", "Disarm",
    "Timer",
]  # fmt: skip


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
    life.is_forced = life.is_executed = life.is_ready = False
    life.attempt = life.delay_usec = 0
    life.reason = ""
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


def _stop_record(by: str, cause: Cause) -> Record:
    return Record(EventType.STOP, {"by": by, "cause": cause.value})


def _kill(life: Lifecycle) -> KillTree:
    life.is_forced = True
    return KillTree()


def _begin_stop(life: Lifecycle, by: str, cause: Cause, by_force: bool, after: After) -> Step:
    life.state = State.STOPPING
    life.after = after
    life.cause = cause
    way: tuple[Effect, ...] = (
        (_kill(life),) if by_force else (Terminate(), Arm(Timer.GRACE, life.policy.grace_usec))
    )
    return Step(
        (_stop_record(by, cause), Disarm(Timer.START), Disarm(Timer.STABLE), *way), "stopping"
    )


def _stop(life: Lifecycle, event: Stop, jitter: int) -> Step:
    return _begin_stop(life, event.by, event.cause, event.by_force, After.STOP)


def _restart(life: Lifecycle, event: Restart, jitter: int) -> Step:
    return _begin_stop(life, event.by, Cause.OPERATOR, False, After.START)


def _stop_harder(life: Lifecycle, event: Stop, jitter: int) -> Step:
    # Whatever was to follow (a restart by policy, a commanded one) does not any more.
    is_news = life.after is not After.STOP or (event.by_force and not life.is_forced)
    life.after = After.STOP
    effects: list[Effect] = [_stop_record(event.by, event.cause)] if is_news else []
    if event.by_force:
        effects.append(_kill(life))
    return Step(tuple(effects), "stopping")


def _stop_in_backoff(life: Lifecycle, event: Stop, jitter: int) -> Step:
    life.state = State.STOPPED
    return Step(
        (
            Disarm(Timer.BACKOFF),
            _stop_record(event.by, event.cause),
            Record(EventType.STOPPED, {}),
        ),
        "stopped",
    )


def _reset(life: Lifecycle, event: Reset, jitter: int) -> Step:
    # What is decided already is forgiven too: a restart to come is the first, a failure is none.
    life.attempt = 1 if life.attempt > life.restart_count else 0
    life.restart_count = 0
    if life.after is After.FAIL:
        life.after = After.STOP
    if life.state is State.FAILED:
        life.state = State.STOPPED
    return Step((Record(EventType.RESET, {"by": event.by}),), "reset")


def _adopted(life: Lifecycle, event: Adopted, jitter: int) -> Step:
    # Its SPAWN was recorded by the daemon that began it; its deadlines ended with that daemon.
    life.run, life.pid = event.run, event.pid
    life.after = After.DECIDE
    life.is_forced = life.is_executed = life.is_ready = False
    life.cause = life.exit = life.exec_failure = None
    if not event.is_active:
        life.state = State.STARTING
        return Step((Arm(Timer.START, life.policy.start_timeout_usec),))
    life.state = State.ACTIVE
    return Step(_watch_stability(life))


def _recalled(life: Lifecycle, event: Recalled, jitter: int) -> Step:
    # The daemon that recorded this exit died before it had acted on it.
    life.state = State.STOPPING
    life.after = After.DECIDE
    life.is_forced = False
    life.cause = life.exec_failure = None
    life.exit = Exited(event.code, event.signal, event.cause)
    _decide(life, event.cause, life.exit, jitter)
    return Step((AwaitEmpty(),))


def _spawned(life: Lifecycle, event: Spawned, jitter: int) -> Step:
    life.pid = event.pid
    return Step()


def _spawned_too_late(life: Lifecycle, event: Spawned, jitter: int) -> Step:
    # The stop came while the birth was on its way: it could signal, or kill, nobody then.
    life.pid = event.pid
    return Step((KillTree() if life.is_forced else Terminate(),))


def _exec_done(life: Lifecycle, event: ExecDone, jitter: int) -> Step:
    life.is_executed = True
    return _activate(life)


def _ready(life: Lifecycle, event: Ready, jitter: int) -> Step:
    life.is_ready = True
    return _activate(life) if life.is_executed else Step()


def _extended(life: Lifecycle, event: Extended, jitter: int) -> Step:
    # Of its start only: a stop is somebody else's wish, and its grace is what the spec gives.
    return Step((Extend(Timer.START, event.delay_usec),))


def _activate(life: Lifecycle) -> Step:
    if life.policy.waits_for_ready and not life.is_ready:
        return Step()  # the start's deadline stands
    life.state = State.ACTIVE
    started = Record(EventType.STARTED, {"run": life.run, "pid": life.pid})
    return Step((Disarm(Timer.START), started, *_watch_stability(life)))


def _watch_stability(life: Lifecycle) -> tuple[Effect, ...]:
    if life.restart_count == 0:
        return ()
    return (Arm(Timer.STABLE, life.policy.restart.stable_usec),)


def _exec_failed(life: Lifecycle, event: ExecFailed, jitter: int) -> Step:
    life.exec_failure = event
    return Step((Record(EventType.EXEC_FAILED, {"stage": event.stage, "errno": event.errno}),))


def _spawn_refused(life: Lifecycle, event: SpawnRefused, jitter: int) -> Step:
    if life.exit is not None:
        return Step()  # the keeper was lost before it could answer, and that was its end
    life.exec_failure = ExecFailed(event.text, event.errno)
    record = Record(EventType.EXEC_FAILED, {"stage": event.text, "errno": event.errno})
    ended = _exited(life, Exited(None, None), jitter)
    return Step((record, *ended.effects))


def _start_timed_out(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    if event.timer is not Timer.START:
        return Step()
    life.state = State.STOPPING
    life.cause = Cause.START_TIMEOUT
    return Step((_kill(life),))


def _stable(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    if event.timer is not Timer.STABLE or not life.restart_count:
        return Step()
    life.restart_count = 0
    return Step((Record(EventType.RESTART_DECAY, {}),))


def _grace_over(life: Lifecycle, event: TimerFired, jitter: int) -> Step:
    return Step((_kill(life),)) if event.timer is Timer.GRACE else Step()


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
    if life.cause is not None:
        return life.cause
    if event.cause is not None:
        return event.cause
    if life.exec_failure is not None:
        return Cause.EXEC_FAILURE
    return cause_of_exit(life.policy.restart, event.code, event.signal)


def _exited(life: Lifecycle, event: Exited, jitter: int) -> Step:
    if life.exit is not None:
        return Step()  # one run has one exit, however often it is told
    cause = _cause(life, event)
    life.state = State.STOPPING
    life.exit = event
    pid, life.pid = life.pid, None
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
                "pid": pid,
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
    life.reason = "exec-failure" if cause is Cause.EXEC_FAILURE else verdict.reason
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
        return Step((Record(EventType.FAILED, {"reason": life.reason}),))
    life.state = State.STOPPED
    return Step((Record(EventType.STOPPED, {}),))


# -- The table. Total: each state answers each event. `_ignore` marks what may arrive late and means
# nothing any more; a timer may have fired before its Disarm was carried out.

TABLE: Mapping[State, Mapping[type, Handler]] = {
    State.STOPPED: {
        Start: _start, Stop: _already, Restart: _start, Reset: _reset,
        Adopted: _adopted, Recalled: _recalled,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _ignore,
        Ready: _ignore, Extended: _ignore,
    },
    State.STARTING: {
        Start: _already, Stop: _stop, Restart: _restart, Reset: _reset,
        Spawned: _spawned, SpawnRefused: _spawn_refused, ExecDone: _exec_done,
        ExecFailed: _exec_failed, Exited: _exited, Emptied: _ignore, TimerFired: _start_timed_out,
        Ready: _ready, Extended: _extended,
    },
    State.ACTIVE: {
        Start: _already, Stop: _stop, Restart: _restart, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _exited, Emptied: _ignore, TimerFired: _stable,
        Ready: _ignore, Extended: _ignore,
    },
    State.STOPPING: {
        Start: _start_after_stop, Stop: _stop_harder, Restart: _start_after_stop, Reset: _reset,
        Spawned: _spawned_too_late, SpawnRefused: _spawn_refused, ExecDone: _ignore,
        ExecFailed: _exec_failed, Exited: _exited, Emptied: _emptied, TimerFired: _grace_over,
        Ready: _ignore, Extended: _ignore,
    },
    State.BACKOFF: {
        Start: _start, Stop: _stop_in_backoff, Restart: _start, Reset: _reset,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _backoff_over,
        Ready: _ignore, Extended: _ignore,
    },
    State.FAILED: {
        Start: _start, Stop: _already, Restart: _start, Reset: _reset,
        Adopted: _adopted, Recalled: _recalled,
        Spawned: _ignore, SpawnRefused: _ignore, ExecDone: _ignore, ExecFailed: _ignore,
        Exited: _ignore, Emptied: _ignore, TimerFired: _ignore,
        Ready: _ignore, Extended: _ignore,
    },
}  # fmt: skip
