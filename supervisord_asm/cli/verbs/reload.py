"""asmctl reload: apply the changed configuration folder, or nothing of it."""

from collections.abc import Mapping
from typing import Any

from supervisord_asm.api.client import Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal

_KINDS = ("added", "changed", "restarted", "removed")


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print what changed; for a bad file, each mistake with its place, and exit 1."""
    try:
        with open_client(parsed, is_patient=True) as client:
            answer = client.control(Control.RELOAD)
    except Refused as error:
        mistakes = error.details.get("errors")
        if not mistakes:
            raise
        for mistake in mistakes:
            terminal.say(mistake_line(mistake))
        terminal.complain("nothing was changed")
        return code.NO
    if parsed.has("json"):
        write_json(terminal, **answer)
        return code.OK
    for kind in _KINDS:
        names = answer.get(kind)
        if names:
            terminal.write(f"{kind}: {', '.join(map(str, names))}\n")
    if not any(answer.get(kind) for kind in _KINDS):
        terminal.write("nothing changed\n")
    return code.OK


def mistake_line(mistake: Mapping[str, Any]) -> str:
    """Return "file:line:column: message: hint", the form that editors jump to."""
    place = ":".join(str(mistake[key]) for key in ("file", "line", "column") if mistake.get(key))
    return ": ".join(filter(None, (place, mistake.get("message"), mistake.get("hint"))))


COMMAND = Command(
    summary="Apply the changed configuration, or nothing of it if a file is wrong.",
    run=run,
    options=(JSON,),
)
