"""The BCC backend's own: it is chosen without BTF, compiles once, and says why it cannot.

That it counts right is in test_counting*.py, whose tests are run over both backends.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.doctor import doctor_checks
from supervisord_asm.core.support import Backend, decide_plan
from supervisord_asm.kernel import bcc_compiler
from supervisord_asm.kernel.bcc_compiler import CompileError, compile_programs
from supervisord_asm.kernel.probes import ProbeError
from supervisord_asm.kernel.support_probe import probe_support
from tests.kernel.counting_rig import Rig, bind, make_pin_dir, make_rig, open_probes

pytestmark = pytest.mark.bcc


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Give an agents' root."""
    with make_rig(Backend.BCC) as made:
        yield made


@pytest.fixture
def pins() -> Iterator[Path]:
    """Name a pin folder."""
    with make_pin_dir() as path:
        yield path


def test_a_kernel_without_btf_is_counted_by_bcc() -> None:
    support = probe_support()
    assert support.btf.value is False
    plan = decide_plan(support, "auto")
    assert plan.backend is Backend.BCC
    (line,) = (item for item in doctor_checks(support, plan) if item.name == "counting")
    assert (line.state, line.why) == ("fallback", plan.why)
    assert "BTF" in line.why
    assert decide_plan(support, "core").backend is Backend.OFF


def test_what_is_pinned_is_not_compiled_again(
    rig: Rig, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = rig.agent()
    with open_probes(rig, pins) as probes:
        bind(probes, 1, agent)
    monkeypatch.setattr(bcc_compiler, "PYTHON", Path("/no/such/python3"))
    compile_programs.cache_clear()
    with open_probes(rig, pins) as probes:
        assert probes.facts().is_adopted
        assert probes.bound() == {1: agent.id}
    with pytest.raises(ProbeError, match="python3 cannot be run") as caught:
        open_probes(rig)
    assert caught.value.errno == 2


def test_the_compilers_words_are_kept() -> None:
    with pytest.raises(CompileError, match="SASM_MAP_") as caught:
        compile_programs(("sys_enter",), ("rows", "cpus"))
    assert "errors generated" in caught.value.log


def test_without_headers_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert bcc_compiler.probe_headers()
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    assert str(tmp_path) in bcc_compiler.probe_headers().why
    monkeypatch.setattr(bcc_compiler, "PACKAGE", tmp_path)
    assert "python3-bpfcc" in bcc_compiler.probe_bcc().why
