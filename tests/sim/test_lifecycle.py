"""Random lives: the lifecycle against a small world that behaves as journal, keeper and kernel do.

The world knows nothing of the table. It carries effects out with every delay that the real parts
have (a record becomes durable later, a birth is ordered later, news come later and in order, a kill
before the birth reaches nobody), and checks after each step what must always hold. Beside it stands
a reference of what people were promised: what was commanded last wins, else the policy decides.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    LIVING,
    Arm,
    AwaitEmpty,
    Disarm,
    Effect,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    Extend,
    Extended,
    KillTree,
    Lifecycle,
    Policy,
    Ready,
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
    step,
)
from supervisord_asm.core.restart import Cause
from supervisord_asm.core.spec import RestartKind, RestartSpec

KINDS = st.sampled_from([RestartKind.NO, RestartKind.ON_FAILURE, RestartKind.ALWAYS])
AT_REST = (State.STOPPED, State.FAILED)


class Promise:
    """What people were promised about the end of a run, in as few words as possible."""

    def __init__(self, kind: RestartKind, most: int) -> None:
        self.kind, self.most = kind, most
        self.count = 0  # restarts since the count was last cleared
        self.command: str | None = None  # the last one given to this run
        self.is_failure = False
        self.is_free = False  # the keeper's fault
        self.is_late = False  # it did not come up in time, and however it ends is a failure
        self.may_restart = False  # within the limit when it ended
        self.has_ended = False

    def begin(self) -> None:
        """A run begins."""
        self.command = None
        self.is_failure = self.is_free = self.is_late = self.has_ended = False

    def end(self, is_failure: bool, is_free: bool) -> None:
        """It ends by itself, or by ours; the first word counts."""
        if not self.has_ended:
            self.is_failure = is_failure or self.is_late
            self.is_free = is_free and not self.is_late
            self.has_ended = True
            self.may_restart = self.count < self.most

    def expected(self) -> set[State]:
        """Where it must be once nothing of the run is left."""
        if self.command is not None:
            return {State.STOPPED} if self.command == "stop" else {State.STARTING}
        wants = self.kind is RestartKind.ALWAYS or (
            self.kind is RestartKind.ON_FAILURE and self.is_failure
        )
        if self.is_free or (wants and self.may_restart):
            return {State.STARTING, State.BACKOFF}
        return {State.FAILED} if self.is_failure else {State.STOPPED}


class World(RuleBasedStateMachine):
    """Journal, keeper and kernel for one agent."""

    @initialize(
        kind=KINDS, most=st.integers(0, 3), jitter=st.sampled_from([0, 100]), waits=st.booleans()
    )
    def begin(self, kind: RestartKind, most: int, jitter: int, waits: bool) -> None:
        restart = RestartSpec(kind=kind, max_restarts=most, jitter_permille=jitter)
        self.life = Lifecycle(Policy(restart, 1000, 2000, waits))
        self.promise = Promise(kind, most)
        self.recording: int | None = None  # the run whose SPAWN is not durable yet
        self.ordered: int | None = None  # the run that the keeper has been told to begin
        self.alive: int | None = None  # the run whose main process lives
        self.has_rest = False  # something of it lives in the cgroup beside the main process
        self.news: deque[Event] = deque()
        self.is_awaited = False  # somebody waits for the cgroup to be empty
        self.armed: set[Timer] = set()
        self.spawns = self.exits = self.restarts = 0
        self.exited_runs: set[int] = set()

    # -- Carrying out.

    def dispatch(self, event: Event, jitter: int = 0) -> None:
        for effect in step(self.life, event, jitter).effects:
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Record():
                self.record(effect.type, dict(effect.data))
            case Spawn():
                assert self.recording is None or self.recording < effect.run
                assert self.alive is None, "two processes at once"
                assert not self.has_rest, "born beside what an earlier run left behind"
                assert effect.run == self.life.run
                self.recording = effect.run
                self.promise.begin()
            case Terminate():
                pass  # an agent may listen or not: `ends` is a rule
            case KillTree():
                self.kill()
            case AwaitEmpty():
                self.kill()
                self.is_awaited = True
            case Arm():
                assert effect.delay_usec > 0
                self.armed.add(effect.timer)
            case Extend():
                assert effect.timer in self.armed
            case Disarm():
                self.armed.discard(effect.timer)

    def kill(self) -> None:
        """cgroup.kill: reaches what has been born, and nobody else."""
        self.has_rest = False
        if self.alive is not None:
            self.alive = None
            self.news.append(Exited(None, 9))

    def record(self, kind: EventType, data: dict[str, Any]) -> None:
        if kind is EventType.SPAWN:
            self.spawns += 1
        elif kind is EventType.EXIT:
            self.exits += 1
            assert data["run"] not in self.exited_runs, "one run, two exits"
            self.exited_runs.add(data["run"])
        elif kind is EventType.RESTART:
            self.restarts += 1
            self.promise.count += data["charged"]
            assert data["attempt"] == self.promise.count <= max(self.promise.most, 0)
        elif kind in (EventType.RESTART_DECAY, EventType.RESET):
            self.promise.count = 0

    # -- Commands.

    @rule(by_force=st.booleans())
    def stop(self, by_force: bool) -> None:
        if self.life.state in LIVING:
            self.promise.command = "stop"
        self.dispatch(Stop("me", by_force=by_force))

    @rule(event=st.sampled_from([Start("me"), Restart("me")]))
    def start(self, event: Start | Restart) -> None:
        if self.life.state is State.STOPPING or (
            self.life.state in LIVING and isinstance(event, Restart)
        ):
            self.promise.command = "start"
        if self.life.state not in LIVING:
            self.promise.count = 0
        self.dispatch(event)

    @rule()
    def reset(self) -> None:
        if self.promise.has_ended and self.promise.expected() == {State.FAILED}:
            self.promise.is_failure = self.promise.may_restart = False  # forgiven, not restarted
        self.dispatch(Reset("me"))

    # -- The journal and the keeper.

    @precondition(lambda self: self.recording is not None)
    @rule(is_lost=st.booleans())
    def becomes_durable(self, is_lost: bool) -> None:
        run, self.recording = self.recording, None
        if self.life.run != run:
            return
        if is_lost or self.life.state is not State.STARTING:
            self.promise.end(True, False)
            self.dispatch(SpawnRefused(28, "not now"))
        else:
            self.ordered = run

    @precondition(lambda self: self.ordered is not None)
    @rule(is_refused=st.booleans(), has_rest=st.booleans(), executes=st.booleans())
    def is_born(self, is_refused: bool, has_rest: bool, executes: bool) -> None:
        run, self.ordered = self.ordered, None
        assert run == self.life.run
        if is_refused:
            self.news.append(SpawnRefused(11, "no more processes"))
            return
        assert self.alive is None
        self.alive, self.has_rest = run, has_rest and executes
        self.news.append(Spawned(1000, 5))
        if executes:
            self.news.append(ExecDone())
        else:
            self.news.append(ExecFailed("executing the program", 2))
            self.alive = None
            self.news.append(Exited(127, None))

    @precondition(lambda self: self.alive is not None)
    @rule(event=st.sampled_from([Ready(), Extended(5)]))
    def speaks(self, event: Ready | Extended) -> None:
        """What it says may overtake the keeper's news of it."""
        before = self.life.state
        self.dispatch(event)
        assert self.life.state in (before, State.ACTIVE)

    @precondition(lambda self: self.alive is not None)
    @rule(code=st.sampled_from([0, 1, None]))
    def ends(self, code: int | None) -> None:
        self.alive = None
        self.news.append(Exited(code, None if code is not None else 11))

    @precondition(lambda self: bool(self.news))
    @rule(jitter=st.integers(-1000, 1000))
    def news_come(self, jitter: int) -> None:
        event = self.news.popleft()
        if isinstance(event, Exited):
            self.promise.end((event.code, event.signal) != (0, None), False)
        if isinstance(event, SpawnRefused):
            self.promise.end(True, False)
        self.dispatch(event, jitter)

    # Whole stretches of a life at once, so that chance gets as far as the third restart.

    @precondition(lambda self: self.recording is not None)
    @rule()
    def comes_up(self) -> None:
        self.becomes_durable(False)
        if self.ordered is not None:
            self.is_born(False, True, True)
        self.all_news_come()

    @precondition(lambda self: self.alive is not None and not self.news)
    @rule(code=st.sampled_from([1, None]), is_emptied=st.booleans())
    def crashes(self, code: int | None, is_emptied: bool) -> None:
        self.ends(code)
        self.all_news_come()
        if is_emptied:
            self.is_empty()

    @precondition(lambda self: self.life.state not in LIVING)
    @rule(times=st.integers(1, 4), is_brought_up=st.booleans())
    def struggles(self, times: int, is_brought_up: bool) -> None:
        """It is started, and crashes again and again, as far as it may."""
        if self.life.state is not State.BACKOFF:
            self.start(Start("me"))
        for _ in range(times):
            if self.life.state is State.BACKOFF:
                self.fire(Timer.BACKOFF)
            if self.life.state is State.STARTING:
                self.comes_up()
                self.crashes(1, True)
        if is_brought_up and self.life.state is State.STARTING:
            self.comes_up()

    def all_news_come(self) -> None:
        while self.news:
            self.news_come(0)

    @precondition(lambda self: self.spawns % 2 == 1)
    @rule()
    def keeper_is_lost(self) -> None:
        self.alive, self.ordered, self.has_rest = None, None, False
        self.news.clear()
        if self.life.state in LIVING and self.life.exit is None:
            self.promise.end(False, True)
            self.dispatch(Exited(None, None, Cause.KEEPER_LOST))

    @precondition(lambda self: self.is_awaited)
    @rule()
    def is_empty(self) -> None:
        assert self.alive is None
        assert not self.has_rest
        self.is_awaited = False
        expected = self.promise.expected()
        if State.STARTING in expected and self.promise.command == "start":
            self.promise.count = 0
        self.dispatch(Emptied())
        assert self.life.state in expected

    @precondition(lambda self: bool(self.armed))
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        self.fire(data.draw(st.sampled_from(sorted(self.armed, key=lambda timer: timer.name))))

    @precondition(lambda self: Timer.BACKOFF in self.armed)
    @rule()
    def backoff_ends(self) -> None:
        self.fire(Timer.BACKOFF)

    def fire(self, timer: Timer) -> None:
        self.armed.discard(timer)
        self.promise.is_late |= timer is Timer.START and self.life.state is State.STARTING
        self.dispatch(TimerFired(timer))

    # -- What always holds.

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "life"):
            return
        life = self.life
        assert self.spawns - self.exits in (0, 1)
        assert (self.spawns - self.exits == 1) is (life.state in LIVING and life.exit is None)
        assert life.restart_count == self.promise.count
        if life.state not in LIVING:
            assert self.alive is None
            assert not self.has_rest
            assert self.ordered is None
            assert not self.news
        # A deadline is armed only where it means something.
        is_ending_politely = life.state is State.STOPPING and life.exit is None
        assert (Timer.START in self.armed) <= (life.state is State.STARTING)
        assert (Timer.BACKOFF in self.armed) == (life.state is State.BACKOFF)
        assert (Timer.STABLE in self.armed) <= (life.state is State.ACTIVE)
        assert (Timer.GRACE in self.armed) <= is_ending_politely
        # Somebody will always speak next: nothing hangs for ever.
        if life.state is State.STARTING:
            assert Timer.START in self.armed
        if life.state is State.STOPPING:
            is_moving = self.recording is not None or self.ordered is not None
            is_ending = Timer.GRACE in self.armed or self.news or self.is_awaited
            assert is_moving or is_ending

    def teardown(self) -> None:
        """Whatever came before: stopped is stopped, and nothing is left."""
        if not hasattr(self, "life"):
            return
        self.stop(False)
        moves: list[tuple[Callable[[], bool], Callable[[], None]]] = [
            (lambda: self.recording is not None, lambda: self.becomes_durable(False)),
            (lambda: self.ordered is not None, lambda: self.is_born(False, True, True)),
            (lambda: bool(self.news), lambda: self.news_come(0)),
            (lambda: self.is_awaited, self.is_empty),
            (lambda: Timer.GRACE in self.armed, lambda: self.fire(Timer.GRACE)),
        ]
        for _ in range(50):
            ready = [move for condition, move in moves if condition()]
            if not ready:
                break
            ready[0]()
            self.holds()
        assert self.life.state in AT_REST
        assert self.armed == set()
        assert self.spawns == self.exits


TestLives = World.TestCase
TestLives.settings = settings(stateful_step_count=60, max_examples=3 * settings().max_examples)
