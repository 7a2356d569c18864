"""asmctl resources: what agents use, as rates over the last seconds, or second by second."""

import errno
from collections.abc import Mapping
from typing import Any

from supervisord_asm.api.client import Client, Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.resources import WINDOWS_MAX, Rates, Window
from supervisord_asm.view.usage_text import (
    AgentUsage,
    Lifetime,
    agent_usage_text,
    system_usage_text,
    windows_text,
)

SPANS_MAX = 3


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for one agent or for all, and print it."""
    seconds = _read_spans(parsed)
    if not parsed.operands:
        if parsed.has("history"):
            raise UsageError("--history is of one agent: name it")
        with open_client(parsed) as client:
            return _show_all(client, seconds, parsed, terminal)
    operand = check_agent(parsed.operands[0])
    try:
        with open_client(parsed) as client:
            answer = client.control(Control.RESOURCES, agent=operand, seconds=seconds)
    except Refused as error:
        if error.errno != errno.ESRCH:
            raise
        terminal.say(f"Error: No resource data for agent {operand}")
        return code.NO
    if parsed.has("json"):
        write_json(terminal, **answer)
        return code.OK
    usage = _usage(answer)
    if parsed.has("history"):
        windows = [_known(Window, record) for record in answer["windows"]]
        terminal.write(windows_text(usage, windows, terminal.paint))
    else:
        lifetime = Lifetime(**answer["lifetime"])
        terminal.write(agent_usage_text(usage, lifetime, terminal.paint))
    return code.OK


def _show_all(client: Client, seconds: list[int], parsed: Parsed, terminal: Terminal) -> int:
    answer = client.control(Control.RESOURCES, seconds=seconds)
    agents = answer["agents"]
    after = answer.get("next")
    while after is not None:
        page = client.control(Control.RESOURCES, seconds=seconds, after=after)
        agents += page["agents"]
        after = page.get("next")
    system = answer["system"]
    if parsed.has("json"):
        write_json(terminal, system=system, agents=agents)
        return code.OK
    rates = [_known(Rates, record) for record in system["spans"]]
    usages = list(map(_usage, agents))
    memory_bytes, drops = system["memory_bytes"], system.get("drops", {})
    terminal.write(system_usage_text(memory_bytes, rates, usages, drops, terminal.paint))
    return code.OK


def _read_spans(parsed: Parsed) -> list[int]:
    texts = parsed.texts("windows")
    if len(texts) > SPANS_MAX:
        raise UsageError(f"option --windows: at most {SPANS_MAX} times")
    for text in texts:
        is_number = text.isascii() and text.isdecimal() and len(text) <= 2
        if not is_number or not 1 <= int(text) <= WINDOWS_MAX:
            raise UsageError(f'option --windows: "{text}" is not a number from 1 to {WINDOWS_MAX}')
    return [int(text) for text in texts]


def _usage(record: Mapping[str, Any]) -> AgentUsage:
    return AgentUsage(
        record["agent_id"], record["name"], record["memory_bytes"], record["peak_memory_bytes"],
        tuple(_known(Rates, span) for span in record["spans"]), record.get("drops", {}),
    )  # fmt: skip


def _known(kind: Any, record: Mapping[str, Any]) -> Any:
    """Make a value of what it knows of a record: the daemon may be one version ahead."""
    names = getattr(kind, "_fields", None) or kind.__dataclass_fields__
    return kind(**{name: record[name] for name in names if name in record})


COMMAND = Command(
    summary="Show what agents use, over the last seconds and second by second.",
    run=run,
    operands="[AGENT]",
    most=1,
    options=(
        Option(
            "windows",
            "rates over the last N seconds (default 5, 10 and 60; up to three times)",
            short="n",
            metavar="N",
            many=True,
        ),
        Option("history", "the last 60 one-second windows as a table"),
        JSON,
    ),
)
