"""Whether and when an ended agent is started again: each kind against each cause, and the wait."""

from itertools import pairwise

import pytest

from supervisord_asm.core.restart import (
    LIMIT_REACHED,
    NEVER_RESTART,
    NOT_BY_POLICY,
    Cause,
    Decision,
    Verdict,
    backoff_usec,
    cause_of_exit,
    decide_restart,
    exit_number,
    is_crash,
)
from supervisord_asm.core.spec import RestartKind, RestartSpec

ALWAYS = RestartSpec(kind=RestartKind.ALWAYS)
ON_FAILURE = RestartSpec(kind=RestartKind.ON_FAILURE)


def decide(spec: RestartSpec, cause: Cause, number: int | None = 1, count: int = 0) -> Verdict:
    return decide_restart(spec, cause, number, count, 0)


# -- What an exit is.


@pytest.mark.parametrize(
    ("code", "signal", "cause"),
    [
        (0, None, Cause.CLEAN),
        (1, None, Cause.ERROR),
        (255, None, Cause.ERROR),
        (3, None, Cause.CLEAN),  # in success_exits below
        (None, 15, Cause.CLEAN),  # so is this
        (None, 9, Cause.SIGNAL),
        (None, None, Cause.UNKNOWN),
    ],
)
def test_an_exit_is_named_from_its_status(
    code: int | None, signal: int | None, cause: Cause
) -> None:
    spec = RestartSpec(success_exits=(3, -15))
    assert cause_of_exit(spec, code, signal) is cause


def test_an_exit_is_written_as_a_code_or_a_negated_signal() -> None:
    assert [exit_number(0, None), exit_number(7, None), exit_number(None, 9)] == [0, 7, -9]
    assert exit_number(None, None) is None


def test_only_ends_that_nobody_wanted_are_crashes() -> None:
    wanted = {Cause.CLEAN, Cause.KEEPER_LOST} | NEVER_RESTART
    assert {cause for cause in Cause if not is_crash(cause)} == wanted
    assert len(NEVER_RESTART) == 5


# -- Kinds.

RESTARTS: dict[RestartKind, set[Cause]] = {
    RestartKind.NO: set(),
    RestartKind.ON_SUCCESS: {Cause.CLEAN},
    RestartKind.ON_FAILURE: set(Cause) - NEVER_RESTART - {Cause.CLEAN, Cause.KEEPER_LOST},
    RestartKind.ON_ABNORMAL: set(Cause)
    - NEVER_RESTART
    - {Cause.CLEAN, Cause.KEEPER_LOST, Cause.ERROR, Cause.EXEC_FAILURE},
    RestartKind.ON_WATCHDOG: {Cause.WATCHDOG},
    RestartKind.ALWAYS: set(Cause) - NEVER_RESTART - {Cause.KEEPER_LOST},
}


@pytest.mark.parametrize("kind", RestartKind)
def test_each_kind_restarts_after_exactly_its_causes(kind: RestartKind) -> None:
    spec = RestartSpec(kind=kind)
    charged = {
        cause
        for cause in Cause
        if decide(spec, cause).decision is Decision.RESTART and decide(spec, cause).attempt == 1
    }
    assert charged == RESTARTS[kind]


@pytest.mark.parametrize("kind", RestartKind)
@pytest.mark.parametrize("cause", sorted(NEVER_RESTART))
def test_what_was_wanted_is_never_restarted(kind: RestartKind, cause: Cause) -> None:
    spec = RestartSpec(kind=kind, force_exits=(1,))
    assert decide(spec, cause) == Verdict(Decision.STAY_STOPPED)


@pytest.mark.parametrize("kind", RestartKind)
def test_the_keepers_death_is_not_charged_and_no_limit_holds(kind: RestartKind) -> None:
    spec = RestartSpec(kind=kind, max_restarts=2)
    assert decide(spec, Cause.KEEPER_LOST, None, 2) == Verdict(Decision.RESTART, 2, 0)


@pytest.mark.parametrize("kind", set(RestartKind) - {RestartKind.ALWAYS, RestartKind.ON_SUCCESS})
def test_exit_zero_never_restarts_unless_the_spec_says_so(kind: RestartKind) -> None:
    assert decide(RestartSpec(kind=kind), Cause.CLEAN, 0) == Verdict(Decision.STAY_STOPPED)


