"""asmctl history AGENT: which programs an agent ran lately, and how they ended."""

import time

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.view.activity_text import history_text


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for one agent's history and print it."""
    with open_client(parsed) as client:
        answer = client.control(Control.HISTORY, agent=check_agent(parsed.operands[0]))
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        # The records' times are CLOCK_BOOTTIME of this host, and so is this.
        now_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
        terminal.write(history_text(answer, now_us, terminal.paint))
    return 0


COMMAND = Command(
    summary="Show the last 64 programs that an agent ran and how they ended.",
    run=run,
    operands="AGENT",
    least=1,
    most=1,
    options=(JSON,),
)
