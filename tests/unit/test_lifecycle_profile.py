"""The samples of a life: the table itself is driven, and every step is timed by a moved clock."""

from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.core.lifecycle import TABLE as LIFE_TABLE
from supervisord_asm.core.lifecycle import (
    Adopted,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    Lifecycle,
    Policy,
    Restart,
    Spawned,
    SpawnRefused,
    Start,
    State,
    Stop,
    Timer,
    TimerFired,
    step,
)
from supervisord_asm.core.lifecycle_profile import OPERATIONS, LifeTimer, Sample
from supervisord_asm.core.spec import RestartKind, RestartSpec

ALWAYS = RestartSpec(kind=RestartKind.ALWAYS, max_restarts=3, jitter_permille=0)
BORN, RUNS, EMPTY = Spawned(42), ExecDone(), Emptied()


class Timed:
    """A life and its timer, driven by (microseconds that pass, event)."""

    def __init__(self) -> None:
        self.life = Lifecycle(Policy(ALWAYS, 10_000_000, 90_000_000))
        self.timer = LifeTimer()
        self.now_us = 1_000_000

    def do(self, *steps: tuple[int, Event]) -> list[Sample]:
        """Let time pass and events come; return all samples."""
        samples = []
        for pause_us, event in steps:
            self.now_us += pause_us
            effects = step(self.life, event).effects
            samples += self.timer.take(event, effects, self.now_us)
        return samples


def test_a_start_is_a_spawn_and_an_exec() -> None:
    assert Timed().do((0, Start("me")), (300, BORN), (700, RUNS)) == [
        Sample("spawn", 1000, True), Sample("exec", 700, True),
    ]  # fmt: skip


def test_a_crash_that_comes_back_is_a_restart_without_its_backoff() -> None:
    timed = Timed()
    timed.do((0, Start("me")), (10, BORN), (10, RUNS))
    first = timed.do((0, Exited(1, None)), (200, EMPTY), (300, BORN), (500, RUNS))
    assert first == [
        Sample("spawn", 800, True), Sample("exec", 500, True), Sample("restart", 1000, True),
    ]  # fmt: skip
    samples = timed.do((0, Exited(1, None)), (200, EMPTY))
    assert timed.life.state is State.BACKOFF
    delay_us = timed.life.delay_usec
    samples += timed.do((delay_us + 50, TimerFired(Timer.BACKOFF)), (300, BORN), (500, RUNS))
    assert delay_us > 0
    assert samples == [
        Sample("spawn", 800, True), Sample("exec", 500, True), Sample("restart", 1050, True),
    ]  # fmt: skip


def test_a_start_by_hand_is_no_restart() -> None:
    timed = Timed()
    timed.do((0, Start("me")), (10, BORN), (10, RUNS), (0, Exited(1, None)), (0, EMPTY))
    timed.do((0, BORN), (0, RUNS), (0, Exited(1, None)), (0, EMPTY))
    assert timed.life.state is State.BACKOFF
    samples = timed.do((5, Start("me")), (10, BORN), (10, RUNS))
    assert [sample.operation for sample in samples] == ["spawn", "exec"]
    timed.do((0, Stop("me")), (0, Exited(0, None)), (0, EMPTY))
    samples = timed.do((5, Start("me")), (10, BORN), (10, RUNS))
    assert [sample.operation for sample in samples] == ["spawn", "exec"]


def test_a_commanded_restart_is_a_stop_and_a_restart() -> None:
    timed = Timed()
    timed.do((0, Start("me")), (10, BORN), (10, RUNS))
    assert timed.do(
        (0, Restart("me")), (400, Exited(None, 15)), (100, EMPTY), (200, BORN), (300, RUNS)
    ) == [
        Sample("stop", 500, True), Sample("spawn", 500, True), Sample("exec", 300, True),
        Sample("restart", 600, True),
    ]  # fmt: skip


def test_a_stop_that_had_to_kill_has_failed() -> None:
    timed = Timed()
    timed.do((0, Start("me")), (10, BORN), (10, RUNS))
    assert timed.do(
        (0, Stop("me")), (10_000_000, TimerFired(Timer.GRACE)), (50, Exited(None, 9)), (50, EMPTY)
    ) == [Sample("stop", 10_000_100, False)]


def test_a_kill_is_not_a_stop() -> None:
    timed = Timed()
    timed.do((0, Start("me")), (10, BORN), (10, RUNS))
    assert timed.do((0, Stop("me", by_force=True)), (80, Exited(None, 9)), (20, EMPTY)) == [
        Sample("kill", 100, True)
    ]


def test_a_program_that_never_ran_is_a_failed_start() -> None:
    timed = Timed()
    samples = timed.do(
        (0, Start("me")), (10, BORN), (20, ExecFailed("execve", 2)), (5, Exited(127, None))
    )
    assert samples == [Sample("spawn", 30, False), Sample("exec", 20, False)]
    timed = Timed()
    assert timed.do((0, Start("me")), (40, SpawnRefused(12, "no memory"))) == [
        Sample("spawn", 40, False)
    ]
    timed = Timed()
    samples = timed.do(
        (0, Start("me")), (10, BORN), (90_000_000, TimerFired(Timer.START)), (5, Exited(None, 9))
    )
    assert samples == [Sample("spawn", 90_000_015, False), Sample("exec", 90_000_005, False)]


def test_what_another_asmd_began_gives_no_sample() -> None:
    timed = Timed()
    assert timed.do((0, Adopted(3, 42, is_active=False)), (10, RUNS)) == []
    assert [s.operation for s in timed.do((0, Stop("me")), (9, Exited(0, None)), (1, EMPTY))] == [
        "stop"
    ]


EVENTS: list[Event] = [
    Start("me"), Stop("me"), Stop("me", by_force=True), Restart("me"), BORN, RUNS, EMPTY,
    SpawnRefused(12, ""), ExecFailed("", 2), Exited(0, None), Exited(1, None), Exited(None, 9),
    *map(TimerFired, Timer),
]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(EVENTS)), max_size=60))
def test_any_life_gives_samples_of_known_operations_and_none_twice(
    steps: list[tuple[int, Event]],
) -> None:
    timed = Timed()
    begun_us = timed.now_us
    runs = stops = 0
    for pause_us, event in steps:
        if type(event) not in LIFE_TABLE[timed.life.state]:
            continue
        samples = timed.do((pause_us, event))
        names = [sample.operation for sample in samples]
        assert len(set(names)) == len(names)
        assert set(names) <= set(OPERATIONS)
        assert all(0 <= sample.duration_us <= timed.now_us - begun_us for sample in samples)
        runs += "spawn" in names
        stops += "stop" in names or "kill" in names
    assert runs <= timed.life.run
    assert stops <= timed.life.run
