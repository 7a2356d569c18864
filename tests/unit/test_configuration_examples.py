"""The shipped files: they are read, they say the defaults, and they and the docs name every key."""

import re
from pathlib import Path

import pytest

from supervisord_asm.configuration import parse_agent_text, parse_daemon_text
from supervisord_asm.configuration.section import Section
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import AgentSpec

ROOT = Path(__file__).parents[2]
ASM_YAML = (ROOT / "config/asm.yaml").read_text()
AGENT_YAML = (ROOT / "config/examples/agent.yaml").read_text()
MANUAL = (ROOT / "docs/configuration.md").read_text()


def switched_on(text: str) -> str:
    """Take the single hash away from what is switched off; prose has two."""
    return re.sub(r"(?m)^# (?=[^#])", "", text)


def everything_on() -> str:
    """Return asm.yaml with every section and key in use."""
    return switched_on(ASM_YAML).replace("policy: cost-optimized", "policy: explicit")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Collect, per section, every key that a reader knows."""
    found: dict[str, set[str]] = {}
    done = Section.done

    def remember(section: Section) -> None:
        found.setdefault(section.path, set()).update(section._known)
        done(section)

    monkeypatch.setattr(Section, "done", remember)
    return found


def test_the_shipped_asm_yaml_says_the_defaults() -> None:
    assert parse_daemon_text(ASM_YAML, "asm.yaml") == DaemonSpec()


def test_what_is_switched_off_in_asm_yaml_is_right_too() -> None:
    spec = parse_daemon_text(everything_on(), "asm.yaml")
    assert spec.groups
    assert spec.budget
    assert spec.sentinel
    assert spec.gateway.providers
    assert len(spec.prices.tables) == 2


def test_the_example_of_an_agent_is_right() -> None:
    (spec,) = parse_agent_text(AGENT_YAML, "agent.yaml")
    assert spec != AgentSpec(name=spec.name, command=spec.command)
    assert spec.agent_id == 100


def named_in(text: str, key: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(key)}:", text) is not None


def test_asm_yaml_names_every_key(asked: dict[str, set[str]]) -> None:
    parse_daemon_text(everything_on(), "asm.yaml")
    assert {"", "paths", "gateway", "gateway.providers.claude", "sentinel"} <= asked.keys()
    limits = asked.pop("defaults.limits", set())  # explained in the agent's example
    missing = [
        f"{path}.{key}"
        for path, keys in asked.items()
        for key in keys - limits
        if not named_in(ASM_YAML, key)
    ]
    assert missing == []


def test_the_example_of_an_agent_names_every_key(asked: dict[str, set[str]]) -> None:
    parse_agent_text(AGENT_YAML, "agent.yaml")
    assert {"", "limits", "limits.io", "scope", "recovery", "gateway"} <= asked.keys()
    missing = [
        f"{path}.{key}"
        for path, keys in asked.items()
        for key in keys
        if not named_in(AGENT_YAML, key)
    ]
    assert missing == []


def test_the_manual_names_every_key(asked: dict[str, set[str]]) -> None:
    parse_daemon_text(everything_on(), "asm.yaml")
    parse_agent_text(AGENT_YAML, "agent.yaml")
    keys = {key for known in asked.values() for key in known}
    assert len(keys) > 120
    assert sorted(key for key in keys if f"`{key}`" not in MANUAL) == []
