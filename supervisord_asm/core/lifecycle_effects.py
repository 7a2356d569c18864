"""What the lifecycle asks for: a closed set of effects, done in order by `daemon/interpret.py`.

Effects say what, never how: no descriptor, no path, no clock. Two of them come back as events:
Spawn as Spawned or SpawnRefused, AwaitEmpty as Emptied.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisord_asm.core.events import EventType


class Timer(enum.Enum):
    """The deadlines of one agent; at most one of each is armed."""

    START = enum.auto()
    GRACE = enum.auto()
    BACKOFF = enum.auto()
    STABLE = enum.auto()


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
class Extend:
    """Move the deadline so that it is at least this far away; never nearer. Unarmed: nothing."""

    timer: Timer
    delay_usec: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget the deadline."""

    timer: Timer


Effect = Record | Spawn | Terminate | KillTree | AwaitEmpty | Arm | Extend | Disarm
