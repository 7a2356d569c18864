"""asmctl kill: send a signal to an agent's main process, SIGKILL unless another is named."""

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_action import act
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Send the signal; the restart policy then decides as after any other death."""
    signal_number = read_signal(parsed.text("signal") or "KILL")
    return act(Control.KILL, parsed, terminal, signal=signal_number)


def read_signal(text: str) -> int:
    """Return the number of "TERM", "SIGTERM" or "15". Raises UsageError."""
    import signal  # an enum of 60 members, 1 ms, for this verb only

    name = text.upper().removeprefix("SIG")
    if name.isdecimal() and 1 <= int(name) < signal.NSIG:
        return int(name)
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError as error:
        raise UsageError(f'"{text}" is no signal: write KILL, TERM, HUP or a number') from error


COMMAND = Command(
    summary="Send a signal to agents (default KILL); the restart policy decides what follows.",
    run=run,
    operands="AGENT... | --all",
    most=None,
    options=(
        Option("signal", "the signal's name or number", short="s", metavar="SIGNAL"),
        Option("all", "every agent", short="a"),
        JSON,
    ),
)
