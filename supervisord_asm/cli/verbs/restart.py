"""asmctl restart. See agent_action.py, which the five verbs about agents share."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_action import action_command

COMMAND = action_command(
    Control.RESTART,
    "Stop agents and start them again. Does not count towards the restart limit.",
)
