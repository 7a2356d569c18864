"""asmctl shutdown: end asmd, with its agents or without."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask asmd to end and wait until it has accepted and, by default, stopped the agents."""
    with open_client(parsed, is_patient=True) as client:
        client.control(Control.SHUTDOWN, agents="keep" if parsed.has("keep-agents") else "stop")
    return 0


COMMAND = Command(
    summary="Stop every agent and end asmd.",
    run=run,
    options=(
        Option("keep-agents", "leave the agents running; the next asmd takes them over again"),
    ),
)
