"""Pinned programs: counting goes on while nobody looks, and the next daemon takes it over."""

import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.probes import ProbeError, Probes, unpin
from tests.kernel.counting_rig import (
    BACKENDS,
    SLOTS_MAX,
    Rig,
    bind,
    difference,
    make_pin_dir,
    make_rig,
    open_probes,
)
from tests.kernel.pinned_map import rewrite

SLOT = 2
LAYOUT_BYTES = 40

# Installs, binds, says so, and waits to be killed: an asmd that dies.
DAEMON = """
import os, sys, time
from supervisord_asm.core.support import Backend, ProbePlan
from supervisord_asm.kernel.probes import Probes
root, agent, pins, slot, slots_max, backend = sys.argv[1:]
root_fd = os.open(root, os.O_RDONLY)
agent_fd = os.open(agent, os.O_RDONLY)
probes = Probes.open(pins, root_fd, int(slots_max), ProbePlan(Backend(backend)))
probes.bind(int(slot), agent_fd, os.fstat(agent_fd).st_ino)
print("bound", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


@pytest.fixture
def pins() -> Iterator[Path]:
    """Name a pin folder."""
    with make_pin_dir() as path:
        yield path


def rewrite_layout(pins: Path, offset: int, value: bytes) -> None:
    """Change some bytes of the pinned layout: as if another build had made the pins."""
    rewrite(pins / "map_layout", LAYOUT_BYTES, offset, value)


def test_counting_survives_the_process_that_installed_it(rig: Rig, pins: Path) -> None:
    agent = rig.agent()
    command = [sys.executable, "-c", DAEMON, rig.root.path, agent.path, pins, SLOT, SLOTS_MAX,
               rig.plan.backend]  # fmt: skip
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"bound\n"
        load = rig.load(agent)
        load.order("calls", 1000)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    load.order("calls", 0)
    with open_probes(rig, pins) as probes:
        assert probes.facts().is_adopted
        assert probes.bound() == {SLOT: agent.id}
        before = probes.counts(SLOT)
        assert before.syscalls > 1000
    # Nobody holds the programs but their pins.
    load.order("calls", 1_000_000)
    with open_probes(rig, pins) as probes:
        risen = difference(probes.counts(SLOT), before)
        assert risen["syscalls"] == 1_000_002  # and one write and one read of the protocol
        probes.unbind(SLOT)
        assert probes.bound() == {}
        bind(probes, SLOT + 1, agent)
        before = probes.counts(SLOT + 1)
        load.order("fork", 5, 0)
        assert difference(probes.counts(SLOT + 1), before)["forks"] == 5


def test_another_build_keeps_the_counts(rig: Rig, pins: Path) -> None:
    """The programs are replaced, the maps are not."""
    agent = rig.agent()
    load = rig.load(agent)
    with open_probes(rig, pins) as probes:
        bind(probes, SLOT, agent)
        load.order("calls", 1000)
        before = probes.counts(SLOT)
        object_hash = probes.facts().object_hash
    rewrite_layout(pins, 32, b"another!")
    with open_probes(rig, pins) as probes:
        assert probes.facts().is_adopted
        assert probes.facts().object_hash == object_hash
        assert probes.bound() == {SLOT: agent.id}
        assert probes.counts(SLOT) == before
        load.order("calls", 500_000)
        assert difference(probes.counts(SLOT), before)["syscalls"] == 500_002
        before = probes.counts(SLOT)
    with open_probes(rig, pins) as probes:
        assert probes.counts(SLOT) == before


@pytest.mark.parametrize("change", ["version", "slots", "incomplete"])
def test_what_does_not_fit_is_replaced(rig: Rig, pins: Path, change: str) -> None:
    agent = rig.agent()
    with open_probes(rig, pins) as probes:
        bind(probes, SLOT, agent)
    slots_max = SLOTS_MAX
    if change == "version":
        rewrite_layout(pins, 4, struct.pack("<I", 999))
    elif change == "slots":
        slots_max = 2 * SLOTS_MAX
    else:
        (pins / "link_sys_enter").unlink()
    with open_probes(rig, pins, slots_max) as probes:
        assert not probes.facts().is_adopted
        assert probes.facts().slots_max == slots_max
        assert probes.bound() == {}
        bind(probes, SLOT, agent)
        load = rig.load(agent)
        before = probes.counts(SLOT)
        load.order("calls", 1000)
        assert difference(probes.counts(SLOT), before)["syscalls"] == 1002
    with open_probes(rig, pins, slots_max) as probes:
        assert probes.facts().is_adopted


def test_another_root_is_not_adopted(rig: Rig, pins: Path) -> None:
    with open_probes(rig, pins):
        pass
    inner = rig.agent("inner")
    with Probes.open(str(pins), inner.fd, SLOTS_MAX, rig.plan) as probes:
        assert not probes.facts().is_adopted
        assert probes.facts().root_id == inner.id
        assert probes.facts().root_level == 2


def test_unpinning_leaves_nothing(rig: Rig, pins: Path) -> None:
    """By the daemon that leaves, and by `make down` without one."""
    probes = open_probes(rig, pins)
    assert len(list(pins.iterdir())) == 17  # 8 programs, 9 maps
    probes.close(unpin=True)
    assert not pins.exists()
    probes.close(unpin=True)
    open_probes(rig, pins).close()
    assert len(unpin(pins)) == 17
    assert not pins.exists()
    assert unpin(pins) == {}


def test_a_refusal_names_operation_object_and_reason(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as caught:
        open_probes(rig, tmp_path / "no" / "such")
    assert (caught.value.operation, caught.value.errno) == ("make the folder", 2)
    with pytest.raises(ProbeError) as caught:
        open_probes(rig, tmp_path / "pins")  # not a bpf file system
    assert caught.value.operation == "pin the link"
    with pytest.raises(ProbeError) as caught, open("/dev/null") as file:
        Probes.open(None, file.fileno(), SLOTS_MAX, rig.plan)
    is_core = rig.plan.backend is Backend.CORE
    assert caught.value.subject == ("cgroup_level" if is_core else "the agents' root cgroup")
    assert "\n" not in str(caught.value)
    with pytest.raises(ProbeError, match="because"):
        Probes.open(None, rig.root.fd, SLOTS_MAX, ProbePlan(Backend.OFF, "because"))
