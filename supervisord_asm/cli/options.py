"""Command lines in the GNU manner, parsed from a table. Pure.

`--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`, clustered flags, `--` ends the options, and a
unique beginning of a long name is *not* accepted: scripts that use one break when an option is
added. argparse would do, at 6 ms of the 60 that a command has; this does what our commands need.

A mistake is a UsageError whose text says what would have been right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


class UsageError(Exception):
    """The command line is wrong; the text says how. Exit code 2."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. Without `metavar` it is a flag; with `many` it may be given again and again."""

    name: str
    help: str
    short: str = ""
    metavar: str = ""
    many: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a command line said. Ask by the option's long name, without dashes."""

    operands: tuple[str, ...] = ()
    values: dict[str, list[str]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether the option was given."""
        return name in self.values

    def text(self, name: str) -> str | None:
        """Return the option's value, the last one when it was given again; None when it was not."""
        values = self.values.get(name)
        return values[-1] if values else None

    def texts(self, name: str) -> list[str]:
        """Return every value of the option, in order."""
        return self.values.get(name, [])


def parse(
    arguments: Sequence[str], options: Sequence[Option], *, is_command_last: bool = False
) -> Parsed:
    """Parse a command line. Raises UsageError.

    Args:
        arguments: without the program's name.
        options: what is known.
        is_command_last: the first operand ends the options, as with env(1) and nice(1), since what
            follows is another command's line.
    """
    by_name = {option.name: option for option in options}
    by_short = {option.short: option for option in options if option.short}
    parsed = Parsed()
    rest = list(arguments)
    operands: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if not word.strip("-"):
            # "-" is stdin by custom; "----" is what a script finds that takes a table's rule for
            # an id, and deserves the answer that a wrong id gets.
            operands.append(word)
        elif word.startswith("--"):
            _take_long(word[2:], rest, by_name, parsed)
        elif word.startswith("-"):
            _take_short(word[1:], rest, by_short, parsed)
        else:
            operands.append(word)
            if is_command_last:
                operands += rest
                break
    return Parsed(tuple(operands), parsed.values)


def _take_long(body: str, rest: list[str], by_name: dict[str, Option], parsed: Parsed) -> None:
    name, has_value, value = body.partition("=")
    option = by_name.get(name)
    if option is None:
        raise UsageError(f"unknown option --{name}{_did_you_mean(name, by_name)}")
    if not option.metavar:
        if has_value:
            raise UsageError(f"option --{name} takes no value")
        _keep(option, "", parsed)
    elif has_value:
        _keep(option, value, parsed)
    elif rest:
        _keep(option, rest.pop(0), parsed)
    else:
        raise UsageError(f"option --{name} needs a value: --{name} {option.metavar}")


def _take_short(body: str, rest: list[str], by_short: dict[str, Option], parsed: Parsed) -> None:
    while body:
        letter, body = body[0], body[1:]
        option = by_short.get(letter)
        if option is None:
            raise UsageError(f"unknown option -{letter}")
        if not option.metavar:
            _keep(option, "", parsed)
        elif body:
            _keep(option, body, parsed)
            return
        elif rest:
            _keep(option, rest.pop(0), parsed)
        else:
            raise UsageError(f"option -{letter} needs a value: -{letter} {option.metavar}")


def _keep(option: Option, value: str, parsed: Parsed) -> None:
    if option.choices and value not in option.choices:
        allowed = ", ".join(option.choices)
        raise UsageError(f'option --{option.name}: "{value}" is none of {allowed}')
    values = parsed.values.setdefault(option.name, [])
    if not option.many:
        values.clear()
    values.append(value)


def _did_you_mean(name: str, by_name: dict[str, Option]) -> str:
    import difflib  # 4 ms, and only for a mistake

    close = difflib.get_close_matches(name, by_name, n=1)
    return f"; did you mean --{close[0]}?" if close else ""


def options_help(options: Sequence[Option]) -> str:
    """Return the options as an indented list, one or two lines each."""
    lines = []
    for option in options:
        short = f"-{option.short}, " if option.short else "    "
        value = f" {option.metavar}" if option.metavar else ""
        left = f"  {short}--{option.name}{value}"
        if len(left) <= 28:
            lines.append(f"{left:<30}{option.help}")
        else:
            lines += [left, " " * 30 + option.help]
    return "\n".join(lines)