# -- Lists of exits.


def test_a_prevented_exit_outranks_the_kind_and_a_forced_one() -> None:
    spec = RestartSpec(kind=RestartKind.ALWAYS, prevent_exits=(7, -11), force_exits=(7,))
    for number, cause in ((7, Cause.ERROR), (-11, Cause.SIGNAL)):
        assert decide(spec, cause, number) == Verdict(Decision.FAIL, reason=NOT_BY_POLICY)
    assert decide(spec, Cause.ERROR, 8).decision is Decision.RESTART


def test_a_prevented_clean_exit_is_no_failure() -> None:
    spec = RestartSpec(kind=RestartKind.ALWAYS, prevent_exits=(0,))
    assert decide(spec, Cause.CLEAN, 0) == Verdict(Decision.STAY_STOPPED)


def test_a_forced_exit_restarts_whatever_the_kind_within_the_limit() -> None:
    spec = RestartSpec(kind=RestartKind.NO, force_exits=(0, 3), max_restarts=1)
    assert decide(spec, Cause.CLEAN, 0).decision is Decision.RESTART
    assert decide(spec, Cause.ERROR, 3).decision is Decision.RESTART
    assert decide(spec, Cause.ERROR, 3, 1) == Verdict(Decision.FAIL, reason=LIMIT_REACHED)
    assert decide(spec, Cause.ERROR, 4, 0) == Verdict(Decision.FAIL, reason=NOT_BY_POLICY)


# -- The limit.


def test_two_restarts_are_two_and_the_third_end_fails() -> None:
    spec = RestartSpec(kind=RestartKind.ON_FAILURE, max_restarts=2)
    verdicts = [decide(spec, Cause.ERROR, 1, count) for count in range(3)]
    assert [verdict.attempt for verdict in verdicts] == [1, 2, 0]
    assert verdicts[2] == Verdict(Decision.FAIL, reason=LIMIT_REACHED)


def test_a_clean_end_at_the_limit_is_stopped_and_not_failed() -> None:
    spec = RestartSpec(kind=RestartKind.ALWAYS, max_restarts=2)
    assert decide(spec, Cause.CLEAN, 0, 2) == Verdict(Decision.STAY_STOPPED)


def test_a_limit_of_zero_restarts_nothing() -> None:
    spec = RestartSpec(kind=RestartKind.ALWAYS, max_restarts=0)
    assert decide(spec, Cause.SIGNAL, -9).decision is Decision.FAIL


def test_a_count_above_a_lowered_limit_fails() -> None:
    spec = RestartSpec(kind=RestartKind.ALWAYS, max_restarts=1)
    assert decide(spec, Cause.SIGNAL, -9, 5).decision is Decision.FAIL


# -- The wait.


def test_the_first_restart_is_at_once_and_then_the_wait_doubles_to_its_most() -> None:
    waits = [backoff_usec(ON_FAILURE, attempt, 0) for attempt in range(1, 13)]
    assert waits[:4] == [0, 100_000, 200_000, 400_000]
    assert waits[-2:] == [30_000_000, 30_000_000]
    assert all(later <= 2 * earlier for earlier, later in pairwise(waits[1:]))


def test_no_number_of_attempts_is_too_many() -> None:
    assert backoff_usec(ON_FAILURE, 10**9, 0) == 30_000_000


def test_jitter_moves_the_wait_by_at_most_its_share() -> None:
    spec = RestartSpec(jitter_permille=250)
    waits = [backoff_usec(spec, 2, jitter) for jitter in (-1000, -500, 0, 500, 1000)]
    assert waits == [75_000, 87_500, 100_000, 112_500, 125_000]
    assert backoff_usec(RestartSpec(jitter_permille=0), 2, 1000) == 100_000
    assert [backoff_usec(spec, 1, jitter) for jitter in (-1000, 1000)] == [0, 0]


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0), (1, 1001), (1, -1001)])
def test_a_wait_that_makes_no_sense_is_a_bug_of_the_caller(attempt: int, jitter: int) -> None:
    with pytest.raises(AssertionError):
        backoff_usec(ALWAYS, attempt, jitter)
