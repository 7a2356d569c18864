"""asmlist: one row per agent. Also `asmctl list`, which adds the state."""

import sys

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command, execute
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.snapshot import agent_from_json
from supervisord_asm.view.asmlist_text import asmlist_text

ALL = Option("all", "also agents that have ended in the last 24 hours", short="a")


def show(parsed: Parsed, terminal: Terminal, *, with_state: bool) -> int:
    """Ask for the agents and print them."""
    with open_client(parsed) as client:
        listing = client.control(Control.LIST, all=parsed.has("all"))
    if parsed.has("json"):
        write_json(terminal, **listing)
        return 0
    agents = [agent_from_json(record) for record in listing["agents"]]
    terminal.write(asmlist_text(agents, terminal.paint, with_state=with_state))
    return 0


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the guide's columns."""
    return show(parsed, terminal, with_state=False)


COMMAND = Command(
    summary="List the agents: id, pid, name, capabilities and how often each was restarted.",
    run=run,
    options=(ALL, JSON),
)


def main() -> int:
    """Run the command line of this process."""
    return execute("asmlist", COMMAND, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
