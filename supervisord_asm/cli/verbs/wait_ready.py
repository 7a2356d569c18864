"""asmctl wait-ready: returns when asmd answers and the agents are up."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from supervisord_asm.api.client import Unreachable
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agents
from supervisord_asm.cli.asmlist import list_agents
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client, read_duration_us
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal

# A start is awaited that takes 100 ms; asking ten times meanwhile costs asmd nothing. There is no
# descriptor to sleep on before the socket exists.
POLL_S = 0.02

_UP = frozenset({"active", "throttled", "frozen"})
_COMING = frozenset({"starting", "backoff", "stopping"})


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask again and again until ready, hopeless, or out of time."""
    agents = check_agents(parsed.operands)
    within = parsed.text("within") or "30s"
    deadline_s = time.monotonic() + read_duration_us("within", within) / 1_000_000
    while True:
        unreachable: Unreachable | None = None
        try:
            with open_client(parsed) as client:
                # An asmd that hangs must not make us wait longer than we were told to.
                client.set_timeout(max(deadline_s - time.monotonic(), POLL_S))
                listing = list_agents(client, with_ended=bool(agents))
            waiting, hopeless = pending_agents(listing, agents)
            if hopeless:
                terminal.complain(f"will not become active: {', '.join(hopeless)}")
                return code.NO
            if not waiting:
                return code.OK
            reason = f"still not active: {', '.join(waiting)}"
        except Unreachable as error:
            unreachable = error
        if time.monotonic() >= deadline_s:
            if unreachable is not None:
                raise unreachable
            terminal.complain(f"not ready within {within}: {reason}")
            return code.NO
        time.sleep(POLL_S)


def pending_agents(
    listing: Sequence[Mapping[str, Any]], wanted: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return (still coming, never coming) by name.

    Of all agents, those count that are starting; of wanted ones, each must be up, and one that is
    stopped, failed or unknown will not be by itself.
    """
    if not wanted:
        return [view["name"] for view in listing if view["state"] == "starting"], []
    states = {view["name"]: view["state"] for view in listing}
    names = {str(view["agent_id"]): view["name"] for view in listing}
    by_name = {name: states.get(name, "unknown") for name in (names.get(w, w) for w in wanted)}
    waiting = [name for name, state in by_name.items() if state in _COMING]
    hopeless = [name for name, state in by_name.items() if state not in _COMING | _UP]
    return waiting, [f"{name} ({by_name[name]})" for name in hopeless]


COMMAND = Command(
    summary="Wait until asmd answers and no agent is starting any more.",
    run=run,
    operands="[AGENT...]",
    most=None,
    options=(Option("within", "give up after so long (default 30s)", metavar="TIME"),),
)
