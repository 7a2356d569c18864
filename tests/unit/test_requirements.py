"""pyproject.toml is the only place where a version stands."""

import pytest

from install.requirements import PROJECT, requirements


def test_the_lists_are_read_and_joined() -> None:
    lines = requirements(PROJECT.read_text(), ["run", "dev"])
    assert any(line.startswith("cffi==") for line in lines)
    assert any(line.startswith("pytest==") for line in lines)
    assert "cffi" in " ".join(requirements(PROJECT.read_text(), ["build"]))


def test_an_unknown_list_is_an_error() -> None:
    with pytest.raises(KeyError):
        requirements(PROJECT.read_text(), ["nothing"])


def test_a_tool_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for line in requirements(PROJECT.read_text(), ["run", "dev", "build", "manual"]):
        name, version = line.split("==")
        versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
