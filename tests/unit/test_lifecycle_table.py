"""The table of an agent's life: what every (state, event) pair does, and that none is missing."""

import copy

import pytest

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    LIVING,
    TABLE,
    Adopted,
    Effect,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    Extended,
    IllegalTransition,
    Lifecycle,
    Ready,
    Recalled,
    Record,
    Reset,
    Restart,
    Spawn,
    Spawned,
    SpawnRefused,
    Start,
    State,
    Step,
    Stop,
    Timer,
    TimerFired,
    step,
)
from supervisord_asm.core.restart import Cause
from tests.lifecycle_driver import (
    DRAINING,
    reached,
)

EVENTS: tuple[Event, ...] = (
    Start("me"), Stop("me"), Stop("me", by_force=True), Restart("me"), Reset("me"),
    Adopted(5, 55, True), Adopted(5, 55, False),
    Recalled(1, None, Cause.ERROR), Spawned(42, 7), SpawnRefused(12, "no memory"),
    ExecDone(), Ready(), Extended(1_000_000), ExecFailed("executing the program", 2),
    Exited(0, None), Exited(1, None),
    Exited(None, 9), Exited(None, None, Cause.KEEPER_LOST), Emptied(),
    *(TimerFired(timer) for timer in Timer),
)  # fmt: skip


STARTS: tuple[State, ...] = (State.STOPPED, State.BACKOFF, State.FAILED)

SITUATIONS: tuple[State | str, ...] = (*State, DRAINING)

# What each pair leads to; a pair that is not here changes nothing and asks for nothing.
NEXT: dict[tuple[State | str, str], State] = {
    **{(state, "Start"): State.STARTING for state in STARTS},
    **{(state, "Restart"): State.STARTING for state in STARTS},
    (State.FAILED, "Reset"): State.STOPPED,
    **{(s, "Adopted active"): State.ACTIVE for s in (State.STOPPED, State.FAILED)},
    **{(s, "Adopted"): State.STARTING for s in (State.STOPPED, State.FAILED)},
    **{(s, "Recalled"): State.STOPPING for s in (State.STOPPED, State.FAILED)},
    (State.STARTING, "Stop"): State.STOPPING,
    (State.STARTING, "Restart"): State.STOPPING,
    (State.STARTING, "SpawnRefused"): State.STOPPING,
    (State.STARTING, "ExecDone"): State.ACTIVE,
    (State.STARTING, "Exited"): State.STOPPING,
    (State.STARTING, "TimerFired START"): State.STOPPING,
    (State.ACTIVE, "Stop"): State.STOPPING,
    (State.ACTIVE, "Restart"): State.STOPPING,
    (State.ACTIVE, "Exited"): State.STOPPING,
    (State.BACKOFF, "Stop"): State.STOPPED,
    (State.BACKOFF, "TimerFired BACKOFF"): State.STARTING,
    (DRAINING, "Emptied"): State.STARTING,  # its first restart
}
# Pairs that stay where they are and yet ask for something, or remember it.
STAYS: set[tuple[State | str, str]] = {
    *((situation, "Reset") for situation in SITUATIONS if situation != State.FAILED),
    (State.STARTING, "Spawned"), (State.STARTING, "ExecFailed"),
    (State.STARTING, "Ready"), (State.STARTING, "Extended"),
    (State.STOPPING, "Start"), (State.STOPPING, "Restart"), (State.STOPPING, "Stop"),
    (State.STOPPING, "Spawned"), (State.STOPPING, "SpawnRefused"), (State.STOPPING, "ExecFailed"),
    (State.STOPPING, "Exited"), (State.STOPPING, "TimerFired GRACE"),
    (DRAINING, "Start"), (DRAINING, "Restart"), (DRAINING, "Stop"), (DRAINING, "Spawned"),
    (DRAINING, "ExecFailed"), (DRAINING, "TimerFired GRACE"),
}  # fmt: skip
LIVE_OR_WAITING = (*LIVING, State.BACKOFF, DRAINING)
ILLEGAL = {(s, n) for s in LIVE_OR_WAITING for n in ("Adopted", "Adopted active", "Recalled")}


def name_of(event: Event) -> str:
    if isinstance(event, TimerFired):
        return f"TimerFired {event.timer.name}"
    if isinstance(event, Adopted) and event.is_active:
        return "Adopted active"
    return type(event).__name__


@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_every_pair_of_the_table_does_what_is_written_here(
    situation: State | str, event: Event
) -> None:
    life = reached(situation)
    before = copy.deepcopy(life.life)
    pair = (situation, name_of(event))
    if pair in ILLEGAL:
        with pytest.raises(IllegalTransition):
            life.do(event)
        assert life.life == before
        return
    effects = life.do(event)
    if pair in NEXT:
        assert life.life.state is NEXT[pair]
    elif pair in STAYS:
        assert life.life.state is before.state
    else:
        assert (life.life, effects) == (before, [])
    assert_consistent(before, life.life, effects)


def assert_consistent(before: Lifecycle, life: Lifecycle, effects: list[Effect]) -> None:
    """What holds after any event whatever."""
    spawns = [effect for effect in effects if isinstance(effect, Spawn)]
    assert len(spawns) == life.run - before.run or before.state in (State.STOPPED, State.FAILED)
    for spawn in spawns:
        assert spawn.run == life.run
        assert before.state not in LIVING or before.exit is not None
        # The record comes before the spawn that it announces.
        assert effects.index(Record(EventType.SPAWN, {"run": life.run})) < effects.index(spawn)
    assert (life.exit is None) or life.state is State.STOPPING
    if life.state not in LIVING:
        assert life.pid is None


def test_the_table_is_total() -> None:
    events = {type(event) for event in EVENTS}
    assert set(TABLE) == set(State)
    for state, row in TABLE.items():
        missing = events - set(row)
        assert missing == (set() if state in (State.STOPPED, State.FAILED) else {Adopted, Recalled})
        assert set(row) <= events


def test_a_command_that_changes_nothing_says_so() -> None:
    assert step(reached(State.ACTIVE).life, Start("me")) == Step((), "already active")
    assert step(reached(State.STARTING).life, Start("me")) == Step((), "already starting")
    assert step(reached(State.STOPPED).life, Stop("me")) == Step((), "already stopped")
    assert step(reached(State.FAILED).life, Stop("me")) == Step((), "already failed")


def test_a_command_says_what_it_begins() -> None:
    assert step(reached(State.STOPPED).life, Start("me")).note == "starting"
    assert step(reached(State.ACTIVE).life, Stop("me")).note == "stopping"
    assert step(reached(State.STOPPING).life, Start("me")).note == "starts once it has stopped"
    assert step(reached(State.BACKOFF).life, Stop("me")).note == "stopped"
    assert step(reached(State.FAILED).life, Reset("me")).note == "reset"
