"""The BCC backend's own: it is chosen without BTF, compiles once, and says why it cannot.

That it counts right is in test_counting*.py, whose tests are run over both backends.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.doctor import doctor_checks
from supervisord_asm.core.support import Backend, decide_plan
from supervisord_asm.kernel.bcc_compiler import CompileError, compile_programs
from supervisord_asm.kernel.support_probe import probe_support
from tests.kernel.counting_rig import Rig, bind, make_pin_dir, make_rig, open_probes
from tests.kernel.pinned_map import count_keys

pytestmark = pytest.mark.bcc

THREAD_KEY_BYTES = 16  # struct thread_key of bpf/by_bcc.bpf.h


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
    assert support.bcc
    assert support.kernel_headers
    plan = decide_plan(support, "auto")
    assert plan.backend is Backend.BCC
    (line,) = (item for item in doctor_checks(support, plan) if item.name == "counting")
    assert (line.state, line.why) == ("fallback", plan.why)
    assert "BTF" in line.why
    assert decide_plan(support, "core").backend is Backend.OFF


def test_what_is_pinned_is_not_compiled_again(rig: Rig, pins: Path) -> None:
    agent = rig.agent()
    with open_probes(rig, pins) as probes:
        bind(probes, 1, agent)
    asked = compile_programs.cache_info()
    with open_probes(rig, pins) as probes:
        assert probes.facts().is_adopted
        assert probes.bound() == {1: agent.id}
    assert compile_programs.cache_info() == asked


def test_the_marks_of_ended_threads_are_freed(rig: Rig, pins: Path) -> None:
    """Without BTF the kernel does not free them; left to age, they would push out the living."""
    agent = rig.agent()
    with open_probes(rig, pins) as probes:
        bind(probes, 1, agent)
        load = rig.load(agent)
        load.order("pool", 8)
        load.order("pool", 0)
        load.order("fork", 100, 0)
        load.order("exec", 20, 0)
        assert probes.counts(1).exits == 120
        # The load itself; a thread's mark may outlive it when two end at the same moment.
        assert 1 <= count_keys(pins / "map_threads", THREAD_KEY_BYTES) <= 4


def test_the_compilers_words_are_kept() -> None:
    with pytest.raises(CompileError, match="SASM_MAP_") as caught:
        compile_programs(("sys_enter",), ("rows", "cpus"))
    assert "errors generated" in caught.value.log
