"""Compiles the counting programs for the running kernel with BCC, where there is no BTF.

BCC is only the compiler: it runs in a process of its own, by Debian's interpreter, because its
LLVM would stay in ours with 130 MB (docs/decisions/0041). Maps, loading, attaching and pins are
native/probes*.c's for both backends.
"""

import base64
import errno
import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path

from supervisord_asm.core.support import Fact
from supervisord_asm.paths import LIBEXEC

PYTHON = Path("/usr/bin/python3")
PACKAGE = Path("/usr/lib/python3/dist-packages/bcc")
"""Where Debian's python3-bpfcc is; PyPI's `bcc` is something else."""
SOURCES = LIBEXEC / "bpf"
HEADERS_VARIABLE = "BCC_KERNEL_SOURCE"
KHEADERS = Path("/sys/kernel/kheaders.tar.xz")
# One to three seconds; an emulated machine takes a hundred times that.
COMPILE_TIMEOUT_S = 300
_LOG_LINES = 12


class CompileError(Exception):
    """BCC could not compile the programs. `log`: the compiler's last lines; `errno` for ours."""

    def __init__(self, text: str, log: str = "", errno_: int = errno.EINVAL) -> None:
        super().__init__(text)
        self.errno = errno_
        self.log = "\n".join(log.strip().splitlines()[-_LOG_LINES:])


def probe_bcc() -> Fact:
    """Say whether BCC is installed; it is not run."""
    if not PYTHON.exists():
        return Fact(False, f"{PYTHON} is not there")
    if not (PACKAGE / "__init__.py").exists():
        return Fact(False, "python3-bpfcc is not installed")
    return Fact(True)


def probe_headers() -> Fact:
    """Say whether the running kernel's headers are where BCC looks for them."""
    chosen = os.environ.get(HEADERS_VARIABLE)
    release = os.uname().release
    places = [Path(chosen)] if chosen else [Path("/lib/modules") / release / "build"]
    for place in places:
        if (place / "include").is_dir():
            return Fact(True, str(place))
    if not chosen and KHEADERS.exists():
        return Fact(True, str(KHEADERS))
    return Fact(False, f"{places[0]} has no headers; install linux-headers-{release}")


def source_hash() -> int:
    """Return 64 bits that change with whatever the programs are made from. Raises OSError."""
    digest = hashlib.blake2b(os.uname().release.encode(), digest_size=8)
    digest.update(os.environ.get(HEADERS_VARIABLE, "").encode())
    for path in sorted(SOURCES.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return int.from_bytes(digest.digest(), "little")


@cache
def compile_programs(names: tuple[str, ...], maps: tuple[str, ...]) -> dict[str, bytes]:
    """Return each program's instructions, 8 bytes each. Takes a second. Raises CompileError.

    `maps`: their names, each at the place by which the programs shall name it. Done once in a
    process: the result depends on nothing but the kernel.
    """
    command = [str(PYTHON), "-I", "-B", str(SOURCES / "bcc_compile.py")]
    command += [str(SOURCES / "counting.bpf.c"), ",".join(names), "-DSASM_BCC", f"-I{SOURCES}"]
    command += [f"-DSASM_MAP_{name}={place}" for place, name in enumerate(maps)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    if HEADERS_VARIABLE in os.environ:
        environment[HEADERS_VARIABLE] = os.environ[HEADERS_VARIABLE]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=COMPILE_TIMEOUT_S, check=False, cwd="/",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CompileError(
            f"BCC has compiled for {COMPILE_TIMEOUT_S} s without an end", errno_=errno.ETIMEDOUT
        ) from error
    except OSError as error:
        raise CompileError(f"{PYTHON} cannot be run", errno_=error.errno or errno.EIO) from error
    if done.returncode != 0:
        raise CompileError(_first_error(done.stderr), done.stderr)
    encoded: dict[str, str] = json.loads(done.stdout)
    return {name: base64.b64decode(text) for name, text in encoded.items()}


def _first_error(log: str) -> str:
    """Return the compiler's first error, which causes the others, without its place's folder."""
    errors = [line for line in log.splitlines() if "error:" in line]
    return errors[0].removeprefix(f"{SOURCES}/").strip() if errors else "BCC gave no reason"
