"""The repository's own text, for the tests that check laws: which files there are, parsed once.

Files are those that git tracks or would track, so that a build's leftovers are nobody's fault and
a new file is checked before its first commit. In a copy without git, all files count.
"""

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "supervisord_asm"


@functools.cache
def files() -> tuple[Path, ...]:
    """List the repository's files, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        names = listed.stdout.splitlines()
    except (
        OSError,
        subprocess.CalledProcessError,
    ):  # an unpacked archive: no git, no ignored files
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return tuple(Path(name) for name in sorted(names) if (ROOT / name).is_file())


def under(folder: str, *suffixes: str) -> list[Path]:
    """List the files below a folder ("" for all) whose name ends so."""
    found = (path for path in files() if folder in ("", *(str(p) for p in path.parents)))
    return [path for path in found if path.name.endswith(suffixes)]


def text(path: Path) -> str:
    """Return a file's text."""
    return (ROOT / path).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed Python file."""

    path: Path
    tree: ast.Module

    @property
    def area(self) -> str:
        """The folder of the package it belongs to; "" for what lies at the package's top."""
        inner = self.path.parts[1:]
        return inner[0] if len(inner) > 1 else ""

    def walk(self) -> Iterator[ast.AST]:
        """Yield every node."""
        return ast.walk(self.tree)

    def at(self, node: ast.AST) -> str:
        """Say where a node stands."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@functools.cache
def modules(folder: str = PACKAGE) -> tuple[Module, ...]:
    """Parse the Python files below a folder."""
    return tuple(Module(path, ast.parse(text(path))) for path in under(folder, ".py"))


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield each import with the full dotted name: `from a import b` gives "a.b"."""
    for node in module.walk():
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.AST) -> str:
    """Return "a.b.c" for such an expression, "" for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def docstrings(module: Module) -> set[int]:
    """Return the ids of the constants that are docstrings, or stand alone as one."""
    return {
        id(node.value)
        for node in module.walk()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def strings(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield every string constant that is not a docstring."""
    documentation = docstrings(module)
    for node in module.walk():
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in documentation:
            assert isinstance(node, ast.Constant)
            yield node, str(node.value)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def package() -> tuple[Module, ...]:
    """Return the package's files."""
    found = modules(PACKAGE)
    assert len(found) > 10
    return found


def report(broken: Iterable[str]) -> None:
    """Fail with every place that breaks the rule."""
    places = sorted(set(broken))
    if places:
        pytest.fail(f"{len(places)} places:\n  " + "\n  ".join(places), pytrace=False)


def unused(table: str, exceptions: Iterable[str], used: set[str]) -> list[str]:
    """Name the entries of a table of exceptions that nothing needs any more."""
    stale = [name for name in exceptions if name not in used]
    return [f"{table}: {name} needs no exception any more" for name in stale]
