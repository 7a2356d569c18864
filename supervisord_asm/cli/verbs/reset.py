"""asmctl reset: clear the restart limiter's count and the state "failed"."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_action import action_command

COMMAND = action_command(
    Control.RESET,
    "Clear the restart count of agents, so that failed ones can be started again.",
    can_wait=False,
)
