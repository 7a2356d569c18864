"""asminfo ID|NAME: one agent in detail. Also `asmctl info`."""

import errno
import sys
import time

from supervisord_asm.api.client import Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import JSON, Command, execute
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.snapshot import agent_from_json
from supervisord_asm.view.agent_info_json import operator_info
from supervisord_asm.view.asminfo_text import asminfo_text


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for one agent and print it."""
    operand = check_agent(parsed.operands[0])
    try:
        with open_client(parsed) as client:
            answer = client.control(Control.INFO, agent=operand)
    except Refused as error:
        if error.errno != errno.ESRCH:
            raise
        terminal.say(f"Error: Agent {operand} not found")
        return code.NO
    view = agent_from_json(answer["agent"])
    if parsed.has("json"):
        write_json(terminal, **operator_info(view), recent_events=answer.get("events", []))
        return code.OK
    # The view's times are CLOCK_BOOTTIME of this host, and so is this.
    now_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    terminal.write(asminfo_text(view, now_us, terminal.paint))
    return code.OK


COMMAND = Command(
    summary="Show one agent in detail.",
    run=run,
    operands="ID|NAME",
    least=1,
    most=1,
    options=(JSON,),
)


def main() -> int:
    """Run the command line of this process."""
    return execute("asminfo", COMMAND, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
