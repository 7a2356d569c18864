"""asmctl run -- COMMAND…: a command as a new agent, supervised, counted and bounded.

Without --wait: returns after a successful exec and prints the agent's id. With --wait: behaves like
the command itself, see attached_run.py.
"""

import os
from typing import Any

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.attached_run import AttachedRun
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal

LIMITS = ("cpu", "memory", "pids", "syscalls", "watchdog", "wall")


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Start the agent; with --wait stay attached until it ends."""
    request = read_request(parsed)
    if parsed.has("wait"):
        return AttachedRun(parsed, terminal).run(request)
    with open_client(parsed, is_patient=True) as client:
        started = client.control(Control.RUN, **request)
    terminal.write(f"{started['agent_id']}\n")
    return code.OK


def read_request(parsed: Parsed) -> dict[str, Any]:
    """Return the call's members. What was not given is absent: asmd's defaults apply."""
    request: dict[str, Any] = {
        "command": list(parsed.operands),
        "environment": dict(map(_read_variable, parsed.texts("env"))),
        "limits": dict(map(_read_limit, parsed.texts("limit"))),
    }
    name = parsed.text("name")
    if name is not None:
        request["name"] = _read_name(name)
    if parsed.has("user"):
        request["user"] = parsed.text("user")
    for option, member in (("cap", "capabilities"), ("scope", "scope")):
        if parsed.has(option):
            request[member] = parsed.texts(option)
    directory = _working_directory()
    if directory is not None:
        # asmd uses it if it is in scope, else the agent's own state directory.
        request["working_directory"] = directory
    return request


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # removed under us; the agent then starts in its state directory


def _read_name(name: str) -> str:
    if name.isdigit():
        raise UsageError(f'option --name: "{name}" is a number; a name begins with a letter')
    return check_agent(name)


def _read_variable(text: str) -> tuple[str, str]:
    """Return (name, value) of "K=V", or of "K" with the value that K has here."""
    name, has_value, value = text.partition("=")
    if not name:
        raise UsageError(f'option --env: "{text}" has no name; write --env NAME=VALUE')
    if has_value:
        return name, value
    if name not in os.environ:
        raise UsageError(f"option --env: {name} is not set here; write --env {name}=VALUE")
    return name, os.environ[name]


def _read_limit(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if name not in LIMITS or not value:
        raise UsageError(f'option --limit: "{text}" is not one of {", ".join(LIMITS)}=VALUE')
    return name, value


COMMAND = Command(
    summary="Run a command as a new agent.",
    run=run,
    operands="[--] COMMAND [ARGUMENT...]",
    least=1,
    most=None,
    missing="say which command to run: asmctl run [OPTIONS] -- COMMAND",
    is_command_last=True,
    options=(
        Option("name", "the agent's name (default: made from the command)", metavar="NAME"),
        Option("user", "run as this user; root must be spelled out", metavar="USER"),
        Option("env", "set a variable; K alone takes the value it has here",
               short="e", metavar="K=V", many=True),
        Option("limit", "cpu, memory, pids, syscalls, watchdog or wall",
               metavar="NAME=VALUE", many=True),
        Option("cap", "grant a capability instead of the default ones", metavar="NAME", many=True),
        Option("scope", "a path that file capabilities reach", metavar="PATH", many=True),
        Option("wait", "pass its output on, return its exit code, Ctrl-C stops it", short="w"),
    ),
)  # fmt: skip
