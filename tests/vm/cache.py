"""A folder of things that are slow to make: kernels, root file systems, images, wheels.

An entry is named by its kind and by a digest of all that it is made from, so it is never stale:
what changes gets another name. It is made in a folder beside its place and renamed into it, so
that an interrupted build leaves no half of an entry. One builder at a time per kind (flock); what
a killed one left is removed by the next.

Nothing here knows what an entry contains.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Entries of a kind that are kept, the one just made included. Two, so that going back and forth
# between two branches stays warm; an image takes up to 1 GB.
KEPT = 2


def digest(*parts: str) -> str:
    """Return a short digest of the parts, in which their order and bounds count."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digest_of_files(root: Path, names: list[str]) -> str:
    """Return a digest of the names, modes and contents of files below `root`."""
    sums = []
    for name in sorted(names):
        path = root / name
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        sums += [name, f"{path.lstat().st_mode:o}", hashlib.sha256(content).hexdigest()]
    return digest(*sums)


@dataclass(frozen=True, slots=True)
class Cache:
    """The entries below one folder."""

    root: Path

    def entry(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the folder of an entry; `build` fills an empty one if it is not there."""
        place = self.root / f"{kind}-{key}"
        if place.is_dir():
            os.utime(place)
            return place
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / f".{kind}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                self._make(kind, place, build)
        return place

    def _make(self, kind: str, place: Path, build: Callable[[Path], None]) -> None:
        prefix = f".building-{kind}-"
        for stale in self.root.glob(f"{prefix}*"):
            shutil.rmtree(stale)
        aside = Path(tempfile.mkdtemp(prefix=prefix, dir=self.root))
        aside.chmod(0o755)
        try:
            build(aside)
            aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)  # the cause matters, not the rest of it
            raise
        old = sorted(self.root.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
        for path in old[:-KEPT]:
            shutil.rmtree(path)
