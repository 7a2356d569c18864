"""Stories of an agent's life: each path through the table that means something to somebody."""

import pytest

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    Adopted,
    After,
    Arm,
    AwaitEmpty,
    Disarm,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    KillTree,
    Recalled,
    Record,
    Reset,
    Restart,
    Spawn,
    Spawned,
    SpawnRefused,
    Start,
    State,
    Stop,
    Terminate,
    Timer,
    TimerFired,
)
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.spec import RestartKind, RestartSpec
from tests.lifecycle_driver import (
    DRAINING,
    GRACE_USEC,
    START_USEC,
    Life,
    data,
    reached,
    records,
    waits,
)

# -- Coming up.


def test_a_start_is_recorded_before_it_is_made_and_has_a_deadline() -> None:
    life = Life()
    assert life.do(Start("me")) == [
        Disarm(Timer.BACKOFF),
        Record(EventType.SPAWN, {"run": 1}),
        Spawn(1),
        Arm(Timer.START, START_USEC),
    ]
    assert life.do(Spawned(42, 7)) == []
    assert life.do(ExecDone()) == [
        Disarm(Timer.START),
        Record(EventType.STARTED, {"run": 1, "pid": 42}),
    ]


def test_an_exec_failure_is_recorded_and_its_exit_named_after_it() -> None:
    life = Life(RestartSpec(kind=RestartKind.NO))
    life.do(Start("me"), Spawned(42, 7))
    assert data(life.do(ExecFailed("executing the program", 2)), EventType.EXEC_FAILED) == {
        "stage": "executing the program", "errno": 2,
    }  # fmt: skip
    ended = life.end(127)
    assert data(ended, EventType.EXIT)["cause"] == "exec-failure"
    assert data(ended, EventType.EXIT)["crashed"] is True
    assert data(ended, EventType.FAILED) == {"reason": "exec-failure"}


def test_a_refused_birth_is_an_exec_failure_without_a_process() -> None:
    life = Life(RestartSpec(kind=RestartKind.NO))
    life.do(Start("me"))
    effects = life.do(SpawnRefused(12, "unable to make a process"), Emptied())
    assert data(effects, EventType.EXEC_FAILED)["errno"] == 12
    exited = data(effects, EventType.EXIT)
    assert (exited["pid"], exited["code"], exited["signal"]) == (None, None, None)
    assert life.life.state is State.FAILED


def test_exec_failures_count_towards_the_limit() -> None:
    life = Life()
    life.do(Start("me"))
    for _ in range(3):
        if life.life.state is State.BACKOFF:
            life.do(TimerFired(Timer.BACKOFF))
        life.do(
            Spawned(42, 7), ExecFailed("executing the program", 2), Exited(127, None), Emptied()
        )
    assert life.life.state is State.FAILED
    assert records(life.effects).count(EventType.RESTART) == 2
    assert data(life.effects, EventType.FAILED) == {"reason": "exec-failure"}


def test_a_start_that_takes_too_long_is_killed_and_restarted_by_policy() -> None:
    life = Life()
    life.do(Start("me"), Spawned(42, 7))
    assert life.do(TimerFired(Timer.START)) == [KillTree()]
    ended = life.end(None, 9)
    assert data(ended, EventType.EXIT)["cause"] == "start-timeout"
    assert life.life.state is State.STARTING


# -- Stopping.


def test_a_stop_is_polite_first_and_then_kills() -> None:
    life = Life().run()
    assert life.do(Stop("me")) == [
        Record(EventType.STOP, {"by": "me", "cause": "operator"}),
        Disarm(Timer.START),
        Disarm(Timer.STABLE),
        Terminate(),
        Arm(Timer.GRACE, GRACE_USEC),
    ]
    assert life.do(TimerFired(Timer.GRACE)) == [KillTree()]
    assert life.do(Exited(None, 9))[-1] == AwaitEmpty()
    assert records(life.do(Emptied())) == [EventType.STOPPED]
    assert life.life.state is State.STOPPED


def test_a_stopped_agent_is_named_after_who_stopped_it_and_is_no_crash() -> None:
    life = Life().run()
    life.do(Stop("shutdown", Cause.SHUTDOWN))
    exited = data(life.do(Exited(None, 15)), EventType.EXIT)
    assert (exited["cause"], exited["crashed"], exited["signal"]) == ("shutdown", False, 15)


