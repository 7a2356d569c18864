"""Every message that an operator can get for a wrong file, as text."""

import pytest

from supervisord_asm.configuration import ConfigurationErrors, parse_agent_text
from supervisord_asm.configuration.errors import ERRORS_PER_FILE_MAX, MESSAGE_MAX
from supervisord_asm.configuration.suggestion import suggest
from tests.unit.configuration_texts import LEAST, agent_errors, cases, daemon_errors

AGENT_CASES = list(cases("agent"))
DAEMON_CASES = list(cases("daemon"))


def test_the_tables_are_not_empty() -> None:
    assert len(AGENT_CASES) > 150
    assert len(DAEMON_CASES) > 60


@pytest.mark.parametrize(("text", "errors"), AGENT_CASES)
def test_a_wrong_agent_is_told_what_would_be_right(text: str, errors: list[str]) -> None:
    assert agent_errors(text) == errors


@pytest.mark.parametrize(("text", "errors"), DAEMON_CASES)
def test_a_wrong_asm_yaml_is_told_what_would_be_right(text: str, errors: list[str]) -> None:
    assert daemon_errors(text) == errors


def test_all_errors_of_a_file_are_told_together_in_its_order() -> None:
    text = LEAST + "limits: {memory: 512, watchdog: 30}\nstart: never\nrestrt: no\n"
    assert agent_errors(text) == [
        '3:18: limits.memory: 512 is a bare number: write "512MiB"',
        '3:33: limits.watchdog: 30 is a bare number: write "30s"',
        '4:8: start: unknown value "never": one of auto, boot, manual',
        '5:1: unknown key "restrt": did you mean restart?',
    ]


def test_a_file_of_garbage_ends_in_a_bounded_list() -> None:
    errors = agent_errors("\n".join(f"- {number}" for number in range(500)))
    assert len(errors) == ERRORS_PER_FILE_MAX + 1
    assert errors[-1] == "101:3: more than 100 errors: mend those above first"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            f"working_directory: /{'x' * 4095}\n",
            "3:20: working_directory: a path of 4096 bytes: at most 4095 bytes",
        ),
        (
            f"environment: {{A: {'x' * 131_072}}}\n",
            "3:18: environment.A: has 131072 characters: at most 131071",
        ),
        (
            f"environment_pass: [{', '.join(f'V{number}' for number in range(4097))}]\n",
            "3:1: environment_pass has 4097 entries: at most 4096",
        ),
    ],
)
def test_what_is_too_long_is_refused_with_its_bound(text: str, error: str) -> None:
    assert agent_errors(LEAST + text) == [error]


def test_what_a_terminal_would_act_on_is_spelled_out() -> None:
    assert agent_errors('name: "a\\e[31m"\ncommand: [x]\n') == [
        '1:7: name: "a\\x1b[31m" is no name: a lower-case letter, then up to 62 of a-z 0-9 _ . -'
    ]


def test_a_long_key_is_cut_in_the_message() -> None:
    (error,) = agent_errors(LEAST + f"{'k' * 900}: 1\n")
    assert len(error) < MESSAGE_MAX + 100


def test_no_value_of_an_environment_or_a_url_is_repeated() -> None:
    for text in (
        "environment: S3CRET\n",
        "environment: {A: [S3CRET]}\n",
        "environment: [S3CRET]\n",
    ):
        assert "S3CRET" not in str(agent_errors(LEAST + text))
    url = "gateway: {providers: {c: {base_url: 'https://u:S3CRET@h', dialect: gemini, model: m}}}"
    assert "S3CRET" not in str(daemon_errors(url))


def test_the_printed_form_names_file_line_and_column() -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        parse_agent_text(LEAST + "id: 0\n", "/etc/asm/agents.d/a.yaml")
    (error,) = caught.value.errors
    assert (error.file, error.line, error.column) == ("/etc/asm/agents.d/a.yaml", 3, 5)
    assert str(error) == str(caught.value)
    assert str(error).startswith("/etc/asm/agents.d/a.yaml:3:5: id: 0 is out of range: ")


def test_a_suggestion_is_offered_only_when_it_is_near() -> None:
    assert suggest("memroy", ["memory", "cpu"]) == "did you mean memory?"
    assert suggest("MEMORY", ["memory", "cpu"]) == "write memory"
    assert suggest("xyz", ["memory", "cpu"]) == "one of cpu, memory"
    assert suggest("xyz", []) == "nothing belongs here"
    assert suggest("cwd", ["working_directory"]) == "write working_directory"
    assert suggest("cwd", ["memory"]) == "one of memory"
