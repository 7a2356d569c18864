"""The command-line parser: its grammar, and that each mistake says what would be right."""

import pytest

from supervisord_asm.cli.agent_operand import InvalidAgent, check_agent
from supervisord_asm.cli.options import Option, UsageError, options_help, parse
from supervisord_asm.core.spec import AGENT_ID_MAX

OPTIONS = (
    Option("all", "every one", short="a"),
    Option("follow", "go on", short="f"),
    Option("lines", "so many", short="n", metavar="N"),
    Option("env", "a variable", short="e", metavar="K=V", many=True),
    Option("color", "colour", metavar="WHEN", choices=("auto", "never")),
)


@pytest.mark.parametrize(
    ("line", "operands", "values"),
    [
        ("", (), {}),
        ("a b", ("a", "b"), {}),
        ("--all x", ("x",), {"all": [""]}),
        ("x --lines 5 y", ("x", "y"), {"lines": ["5"]}),
        ("--lines=5", (), {"lines": ["5"]}),
        ("--lines=", (), {"lines": [""]}),
        ("-n 5", (), {"lines": ["5"]}),
        ("-n5", (), {"lines": ["5"]}),
        ("-fn5", (), {"follow": [""], "lines": ["5"]}),
        ("-n 1 -n 2", (), {"lines": ["2"]}),
        ("-e A=1 --env B=2", (), {"env": ["A=1", "B=2"]}),
        ("-- --all -f", ("--all", "-f"), {}),
        ("- ---- x", ("-", "----", "x"), {}),
        ("--color=never", (), {"color": ["never"]}),
    ],
)
def test_grammar(line: str, operands: tuple[str, ...], values: dict[str, list[str]]) -> None:
    parsed = parse(line.split(), OPTIONS)
    assert parsed.operands == operands
    assert parsed.values == values


def test_a_command_line_of_another_program_is_left_alone() -> None:
    parsed = parse(["-a", "sh", "-c", "x", "--all"], OPTIONS, is_command_last=True)
    assert parsed.operands == ("sh", "-c", "x", "--all")
    parsed = parse(["-a", "--", "sh", "--", "x"], OPTIONS, is_command_last=True)
    assert parsed.operands == ("sh", "--", "x")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--al", "unknown option --al; did you mean --all?"),
        ("--zzz", "unknown option --zzz"),
        ("-x", "unknown option -x"),
        ("--lines", "option --lines needs a value: --lines N"),
        ("-n", "option -n needs a value: -n N"),
        ("--all=1", "option --all takes no value"),
        ("--color=red", 'option --color: "red" is none of auto, never'),
    ],
)
def test_mistakes_say_what_would_be_right(line: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split(), OPTIONS)
    assert str(caught.value) == text


def test_help_lists_every_option() -> None:
    text = options_help(OPTIONS)
    assert all(f"--{option.name}" in text and option.help in text for option in OPTIONS)


@pytest.mark.parametrize("good", ["1", "100", str(AGENT_ID_MAX), "a", "fs_monitor", "a.b-c_9"])
def test_ids_and_names_are_agents(good: str) -> None:
    assert check_agent(good) == good


@pytest.mark.parametrize(
    "bad",
    ["", "0", "-5", "ID", "----", "1a", "A", "_a", "a b", "a/b", "a" * 64, "ä", "²",
     str(AGENT_ID_MAX + 1), "9" * 5000, "a\n", "+5", "0x10"],
)  # fmt: skip
def test_anything_else_is_an_invalid_agent_id(bad: str) -> None:
    with pytest.raises(InvalidAgent, match=r"^Invalid agent ID$"):
        check_agent(bad)
