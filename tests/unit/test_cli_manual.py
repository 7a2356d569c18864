"""The manual says what the commands say: every option of every verb stands on the verb's page."""

from pathlib import Path

import pytest

from supervisord_asm.cli import asminfo, asmlist, asmstatus
from supervisord_asm.cli.asmctl import VERBS, load_verb
from supervisord_asm.cli.command import SHARED, Command

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "man"

GROUPS = {
    "asmctl-inspect": {
        "status",
        "list",
        "info",
        "events",
        "history",
        "syscalls",
        "doctor",
        "version",
    },
    "asmctl-measure": {"resources", "profile"},
    "asmctl-top": {"top"},
    "asmctl-plot": {"plot"},
    "asmctl-logs": {"logs"},
    "asmctl-agents": {"start", "stop", "restart", "kill", "reset", "wait-ready"},
    "asmctl-run": {"run"},
    "asmctl-daemon": {"check-config", "reload", "journal", "backup", "shutdown"},
}
COMMANDS = {"asmstatus": asmstatus, "asmlist": asmlist, "asminfo": asminfo}


def page(name: str) -> str:
    """Return a page's source."""
    return (MANUAL / f"{name}.8.rst").read_text(encoding="utf-8")


def missing_options(command: Command, text: str) -> list[str]:
    """Name the options that a page does not explain."""
    return [option.name for option in command.options if f"--{option.name}" not in text]


def test_every_verb_has_one_page() -> None:
    grouped = [verb for verbs in GROUPS.values() for verb in verbs]
    assert sorted(grouped) == sorted(VERBS)


@pytest.mark.parametrize(
    ("name", "verb"), [(name, verb) for name, verbs in GROUPS.items() for verb in sorted(verbs)]
)
def test_a_verbs_page_has_its_synopsis_and_options(name: str, verb: str) -> None:
    text = page(name)
    assert f"**asmctl {verb}" in text
    assert missing_options(load_verb(verb), text) == []
    assert f"{name}(8)" in page("asmctl")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_page_has_its_options(name: str) -> None:
    assert missing_options(COMMANDS[name].COMMAND, page(name)) == []


def test_the_common_options_stand_in_asmctl() -> None:
    assert [option.name for option in SHARED if f"--{option.name}" not in page("asmctl")] == []


@pytest.mark.parametrize("source", sorted(MANUAL.glob("*.rst")), ids=lambda path: path.stem)
def test_every_page_has_the_parts_of_a_page(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    section = source.stem.rpartition(".")[2]
    assert f":Manual section: {section}\n" in text
    parts = ["DESCRIPTION", "SEE ALSO"]
    parts += ["SYNOPSIS", "EXIT STATUS"] if section == "8" else ["FILES"]
    assert [part for part in parts if f"\n{part}\n{'=' * len(part)}\n" not in text] == []
