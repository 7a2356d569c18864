"""What every command shares: its description as a value, and the way from argv to an exit code.

A command's `run` takes what was parsed and the terminal, and returns an exit code. It raises what
went wrong; here, and only here, that becomes one line on stderr and a code of exit.py:

    UsageError       2   the line says what would be right
    Unreachable      3   what, where, and how to start asmd (4 when permission is what is missing)
    Refused          by its errno (exit_for_errno), with the daemon's words and hint
    closed stdout    0   `asmlist | head -1` is not an error
    Ctrl-C           130
    anything else    5   a bug: one line that says so; the trace with --debug
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisord_asm.api.client import CONTROL_SOCKET, Refused, Unreachable
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import InvalidAgent
from supervisord_asm.cli.options import Option, Parsed, UsageError, options_help, parse
from supervisord_asm.cli.terminal import COLOR_CHOICES, Terminal, choose_paint

HELP = Option("help", "show this text", short="h")
DEBUG = Option("debug", "show the trace of an internal error")
SHARED = (
    Option("socket", f"talk to asmd there (default {CONTROL_SOCKET})", metavar="PATH"),
    Option("timeout", "wait at most so long for each answer (default 5s)", metavar="TIME"),
    Option(
        "color", "colour the output: auto, always, never", metavar="WHEN", choices=COLOR_CHOICES
    ),
    DEBUG,
    HELP,
)
JSON = Option("json", "print JSON instead of text")

Run = Callable[[Parsed, Terminal], int]


@dataclass(frozen=True, slots=True)
class Command:
    """One command or verb. `operands` is their synopsis; `run` gets between least and most."""

    summary: str
    run: Run
    operands: str = ""
    least: int = 0
    most: int | None = 0
    options: tuple[Option, ...] = ()
    is_command_last: bool = False
    missing: str = ""


def execute(name: str, command: Command, arguments: Sequence[str]) -> int:
    """Parse, run, report. Returns the exit code; raises nothing.

    Args:
        name: how the command was called, for its own messages ("asmlist", "asmctl stop").
        command: what to run.
        arguments: the rest of the command line.
    """
    terminal = Terminal(name)
    is_debug = "--debug" in arguments
    try:
        parsed = parse(
            arguments, (*command.options, *SHARED), is_command_last=command.is_command_last
        )
        if parsed.has("help"):
            terminal.write(help_text(name, command))
            return code.OK
        _check_operands(command, parsed)
        terminal.paint = choose_paint(
            parsed.text("color") or "auto",
            is_terminal=sys.stdout.isatty(),
            environment=os.environ,
        )
        return command.run(parsed, terminal)
    except InvalidAgent as error:
        # The guide's shell says it in these words, and scripts may look for them.
        terminal.say(str(error) if name == "asminfo" else f'Error: {error} "{error.operand}"')
        return code.USAGE
    except UsageError as error:
        terminal.complain(f"{error}; see {name} --help")
        return code.USAGE
    except Unreachable as error:
        terminal.complain(unreachable_line(error))
        return code.REFUSED if error.errno in (errno.EACCES, errno.EPERM) else code.UNREACHABLE
    except Refused as error:
        terminal.complain(refused_line(error))
        return code.exit_for_errno(error.errno)
    except BrokenPipeError:
        _abandon_stdout()
        return code.OK
    except KeyboardInterrupt:
        return code.INTERRUPTED
    except OSError as error:
        if error.errno is None:
            raise
        where = f" {error.filename}" if error.filename else ""
        terminal.complain(f"unable to use{where}: {error.strerror}")
        return code.exit_for_errno(error.errno)
    except Exception as error:  # the last line of defence: an operator sees a line, not a trace
        if is_debug:
            raise
        terminal.complain(f"internal error, please report it: {type(error).__name__}: {error}")
        return code.INTERNAL


def help_text(name: str, command: Command) -> str:
    """Return what --help prints."""
    synopsis = f"usage: {name} [OPTIONS] {command.operands}".rstrip()
    options = options_help((*command.options, *SHARED))
    return f"{synopsis}\n\n{command.summary}\n\noptions:\n{options}\n"


def unreachable_line(error: Unreachable) -> str:
    """Return one line: what failed, where, and what to do about it."""
    what = f"unable to reach asmd at {error.path}: {os.strerror(error.errno)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f'{what}: only root and members of the group "asm" may'
    if error.errno == errno.ETIMEDOUT:
        return f"{what}: asmd runs but does not answer; wait longer with --timeout 30s"
    start = "systemctl start asmd" if os.path.isdir("/run/systemd/system") else "make up"
    return f"{what}: is asmd running? start it with: {start}"


def refused_line(error: Refused) -> str:
    """Return the daemon's words, with its hint where it gave one."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _check_operands(command: Command, parsed: Parsed) -> None:
    count = len(parsed.operands)
    if count < command.least:
        raise UsageError(command.missing or f"{command.operands} is missing")
    if command.most is not None and count > command.most:
        extra = parsed.operands[command.most]
        raise UsageError(f'"{extra}" is one operand too many')


def _abandon_stdout() -> None:
    # The interpreter flushes stdout at exit and would complain about the same closed pipe again.
    devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
