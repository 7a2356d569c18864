"""asmctl profile: how long operations take, of one agent or over all."""

import errno
from collections.abc import Mapping
from typing import Any

from supervisord_asm.api.client import Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.profiler import OperationStats
from supervisord_asm.view.profile_text import SYSTEM_TITLE, agent_title, profile_text, stats_lines

SYSTEM_OPERAND = "0"


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for a profile and print it."""
    request: dict[str, Any] = {"reset": parsed.has("reset")}
    if parsed.operands:
        operand = parsed.operands[0]
        request["agent"] = operand if operand == SYSTEM_OPERAND else check_agent(operand)
    if parsed.has("operation"):
        request["operation"] = parsed.text("operation")
    try:
        with open_client(parsed) as client:
            answer = client.control(Control.PROFILE, **request)
    except Refused as error:
        if error.errno not in (errno.ESRCH, errno.ENOENT):
            raise
        terminal.say(f"Error: {error.message}")
        return code.NO
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        terminal.write(_text(answer, terminal))
    return code.OK


def _text(answer: Mapping[str, Any], terminal: Terminal) -> str:
    agent_id = answer["agent_id"]
    title = SYSTEM_TITLE if agent_id is None else agent_title(agent_id)
    stats = list(map(_stats, answer["operations"]))
    text = profile_text(title, stats, answer["refused_count"], terminal.paint)
    if "agents" not in answer:
        return text
    rows = [(f"{one['agent_id']}/{one['name']}", _stats(one)) for one in answer["agents"]]
    return "\n".join([text, "Per Agent:", *stats_lines("ID/Name", rows, terminal.paint), ""])


def _stats(record: Mapping[str, Any]) -> OperationStats:
    names = OperationStats.__dataclass_fields__
    return OperationStats(**{name: record[name] for name in names if name in record})


COMMAND = Command(
    summary="Show how long operations take: spawn, exec, restart, stop, calls.",
    run=run,
    operands="[AGENT]",
    most=1,
    options=(
        Option("operation", "only this one; without AGENT also of each agent", metavar="NAME"),
        Option("reset", "drop the samples after showing them"),
        JSON,
    ),
)
