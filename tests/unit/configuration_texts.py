"""Short configurations for tests: what is read, and what is said against it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.configuration import (
    ConfigurationErrors,
    parse_agent_text,
    parse_daemon_text,
)
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import AgentSpec

LEAST = "name: a\ncommand: [run]\n"


def agent(text: str, daemon: DaemonSpec | None = None) -> AgentSpec:
    """Read one agent: the least that there is, and `text` below it."""
    (spec,) = parse_agent_text(LEAST + text, "a.yaml", daemon)
    return spec


def agent_errors(text: str) -> list[str]:
    """Return what is wrong with a file of agents."""
    with pytest.raises(ConfigurationErrors) as caught:
        parse_agent_text(text, "FILE")
    return [str(error).removeprefix("FILE:") for error in caught.value.errors]


def daemon_errors(text: str) -> list[str]:
    """Return what is wrong with an asm.yaml."""
    with pytest.raises(ConfigurationErrors) as caught:
        parse_daemon_text(text, "FILE")
    return [str(error).removeprefix("FILE:") for error in caught.value.errors]


def cases(name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (file, errors) from configuration_errors/NAME.txt; blocks stand between empty lines."""
    path = Path(__file__).parent / "configuration_errors" / f"{name}.txt"
    for block in path.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        given = [line[2:] for line in lines if line.startswith("> ")]
        if given:
            yield "\n".join(given) + "\n", [line for line in lines if not line.startswith("> ")]
