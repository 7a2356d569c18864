"""How long the steps of an agent's life take: the lifecycle's events in, samples out. Pure.

Each agent has a LifeTimer; it is told every event with the effects that the table gave for it, at
the moment before they are carried out. The operations:

    spawn     from the order to the moment when the agent's program runs
    exec      from the process's birth to the same moment: what asm-exec and execve(2) take
    restart   from the exit to the moment when the program runs again, less the ordered backoff
    stop      from the stop signal until the cgroup is empty; failed: it had to be killed
    kill      from cgroup.kill, commanded, until the cgroup is empty

A program that never ran is a failed spawn (and exec and restart). A run that another asmd began
gives no sample of what that asmd saw.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from supervisord_asm.core.lifecycle_effects import Arm, Effect, KillTree, Spawn, Terminate, Timer
from supervisord_asm.core.lifecycle_events import (
    Adopted,
    Emptied,
    Event,
    ExecDone,
    ExecFailed,
    Exited,
    Restart,
    Spawned,
    SpawnRefused,
    Start,
    Stop,
)

OPERATIONS = ("spawn", "exec", "restart", "stop", "kill")


class Sample(NamedTuple):
    """One operation that is over."""

    operation: str
    duration_us: int
    success: bool


@dataclass(slots=True)
class LifeTimer:
    """What has begun in one agent's life and is not over, each by the time when it began."""

    _ordered_us: int | None = None
    _born_us: int | None = None
    _exited_us: int | None = None
    _stop_us: int | None = None
    _is_kill: bool = False
    _is_late: bool = False
    _backoff_us: int = 0
    _samples: list[Sample] = field(default_factory=list)

    def take(self, event: Event, effects: Iterable[Effect], now_us: int) -> list[Sample]:
        """Take one step of the life; return what is over with it."""
        effects = tuple(effects)
        self._samples = []
        match event:
            case Spawned():
                self._born_us = now_us
            case ExecDone():
                self._end_start(now_us, True)
            case ExecFailed():
                self._end_start(now_us, False)
            case Exited() | SpawnRefused() if effects:  # none: it was told before
                self._end_start(now_us, False)
                self._exited_us, self._backoff_us = now_us, 0
            case Emptied() if effects:  # none: the exit is still to come
                self._end_stop(now_us)
            case Adopted():
                self._ordered_us = self._born_us = self._exited_us = self._stop_us = None
            case _:
                pass
        self._begin(event, effects, now_us)
        return self._samples

    def _begin(self, event: Event, effects: tuple[Effect, ...], now_us: int) -> None:
        comes_back = False
        for effect in effects:
            match effect:
                case Spawn():
                    self._ordered_us, self._born_us = now_us, None
                    comes_back = True
                case Arm(Timer.BACKOFF, delay_us):
                    self._backoff_us = delay_us
                    comes_back = True
                case KillTree() if self._stop_us is not None:
                    self._is_late = True
                case Terminate() if self._stop_us is None:
                    self._stop_us, self._is_kill, self._is_late = now_us, False, False
                case KillTree() if isinstance(event, Stop):
                    self._stop_us, self._is_kill = now_us, True
                case _:
                    pass
        is_command = isinstance(event, Start | Restart | Stop)
        if effects and (is_command or (isinstance(event, Emptied) and not comes_back)):
            self._exited_us = None  # it stays down, or is started and not restarted

    def _end_start(self, now_us: int, success: bool) -> None:
        self._end("spawn", self._ordered_us, now_us, success)
        if self._ordered_us is not None:
            self._end("exec", self._born_us, now_us, success)
            exited_us = self._exited_us
            if exited_us is not None:
                self._end("restart", exited_us + self._backoff_us, now_us, success)
        self._ordered_us = self._born_us = self._exited_us = None

    def _end_stop(self, now_us: int) -> None:
        success = self._is_kill or not self._is_late
        self._end("kill" if self._is_kill else "stop", self._stop_us, now_us, success)
        self._stop_us = None

    def _end(self, operation: str, begun_us: int | None, now_us: int, success: bool) -> None:
        if begun_us is not None:
            self._samples.append(Sample(operation, max(now_us - begun_us, 0), success))
