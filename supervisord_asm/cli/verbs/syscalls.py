"""asmctl syscalls AGENT: which syscalls an agent makes most."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.count_option import read_count
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.view.activity_text import syscalls_text

MOST = 20


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for one agent's syscalls and print the most frequent."""
    most = read_count(parsed, "lines")
    with open_client(parsed) as client:
        answer = client.control(Control.SYSCALLS, agent=check_agent(parsed.operands[0]))
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        terminal.write(syscalls_text(answer, MOST if most is None else most, terminal.paint))
    return 0


COMMAND = Command(
    summary="Show which syscalls an agent makes most, by name.",
    run=run,
    operands="AGENT",
    least=1,
    most=1,
    options=(
        Option("lines", "so many rows (default 20, 0: all); JSON has all", short="n", metavar="N"),
        JSON,
    ),
)
