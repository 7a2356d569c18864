"""asmctl check-config: the daemon's own reading of the configuration, without the daemon."""

import os
from pathlib import Path

from supervisord_asm.cli import exit as code
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal

FOLDER_DEFAULT = "/etc/asm"
DAEMON_FILE = "asm.yaml"


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Read what asmd would read; print every mistake with its place, or what was found."""
    # YAML and the whole of the specification: 60 ms that no other verb should pay.
    from supervisord_asm.configuration.errors import ConfigurationErrors

    path = Path(parsed.operands[0] if parsed.operands else FOLDER_DEFAULT)
    try:
        names = read_agent_names(path, is_any_owner=parsed.has("any-owner"))
    except ConfigurationErrors as error:
        if parsed.has("json"):
            fields = ("file", "line", "column", "message", "hint")
            mistakes = [{key: getattr(one, key) for key in fields} for one in error.errors]
            write_json(terminal, path=str(path), errors=mistakes)
        else:
            for one in error.errors:
                terminal.say(str(one))
            terminal.complain(
                f"{path}: {counted(len(error.errors), 'mistake')}, nothing would start"
            )
        return code.NO
    if parsed.has("json"):
        write_json(terminal, path=str(path), agents=names, errors=[])
    else:
        terminal.write(f"{path}: no mistakes, {counted(len(names), 'agent')}\n")
    return code.OK


def counted(count: int, noun: str) -> str:
    """Return "1 agent", "2 agents"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def read_agent_names(path: Path, *, is_any_owner: bool) -> list[str]:
    """Return the names of the agents in a folder like /etc/asm, an asm.yaml, or an agents' file.

    Raises ConfigurationErrors with every mistake, OSError when there is no such path.
    """
    from supervisord_asm.configuration.load import load_configuration, parse_agent_text

    if os.path.isdir(path):
        path = path / DAEMON_FILE
    elif path.name != DAEMON_FILE:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return [spec.name for spec in parse_agent_text(text, str(path))]
    found = load_configuration(path, require_root_owner=not is_any_owner)
    return [spec.name for spec in found.agents]


COMMAND = Command(
    summary="Check configuration files without applying them.",
    run=run,
    operands="[FOLDER | FILE]",
    most=1,
    options=(
        Option("any-owner", "also files that others than root may write; asmd refuses them"),
        JSON,
    ),
)
