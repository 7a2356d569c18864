"""Whether BCC can be used is said with what is missing; what it could not compile, in its words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel import bcc_compiler
from supervisord_asm.kernel.bcc_compiler import (
    CompileError,
    compile_programs,
    probe_bcc,
    probe_headers,
    source_hash,
)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """A compilation is kept for the life of the process; not from one test to the next."""
    compile_programs.cache_clear()
    yield
    compile_programs.cache_clear()


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder of sources to be compiled; bcc_compile.py in it is the test's."""
    monkeypatch.setattr(bcc_compiler, "SOURCES", tmp_path)
    return tmp_path


def test_headers_are_looked_for_where_bcc_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    assert probe_headers().value is False
    assert str(tmp_path) in probe_headers().why
    (tmp_path / "include").mkdir()
    assert probe_headers()


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bcc_compiler, "PACKAGE", tmp_path)
    assert "python3-bpfcc" in probe_bcc().why
    monkeypatch.setattr(bcc_compiler, "PYTHON", Path("/no/such/python3"))
    assert "/no/such/python3" in probe_bcc().why
    with pytest.raises(CompileError, match="python3 cannot be run") as caught:
        compile_programs(("sys_enter",), ())
    assert caught.value.errno == 2


def test_instructions_come_back_and_the_maps_have_their_places(sources: Path) -> None:
    script = "import base64, json, sys\nsource, names, *flags = sys.argv[1:]\n"
    script += "text = base64.b64encode(' '.join(flags).encode()).decode()\n"
    script += "print(json.dumps({name: text for name in names.split(',')}))\n"
    (sources / "bcc_compile.py").write_text(script)
    code = compile_programs(("one", "two"), ("rows", "cpus"))
    assert set(code) == {"one", "two"}
    assert code["one"].decode().split()[-2:] == ["-DSASM_MAP_rows=0", "-DSASM_MAP_cpus=1"]


def test_the_first_error_is_the_reason_and_the_last_lines_are_the_log(sources: Path) -> None:
    lines = [
        "warning: old",
        f"{sources}/a.h:8:2: error: no such field",
        "error: then this",
        "2 in all",
    ]
    (sources / "bcc_compile.py").write_text(f"import sys\nsys.exit({chr(10).join(lines)!r})\n")
    with pytest.raises(CompileError) as caught:
        compile_programs(("one",), ())
    assert str(caught.value) == "a.h:8:2: error: no such field"
    assert caught.value.log.endswith("2 in all")


def test_every_source_changes_the_hash(sources: Path) -> None:
    (sources / "a.h").write_text("1")
    first = source_hash()
    assert source_hash() == first
    (sources / "a.h").write_text("2")
    second = source_hash()
    (sources / "b.h").write_text("")
    assert len({first, second, source_hash()}) == 3
    assert 0 < first < 1 << 64
