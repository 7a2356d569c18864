"""C programs of the tests: one rule for how they are built and found.

A test that needs a program of its own (one that makes raw syscalls, burns CPU, forks, …) keeps it
as one C file in a folder c/ beside it, and asks `build(NAME, SOURCE)` for it. With a compiler it
is compiled, once per content, into build/programs. A virtual machine has no compiler: there
ASM_TEST_PROGRAMS names a folder in which tests/vm has put every program, compiled beforehand by
the command below. So all are built alike: one file, static, no options of their own, and the name
is that of the file without its .c, one of a kind in all of tests/. Tests of our own C code, with
its headers and sanitizers, are something else and not for here.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
BUILT = TESTS.parent / "build" / "programs"

# Static: a guest's libc may be another one. Frame pointers and symbols for whoever must debug.
COMMAND = (
    "gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fno-omit-frame-pointer",
    "-Wall", "-Wextra", "-Werror", "-static", "-pthread",
)  # fmt: skip


def sources() -> list[Path]:
    """Return every program's source, sorted by name; refuse two of one name."""
    found = sorted(TESTS.glob("*/c/*.c"), key=lambda path: path.stem)
    names = [path.stem for path in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two programs of one name below tests/: {' '.join(sorted(twice))}")
    return found


def build_into(program: Path, source: Path) -> None:
    """Compile one file; the program appears whole or not at all."""
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as aside:
        made = Path(aside) / program.name
        command = [*COMMAND, "-o", str(made), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"unable to compile {source}:\n{done.stderr}")
        made.rename(program)


def build(name: str, source: Path) -> Path:
    """Return the program `name` made from `source`, a file tests/*/c/NAME.c."""
    source = source.resolve()
    if source.name != f"{name}.c" or source not in sources():
        raise ValueError(f"the source of {name} must be a file tests/*/c/{name}.c: {source}")
    prebuilt = os.environ.get("ASM_TEST_PROGRAMS")
    if prebuilt:
        program = Path(prebuilt) / name
        if not program.is_file():
            raise FileNotFoundError(f"no program {name} in ASM_TEST_PROGRAMS={prebuilt}")
        return program
    made_from = f"{COMMAND}{source.read_text()}"
    folder = BUILT / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    if not (folder / name).is_file():
        build_into(folder / name, source)
    return folder / name
