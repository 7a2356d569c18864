"""What makes `make up` build again, and what does not."""

import os
import shutil
from pathlib import Path

import pytest

from install.fingerprint import TREE, fingerprint, source_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "a.c").write_text("int a;")
    (tmp_path / "setup.py").write_text("")
    return tmp_path


def test_a_clone_of_the_same_sources_is_the_same(tree: Path, tmp_path: Path) -> None:
    before = fingerprint(tree)
    clone = tmp_path / "clone"
    shutil.copytree(tree / "native", clone / "native")
    shutil.copy(tree / "setup.py", clone)
    os.utime(clone / "native" / "a.c", (1, 1))
    assert fingerprint(clone) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "native" / "a.c").write_text("int b;"),
        lambda tree: (tree / "native" / "a.c").chmod(0o755),
        lambda tree: (tree / "native" / "a.c").rename(tree / "native" / "b.c"),
        lambda tree: (
            (tree / "native" / "deeper").mkdir()
            or (tree / "native" / "deeper" / "x.h").write_text("")
        ),
    ],
    ids=["content", "mode", "name", "new file"],
)
def test_a_changed_source_is_another(tree: Path, change: object) -> None:
    before = fingerprint(tree)
    assert callable(change)
    change(tree)
    assert fingerprint(tree) != before


def test_what_a_build_writes_does_not_count(tree: Path) -> None:
    before = fingerprint(tree)
    for name in ("native/__pycache__/a.pyc", "native/a.o", "native/libexec/asm-exec"):
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("made")
    assert fingerprint(tree) == before


def test_the_real_tree_is_covered() -> None:
    names = {str(path.relative_to(TREE)) for path in source_files(TREE)}
    assert {"supervisord_asm/paths.py", "native/Makefile", "pyproject.toml"} <= names
    assert "install/up.sh" in names
