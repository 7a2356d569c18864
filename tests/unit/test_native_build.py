"""What the built extension needs of the machine that runs it: libc, and nothing else."""

import subprocess
from pathlib import Path

import supervisord_asm
from native.ffi_build import builder, headers
from tests.sources import ROOT

PACKAGE = Path(supervisord_asm.__file__).parent


def test_the_extension_needs_libc_only() -> None:
    command = ["readelf", "-dW", str(PACKAGE / "_native.abi3.so")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in output.splitlines() if "(NEEDED)" in line]
    # The loader is part of libc; the sanitizers come with `make native SANITIZE=1` only.
    expected = ("libc.so", "ld-linux-x86-64.so", "libasan", "libubsan")
    assert "libc.so.6" in needed
    assert [name for name in needed if not name.startswith(expected)] == []
    assert "TEXTREL" not in output


def test_every_public_header_is_read_by_cffi() -> None:
    public = headers()
    assert public
    builder(public)


def test_a_header_that_python_does_not_see_says_so() -> None:
    public = {path.name for path in headers()}
    rest = [path for path in (ROOT / "native").glob("*.h") if path.name not in public]
    assert [path.name for path in rest if "#pragma once" not in path.read_text()] == []


def test_every_program_is_built_and_executable() -> None:
    sources = {
        "asm-keeper": "native/keeper", "asm-exec": "native/exec", "asm-procfs": "procfs_shim",
        "asm-enter": "systemd/asm-enter.sh",
    }  # fmt: skip
    wanted = [name for name, source in sources.items() if (ROOT / source).exists()]
    assert len(wanted) >= 3
    for name in wanted:
        assert (PACKAGE / "libexec" / name).stat().st_mode & 0o111 == 0o111
