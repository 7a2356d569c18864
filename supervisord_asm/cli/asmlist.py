"""asmlist: one row per agent. Also `asmctl list`, which adds the state."""

import sys
from collections.abc import Mapping
from typing import Any

from supervisord_asm.api.client import Client
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command, execute
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.snapshot import AGENT_FIELDS, agent_from_json
from supervisord_asm.view.asmlist_text import asmlist_text

ALL = Option("all", "also agents that have ended in the last 24 hours", short="a")

# Long, and told of one agent at a time: asminfo --json has them.
_NOT_LISTED = frozenset({"mechanisms", "limits", "log_path", "cgroup", "run"})


def show(parsed: Parsed, terminal: Terminal, *, with_state: bool) -> int:
    """Ask for the agents and print them."""
    with open_client(parsed) as client:
        records = list_agents(client, with_ended=parsed.has("all"))
    if parsed.has("json"):
        write_json(terminal, agents=[_whole(record) for record in records])
        return 0
    agents = [agent_from_json(record) for record in records]
    terminal.write(asmlist_text(agents, terminal.paint, with_state=with_state))
    return 0


def list_agents(client: Client, *, with_ended: bool) -> list[dict[str, Any]]:
    """Return every agent by rising id, fetched page by page: a reply holds 1 MiB at most.

    An agent of `asmctl run` that is over has ended, even while asmd still holds its place.
    """
    records: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = client.control(Control.LIST, all=with_ended, after=after)
        records += page["agents"]
        after = page.get("next")
    return records if with_ended else [one for one in records if not one.get("ended")]


def _whole(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with null for what the list left out as unknown."""
    return {name: record.get(name) for name in AGENT_FIELDS if name not in _NOT_LISTED}


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
