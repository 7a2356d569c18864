"""C programs linked with libasm, and our Python client by itself, where an agent can read them."""

import shutil
import subprocess
from pathlib import Path

from tests.kernel.daemon_host import PACKAGE, Host

PROGRAMS = Path(__file__).parent / "programs"
DEVEL = PACKAGE / "devel"
IS_SANITIZED = "sanitize" in PACKAGE.parts
SANITIZER = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
# What agent programs import: nothing of the daemon may be needed.
CLIENT_PARTS = (
    "__init__.py",
    "py.typed",
    "client",
    "api/__init__.py",
    "api/wire.py",
    "api/calls.py",
)


def compile_with_libasm(target: Path, source: Path, *options: str) -> Path:
    """Compile one C file against the static libasm that `make native` built."""
    command = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror"]
    command += [*(SANITIZER if IS_SANITIZED else ()), f"-I{DEVEL}/include"]
    command += [*options, "-o", str(target), str(source), f"{DEVEL}/lib/libasm.a", "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def copy_client(folder: Path) -> Path:
    """Copy the client without the rest of the package; return what belongs on sys.path."""
    package = folder / "alone" / "supervisord_asm"
    for part in CLIENT_PARTS:
        source, target = PACKAGE / part, package / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return package.parent


def in_scope(host: Host) -> list[str]:
    """Return the options that let an agent read what a test has put into the host's folder."""
    return ["--scope", str(host.folder)]


def run_python(host: Host, name: str, script: str) -> list[str]:
    """Run a script as an agent, with the copied client; return the lines that it printed."""
    alone = host.folder / "alone"
    if not alone.exists():
        copy_client(host.folder)
    path = host.folder / f"{name}.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(alone)!r})\n{script}")
    command = ["/usr/bin/python3", "-I", "-S", str(path)]
    done = host.ctl("run", "--wait", "--name", name, *in_scope(host), "--", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
