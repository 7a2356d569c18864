"""Recovery policy: which action answers which fault.

Pure. One field per fault, named as the guide names them, with the guide's three presets
(spec/asm.md 1.5; `budget` is the reserved eighth fault). How often an action may be taken, and what
follows when it may not, belongs to the restart limits (`RestartSpec`).
"""

import enum
from dataclasses import dataclass


class FaultAction(enum.StrEnum):
    """What is done to an agent at a fault. FREEZE answers an empty budget only."""

    ALERT = "alert"
    THROTTLE = "throttle"
    RESTART = "restart"
    KILL = "kill"
    FREEZE = "freeze"


# Four actions of the guide; freeze would turn a crash or a flood into a silent standstill.
FAULT_ACTIONS = (FaultAction.ALERT, FaultAction.THROTTLE, FaultAction.RESTART, FaultAction.KILL)
# An agent never comes back into a new budget by itself (CONTRACT.md, "Faults"): no restart.
BUDGET_ACTIONS = (FaultAction.ALERT, FaultAction.THROTTLE, FaultAction.FREEZE, FaultAction.KILL)

# DECISIONS.md, "Lifecycle": a quarter of the quota leaves an agent able to answer and to stop.
THROTTLE_SHARE_PERMILLE = 250
# How long the throttle outlives its fault. Ten windows: an agent that pulses every few seconds is
# one episode, not ten.
COOL_DOWN_USEC = 10_000_000


@dataclass(frozen=True, slots=True)
class RecoverySpec:
    """The action for each fault, and how a throttle is measured out. Defaults are the guide's."""

    cpu_quota: FaultAction = FaultAction.THROTTLE
    memory: FaultAction = FaultAction.KILL
    syscall_flood: FaultAction = FaultAction.THROTTLE
    crash: FaultAction = FaultAction.RESTART
    capability_violation: FaultAction = FaultAction.KILL
    unresponsive: FaultAction = FaultAction.RESTART
    policy_violation: FaultAction = FaultAction.KILL
    budget: FaultAction = FaultAction.FREEZE
    throttle_permille: int = THROTTLE_SHARE_PERMILLE
    cool_down_usec: int = COOL_DOWN_USEC


def _uniform(action: FaultAction) -> RecoverySpec:
    return RecoverySpec(action, action, action, action, action, action, action, action)


PRESETS: dict[str, RecoverySpec] = {
    "default": RecoverySpec(),
    "permissive": _uniform(FaultAction.ALERT),
    "strict": _uniform(FaultAction.KILL),
}
