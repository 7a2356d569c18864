"""asmctl list: what asmlist shows, and each agent's state."""

from dataclasses import replace

from supervisord_asm.cli import asmlist
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the guide's columns and the state."""
    return asmlist.show(parsed, terminal, with_state=True)


COMMAND = replace(
    asmlist.COMMAND,
    summary="List the agents: id, pid, name, capabilities, restarts and state.",
    run=run,
)
