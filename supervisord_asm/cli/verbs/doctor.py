"""asmctl doctor: where each figure and limit comes from, and why something is off."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.view.doctor_text import doctor_text


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the checks. What is off on this host is an answer, not a failure."""
    with open_client(parsed) as client:
        answer = client.control(Control.DOCTOR)
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        terminal.write(doctor_text(answer["checks"], terminal.paint))
    return 0


COMMAND = Command(
    summary="Show the source of each figure and limit and, where one is off, why.",
    run=run,
    options=(JSON,),
)