def test_a_forced_stop_kills_at_once() -> None:
    life = Life().run()
    effects = life.do(Stop("me", by_force=True))
    assert KillTree() in effects
    assert Terminate() not in effects


def test_a_stop_may_be_made_harder() -> None:
    life = Life().run()
    life.do(Stop("me"))
    assert life.do(Stop("me")) == []
    assert life.do(Stop("him", by_force=True)) == [
        Record(EventType.STOP, {"by": "him", "cause": "operator"}), KillTree(),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", RestartKind)
def test_a_commanded_stop_never_resurrects(kind: RestartKind) -> None:
    life = Life(RestartSpec(kind=kind, force_exits=(0, 1, -15))).run()
    life.do(Stop("me"), Exited(None, 15), Emptied())
    assert life.life.state is State.STOPPED
    assert life.do(*[TimerFired(timer) for timer in Timer]) == []


def test_a_stop_during_backoff_never_resurrects() -> None:
    life = reached(State.BACKOFF)
    effects = life.do(Stop("me"))
    assert effects[0] == Disarm(Timer.BACKOFF)
    assert records(effects) == [EventType.STOP, EventType.STOPPED]
    # The timer had fired already, and its event was on its way.
    assert life.do(TimerFired(Timer.BACKOFF)) == []
    assert life.life.state is State.STOPPED


def test_a_stop_while_a_crash_drains_never_resurrects_and_is_recorded() -> None:
    life = reached(DRAINING)
    assert life.life.after is After.RESTART
    assert records(life.do(Stop("me"))) == [EventType.STOP]
    assert records(life.do(Emptied())) == [EventType.STOPPED]


def test_a_stop_before_the_birth_ends_what_is_born() -> None:
    life = Life()
    life.do(Start("me"), Stop("me"))
    assert life.do(Spawned(42, 7)) == [Terminate()]
    assert life.do(ExecDone()) == []
    life.do(Exited(None, 15), Emptied())
    assert life.life.state is State.STOPPED


@pytest.mark.parametrize(
    "event",
    [Stop("me", by_force=True), TimerFired(Timer.START)],
    ids=["killed", "too slow"],
)
def test_a_kill_before_the_birth_kills_what_is_born(event: Event) -> None:
    life = Life()
    life.do(Start("me"), event)
    assert life.do(Spawned(42, 7)) == [KillTree()]


def test_a_grace_that_ends_before_the_birth_kills_what_is_born() -> None:
    life = Life()
    life.do(Start("me"), Stop("me"), TimerFired(Timer.GRACE))
    assert life.do(Spawned(42, 7)) == [KillTree()]


def test_a_stop_before_the_birth_that_is_then_refused_is_a_stop() -> None:
    life = Life()
    life.do(Start("me"), Stop("me"))
    exited = data(life.do(SpawnRefused(125, "stopped before it began")), EventType.EXIT)
    assert exited["cause"] == "operator"
    life.do(Emptied())
    assert life.life.state is State.STOPPED


def test_a_start_while_stopping_starts_after_the_end() -> None:
    life = Life().run()
    life.do(Stop("me"), Start("him"))
    assert not [e for e in life.do(Exited(0, None)) if isinstance(e, Spawn)]
    assert Spawn(2) in life.do(Emptied())


def test_a_stop_after_a_start_while_stopping_wins() -> None:
    life = Life().run()
    life.do(Stop("me"), Start("him"), Stop("me"), Exited(0, None), Emptied())
    assert life.life.state is State.STOPPED


def test_a_restart_stops_politely_and_starts_anew_uncharged() -> None:
    life = Life().run()
    life.life.restart_count = 2
    effects = life.do(Restart("me"))
    assert Terminate() in effects
    effects = life.do(Exited(None, 15), Emptied())
    assert EventType.RESTART not in records(effects)
    assert (life.life.state, life.life.restart_count) == (State.STARTING, 0)


# -- Ending.


def test_an_end_is_recorded_once_however_often_it_is_told() -> None:
    life = reached(DRAINING)
    assert life.do(Exited(1, None), Exited(None, None, Cause.KEEPER_LOST)) == []
    assert life.do(SpawnRefused(107, "no keeper is there")) == []


def test_nothing_starts_before_the_cgroup_is_empty() -> None:
    life = Life().run()
    life.do(Exited(None, 11))
    assert life.life.state is State.STOPPING
    assert life.do(Start("me")) == []
    assert Spawn(2) in life.do(Emptied())


def test_an_empty_cgroup_without_an_exit_means_nothing_yet() -> None:
    life = Life().run()
    life.do(Stop("me"))
    assert life.do(Emptied()) == []
    assert life.life.state is State.STOPPING


def test_a_crash_is_one_fault_with_the_guides_words() -> None:
    effects = Life().run().do(Exited(None, 11))
    assert data(effects, EventType.FAULT) == {
        "fault": "Crashed", "severity": "Critical", "action": "Restart",
        "description": "Agent crashed", "signal": 11,
    }  # fmt: skip
    effects = Life(RestartSpec(kind=RestartKind.NO)).run().do(Exited(1, None))
    assert data(effects, EventType.FAULT)["action"] == "Alert"
    assert EventType.FAULT not in records(Life().run().do(Exited(0, None)))


@pytest.mark.parametrize("kind", RestartKind)
def test_exit_zero_restarts_only_where_the_spec_says_so(kind: RestartKind) -> None:
    life = Life(RestartSpec(kind=kind)).run()
    life.end(0)
    restarts = kind in (RestartKind.ALWAYS, RestartKind.ON_SUCCESS)
    assert life.life.state is (State.STARTING if restarts else State.STOPPED)


def test_lists_of_exits_outrank_the_kind() -> None:
    restart = RestartSpec(
        kind=RestartKind.ON_FAILURE, success_exits=(3, -15), prevent_exits=(4,), force_exits=(0,)
    )
    ends = {}
    for code, signal in ((3, None), (None, 15), (4, None), (0, None), (5, None)):
        life = Life(restart).run()
        life.end(code, signal)
        ends[code or signal] = life.life.state
    assert ends == {
        3: State.STOPPED, 15: State.STOPPED, 4: State.FAILED, None: State.STARTING,
        5: State.STARTING,
    }  # fmt: skip


# -- Restarting.


def test_two_restarts_are_two_and_then_it_has_failed() -> None:
    life = Life().run()
    life.end()
    life.come_back()
    life.end()
    life.come_back()
    last = life.end()
    assert life.life.state is State.FAILED
    assert data(last, EventType.FAILED) == {"reason": "restart limit reached"}
    assert records(life.effects).count(EventType.RESTART) == 2
    assert [e.run for e in life.effects if isinstance(e, Spawn)] == [1, 2, 3]


def test_each_restart_is_recorded_with_its_attempt_and_its_wait() -> None:
    life = Life().run()
    first = data(life.end(), EventType.RESTART)
    assert first == {"attempt": 1, "max_restarts": 2, "delay_us": 0, "charged": True}
    life.come_back()
    life.end()
    second = data(life.do(TimerFired(Timer.BACKOFF)), EventType.RESTART)
    assert second == {"attempt": 2, "max_restarts": 2, "delay_us": 100_000, "charged": True}


def test_the_first_restart_is_at_once_and_then_the_wait_doubles_to_thirty_seconds() -> None:
    life = Life(RestartSpec(kind=RestartKind.ALWAYS, max_restarts=12, jitter_permille=0)).run()
    for _ in range(12):
        life.end()
        life.come_back()
    doubling = [100_000 << n for n in range(9)]
    assert waits(life.effects) == [*doubling, 30_000_000, 30_000_000]


def test_what_the_policy_does_not_restart_has_failed_for_that_reason() -> None:
    life = Life(RestartSpec(kind=RestartKind.ON_ABNORMAL)).run()
    assert data(life.end(1), EventType.FAILED) == {"reason": "not restarted by its policy"}


def test_the_keepers_death_is_not_charged_whatever_the_policy_and_the_count() -> None:
    for kind in RestartKind:
        life = Life(RestartSpec(kind=kind, max_restarts=2)).run()
        life.life.restart_count = 2
        effects = life.do(Exited(None, None, Cause.KEEPER_LOST), Emptied())
        assert data(effects, EventType.EXIT)["crashed"] is False
        assert data(effects, EventType.RESTART)["charged"] is False
        assert EventType.FAULT not in records(effects)
        assert (life.life.state, life.life.restart_count) == (State.STARTING, 2)


def test_the_keepers_death_does_not_resurrect_what_is_being_stopped() -> None:
    life = Life().run()
    life.do(Stop("me"), Exited(None, None, Cause.KEEPER_LOST), Emptied())
    assert life.life.state is State.STOPPED


def test_a_start_by_hand_clears_the_count() -> None:
    for state in (State.FAILED, State.BACKOFF):
        life = reached(state)
        life.life.restart_count = 2
        life.do(Start("me"))
        assert (life.life.state, life.life.restart_count) == (State.STARTING, 0)


# -- Forgiving.


def test_a_stable_run_is_forgiven_what_came_before() -> None:
    life = Life().run()
    life.end()
    life.do(Spawned(42, 7))
    assert Arm(Timer.STABLE, 600_000_000) in life.do(ExecDone())
    assert life.do(TimerFired(Timer.STABLE)) == [Record(EventType.RESTART_DECAY, {})]
    assert life.life.restart_count == 0
    life.end()  # and its restarts count from one again, at once
    assert (life.life.state, life.life.restart_count) == (State.STARTING, 1)


def test_a_first_run_has_nothing_to_be_forgiven() -> None:
    life = Life().run()
    assert not [e for e in life.effects if isinstance(e, Arm) and e.timer is Timer.STABLE]
    assert life.do(TimerFired(Timer.STABLE)) == []


def test_an_end_before_the_stable_time_disarms_it() -> None:
    life = Life().run()
    life.end()
    life.come_back()
    assert Disarm(Timer.STABLE) in life.do(Exited(1, None))
    assert life.do(TimerFired(Timer.STABLE)) == []
    assert life.life.restart_count == 1


def test_a_reset_forgives_a_failed_agent_without_starting_it() -> None:
    life = reached(State.FAILED)
    assert life.do(Reset("me")) == [Record(EventType.RESET, {"by": "me"})]
    assert life.life.state is State.STOPPED


def test_a_reset_during_backoff_makes_the_restart_to_come_the_first() -> None:
    life = reached(State.BACKOFF)
    life.do(Reset("me"))
    assert data(life.do(TimerFired(Timer.BACKOFF)), EventType.RESTART)["attempt"] == 1
    assert life.life.restart_count == 1


def test_a_reset_while_the_last_failure_drains_leaves_it_stopped() -> None:
    life = Life(RestartSpec(kind=RestartKind.NO)).run()
    life.do(Exited(1, None), Reset("me"), Emptied())
    assert life.life.state is State.STOPPED


# -- Taking over from an earlier daemon.


def test_an_adopted_run_goes_on_under_its_number() -> None:
    life = Life()
    life.life.run = 4
    assert life.do(Adopted(5, 55, True)) == []
    assert (life.life.state, life.life.run, life.life.pid) == (State.ACTIVE, 5, 55)
    assert data(life.do(Exited(1, None)), EventType.EXIT)["run"] == 5
    assert Spawn(6) in life.do(Emptied())


def test_an_adopted_run_gets_its_deadlines_back() -> None:
    life = Life()
    life.life.restart_count = 1
    assert life.do(Adopted(5, 55, True)) == [Arm(Timer.STABLE, 600_000_000)]
    life = Life()
    assert life.do(Adopted(5, 55, False)) == [Arm(Timer.START, START_USEC)]
    assert life.do(ExecDone())[0] == Disarm(Timer.START)


def test_a_recalled_end_is_decided_as_it_would_have_been_and_not_recorded_again() -> None:
    life = Life()
    life.life.run, life.life.restart_count = 5, 1
    assert life.do(Recalled(1, None, Cause.ERROR)) == [AwaitEmpty()]
    assert life.do(Exited(1, None)) == []
    life.do(Emptied())
    assert (life.life.state, life.life.attempt) == (State.BACKOFF, 2)
    assert Spawn(6) in life.do(TimerFired(Timer.BACKOFF))
    assert EventType.EXIT not in records(life.effects)


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (Cause.OPERATOR, State.STOPPED),
        (Cause.CLEAN, State.STOPPED),
        (Cause.KEEPER_LOST, State.STARTING),
        (Cause.ERROR, State.FAILED),
    ],
)
def test_a_recalled_end_obeys_cause_and_limit(cause: Cause, state: State) -> None:
    life = Life()
    life.life.restart_count = 2
    life.do(Recalled(None, None, cause), Emptied())
    assert life.life.state is state


def test_a_stop_of_a_recalled_end_wins() -> None:
    life = Life()
    life.do(Recalled(1, None, Cause.ERROR), Stop("me"), Emptied())
    assert life.life.state is State.STOPPED
