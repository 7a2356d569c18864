"""start, stop, restart, kill, reset: one control call about some agents, one line per agent.

The verbs differ in their number and words only. Each waits until the daemon has done it (a stop
may last as long as the agent's grace time) unless told otherwise; Ctrl-C ends the wait and not the
action.
"""

from collections.abc import Mapping
from typing import Any

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agents
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal

_ALL = Option("all", "every agent", short="a")
_NO_WAIT = Option("no-wait", "return when asmd has accepted, not when it is done")


def action_command(
    verb: Control, summary: str, *, can_wait: bool = True, options: tuple[Option, ...] = ()
) -> Command:
    """Return the command for a verb that takes agents and nothing else of its own."""

    def run(parsed: Parsed, terminal: Terminal) -> int:
        return act(verb, parsed, terminal)

    return Command(
        summary=summary,
        run=run,
        operands="AGENT... | --all",
        most=None,
        options=((_ALL, _NO_WAIT, JSON) if can_wait else (_ALL, JSON)) + options,
    )


def act(verb: Control, parsed: Parsed, terminal: Terminal, **request: Any) -> int:
    """Make the call and print each agent's result. Returns the severest exit code."""
    agents = check_agents(parsed.operands)
    is_all = parsed.has("all")
    if is_all == bool(agents):
        raise UsageError("name the agents, or say --all" if not is_all else "--all takes no names")
    with open_client(parsed, is_patient=True) as client:
        answer = client.control(
            verb, agents=agents, all=is_all, wait=not parsed.has("no-wait"), **request
        )
    results = answer["results"]
    if parsed.has("json"):
        write_json(terminal, results=results)
    else:
        for result in results:
            _print_result(result, terminal)
    failures = [-result["result"] for result in results if result["result"] < 0]
    return max(map(code.exit_for_errno, failures), default=code.OK)


def _print_result(result: Mapping[str, Any], terminal: Terminal) -> None:
    name, message = result["name"], result.get("message") or ""
    if result["result"] < 0:
        # "Agent ghost not found" names the agent itself, in the guide's words.
        terminal.say(f"Error: {message}" if name in message else f"Error: {name}: {message}")
    elif message:
        terminal.write(f"{name}: {message}\n")
