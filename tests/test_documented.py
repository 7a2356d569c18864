"""What exists is explained where people look: pins, commands, verbs, keys, make targets.

Each test goes from the thing to its words, so that a new thing without words fails.
"""

import ast
import re
import tomllib
from pathlib import Path

from tests.sources import PACKAGE, ROOT, package, report, text, under


def test_every_dependency_is_pinned_and_has_its_reason() -> None:
    project = tomllib.loads(text(Path("pyproject.toml")))
    pins = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    pins += project["project"]["optional-dependencies"]["dev"]
    assert len(pins) > 10
    broken = [f"{pin} is not pinned" for pin in pins if "==" not in pin]
    lines = text(Path("pyproject.toml")).splitlines()
    for pin in project["project"]["dependencies"]:
        number = next(index for index, line in enumerate(lines) if line.strip() == f'"{pin}",')
        if not lines[number - 1].lstrip().startswith("#"):
            broken.append(f"{pin} has no comment that says why")
    report(broken)


def test_every_command_has_a_man_page_and_an_entry_point_that_exists() -> None:
    scripts = tomllib.loads(text(Path("pyproject.toml")))["project"]["scripts"]
    assert len(scripts) == 5
    broken = []
    for command, target in scripts.items():
        module, function = target.split(":")
        path = Path(*module.split(".")).with_suffix(".py")
        if not (ROOT / path).exists() or f"def {function}(" not in text(path):
            broken.append(f"{command}: there is no {target}")
        if not list((ROOT / "docs" / "man").glob(f"{command}.*rst")):
            broken.append(f"{command}: docs/man has no page")
    report(broken)


def test_the_manual_names_every_verb() -> None:
    verbs = sorted(path.stem.replace("_", "-") for path in under(f"{PACKAGE}/cli/verbs", ".py"))
    pages = list((ROOT / "docs" / "man").glob("asmctl.*.rst"))
    assert len(verbs) > 10
    assert pages
    manual = pages[0].read_text()
    named = [verb for verb in verbs if verb != "--init--"]
    report(
        f"asmctl {verb} is not in {pages[0].name}"
        for verb in named
        if not re.search(rf"(^|[\s`*]){verb}\b", manual)
    )


# The methods of configuration.section.Section that take a key.
KEY_READERS = {
    "absent", "choice", "count", "flag", "limit", "list", "quantity", "read", "section", "take",
    "text", "values",
}  # fmt: skip


def configuration_keys() -> set[str]:
    """Return every key that the configuration reads, from the calls that read them."""
    return {
        str(node.args[0].value)
        for module in package()
        if module.area == "configuration"
        for node in module.walk()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in KEY_READERS
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_every_configuration_key_stands_in_the_shipped_files() -> None:
    shipped = "\n".join(text(path) for path in under("config", ".yaml"))
    keys = configuration_keys()
    assert len(keys) > 50
    report(
        f"{key} is in no file of config/"
        for key in keys
        if not re.search(rf"(^[ #-]*|[{{,] *){re.escape(key)}:", shipped, re.M)
    )


def test_every_section_of_the_shipped_configuration_is_explained() -> None:
    path = Path("config/asm.yaml")
    broken = []
    seen = 0
    before = ""
    for number, line in enumerate(text(path).splitlines(), 1):
        if re.match(r"(# )?[a-z_]+:", line):
            seen += 1
            # Keys in a row share the words above the first of them.
            is_explained = before.startswith("##") or " # " in line or re.match(r"[a-z]", before)
            if not is_explained:
                broken.append(f"{path}:{number}: {line}")
        before = line
    assert seen > 10
    report(broken)


def test_every_make_target_is_in_the_help() -> None:
    makefile = text(Path("Makefile"))
    phony = re.search(r"^\.PHONY:(.*)$", makefile, re.M)
    assert phony
    targets = phony.group(1).split()
    assert len(targets) > 10
    report(
        f"make {target} has no ## text"
        for target in targets
        if not re.search(rf"^{target}:[^#\n]*## \S", makefile, re.M)
    )
