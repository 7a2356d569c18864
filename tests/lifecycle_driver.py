"""A small driver of one agent's life: it applies events and remembers what was asked for."""

from collections.abc import Iterable
from typing import Any

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    Arm,
    Effect,
    Emptied,
    Event,
    ExecDone,
    Exited,
    Lifecycle,
    Policy,
    Record,
    Spawned,
    Start,
    State,
    Stop,
    Timer,
    TimerFired,
    step,
)
from supervisord_asm.core.spec import RestartKind, RestartSpec

GRACE_USEC, START_USEC = 10_000_000, 90_000_000
ON_FAILURE = RestartSpec(kind=RestartKind.ON_FAILURE, max_restarts=2, jitter_permille=0)

DRAINING = "draining"  # STOPPING whose exit is known


class Life:
    """One agent's life, and everything that was asked for on the way."""

    def __init__(self, restart: RestartSpec = ON_FAILURE, state: State = State.STOPPED) -> None:
        self.life = Lifecycle(Policy(restart, GRACE_USEC, START_USEC), state)
        self.effects: list[Effect] = []

    def do(self, *events: Event) -> list[Effect]:
        """Apply events; return the effects of these."""
        made: list[Effect] = []
        for event in events:
            made += step(self.life, event).effects
        self.effects += made
        return made

    def run(self) -> "Life":
        """Start it and bring it up."""
        self.do(Start("me"), Spawned(42, 7), ExecDone())
        assert self.life.state is State.ACTIVE
        return self

    def end(self, code: int | None = 1, signal: int | None = None) -> list[Effect]:
        """Let its run end, and its cgroup empty."""
        return self.do(Exited(code, signal), Emptied())

    def come_back(self) -> None:
        """Bring a run up that a restart has begun."""
        if self.life.state is State.BACKOFF:
            self.do(TimerFired(Timer.BACKOFF))
        assert self.life.state is State.STARTING
        self.do(Spawned(42, 7), ExecDone())


def records(effects: Iterable[Effect]) -> list[EventType]:
    return [effect.type for effect in effects if isinstance(effect, Record)]


def data(effects: Iterable[Effect], kind: EventType) -> dict[str, Any]:
    (found,) = [e.data for e in effects if isinstance(e, Record) and e.type is kind]
    return dict(found)


def waits(effects: Iterable[Effect]) -> list[int]:
    return [e.delay_usec for e in effects if isinstance(e, Arm) and e.timer is Timer.BACKOFF]


def reached(state: State | str) -> Life:
    """Return a life that got there by events."""
    life = Life()
    if state == State.STOPPED:
        return life
    if state == State.FAILED:
        life = Life(RestartSpec(kind=RestartKind.NO)).run()
        life.end()
        return life
    life.do(Start("me"))
    if state == State.STARTING:
        return life
    life.do(Spawned(42, 7), ExecDone())
    if state == State.STOPPING:
        life.do(Stop("me"))
    if state == State.BACKOFF:
        life.end()
        life.come_back()
        life.end()
    if state == DRAINING:
        life.do(Exited(1, None))
    return life
