"""asmctl doctor: where each figure and limit comes from, why one is off, and what we cost."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client, read_timeout_s
from supervisord_asm.cli.count_option import read_count
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.view.doctor_text import doctor_text

SECONDS_DEFAULT = 2
SECONDS_MAX = 60
# What the readings take beside the seconds; generous, since a host that is asked may be busy.
READING_S = 10.0


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the checks, or with --cost the cost. What is off on this host is no failure."""
    seconds = read_count(parsed, "seconds")
    if parsed.has("cost"):
        return _show_cost(parsed, terminal, SECONDS_DEFAULT if seconds is None else seconds)
    if seconds is not None:
        raise UsageError("option --seconds goes with --cost")
    with open_client(parsed) as client:
        answer = client.control(Control.DOCTOR)
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        terminal.write(doctor_text(answer["checks"], terminal.paint))
    return 0


def _show_cost(parsed: Parsed, terminal: Terminal, seconds: int) -> int:
    if not 1 <= seconds <= SECONDS_MAX:
        raise UsageError(f"option --seconds: from 1 to {SECONDS_MAX}")
    with open_client(parsed) as client:
        if read_timeout_s(parsed) is None:
            client.set_timeout(seconds + READING_S)
        answer = client.control(Control.COST, seconds=seconds)
    if parsed.has("json"):
        write_json(terminal, **answer)
    else:
        from supervisord_asm.view.cost_text import cost_text  # doctor alone does without

        terminal.write(cost_text(answer, terminal.paint))
    return 0


COMMAND = Command(
    summary="Show the source of each figure and limit and, where one is off, why.",
    run=run,
    options=(
        Option("cost", "measure what our own programs cost this host now"),
        Option("seconds", "with --cost: measure for so long, 1 to 60 (default 2)", metavar="N"),
        JSON,
    ),
)
