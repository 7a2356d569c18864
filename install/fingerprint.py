"""Prints one hash over everything that an installation is made from.

`make up` compares it with the one that it left in /opt/asm: equal means that there is nothing to
build and nothing to install. Names, contents and executable bits count; times do not, so a fresh
clone of the same commit is the same.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent

SOURCES = (
    "supervisord_asm", "native", "bpf", "procfs_shim", "systemd", "docs/man", "setup.py",
    "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "LICENSES", "install",
)  # fmt: skip
# Written by a build or an interpreter inside those folders.
MADE = ("*.so", "*.pyc", "*.o", "*.new", "*.tmp")
MADE_FOLDERS = {"__pycache__", "libexec", "devel"}


def source_files(tree: Path) -> Iterator[Path]:
    """Yield the files that count, in an order that is the same everywhere."""
    for name in SOURCES:
        root = tree / name
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        for path in found:
            is_made = any(path.match(pattern) for pattern in MADE)
            if path.is_file() and not is_made and not MADE_FOLDERS & set(path.parts):
                yield path


def fingerprint(tree: Path = TREE) -> str:
    """Return the hash of the tree's sources, in hex."""
    total = hashlib.sha256()
    for path in source_files(tree):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        is_executable = bool(path.stat().st_mode & 0o100)
        total.update(f"{path.relative_to(tree)}\0{is_executable}\0{content}\n".encode())
    return total.hexdigest()


if __name__ == "__main__":
    print(fingerprint())
    sys.exit(0)
