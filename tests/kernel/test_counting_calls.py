"""Syscalls by number on the real kernel: exact, summing up to all syscalls, empty when rebound."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.probes import OTHER_CALLS, ProbeError, Probes
from tests.kernel.counting_rig import BACKENDS, Rig, bind, make_rig, open_probes
from tests.kernel.deeds_rig import DeedsLoad, deeds_loads

SLOT = 6
GETPPID = 110
MMAP = 9
SEMGET = 64


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


@pytest.fixture
def probes(rig: Rig) -> Iterator[Probes]:
    """Give running programs."""
    with open_probes(rig) as opened:
        yield opened
        assert opened.drops()["row_missing"] == 0


@pytest.fixture
def load(rig: Rig, probes: Probes) -> Iterator[DeedsLoad]:
    """Give a load in an agent's cgroup, which is bound."""
    agent = rig.agent()
    bind(probes, SLOT, agent)
    with deeds_loads(agent) as (made,):
        yield made


def risen(probes: Probes, load: DeedsLoad, *order: object) -> dict[int, int]:
    """Return by how much each number rose by an order."""
    before = probes.syscalls_of(SLOT)
    load.order(*order)
    after = probes.syscalls_of(SLOT)
    return {
        number: rise for number, count in after.items() if (rise := count - before.get(number, 0))
    }


def test_calls_of_four_threads_are_counted_by_number(probes: Probes, load: DeedsLoad) -> None:
    found = risen(probes, load, "calls", 4, 250_000)
    assert found[GETPPID] == 1_000_000
    assert found[MMAP] >= 4  # their stacks
    assert OTHER_CALLS not in found


def test_the_numbers_sum_up_to_the_syscalls(probes: Probes, load: DeedsLoad) -> None:
    load.order("calls", 2, 10_000)
    load.order("child", 10)
    assert sum(probes.syscalls_of(SLOT).values()) == probes.counts(SLOT).syscalls


@pytest.mark.parametrize(
    ("number", "counted_as"),
    [(500, 500), (511, OTHER_CALLS), (512, OTHER_CALLS), (100_000, OTHER_CALLS), (-1, OTHER_CALLS)],
)
def test_numbers_that_the_kernel_does_not_know_are_counted(
    probes: Probes, load: DeedsLoad, number: int, counted_as: int
) -> None:
    assert risen(probes, load, "raw", number, 1000)[counted_as] == 1000


def write_32_bit_program(path: Path, calls: int) -> None:
    """Make a program that calls the 32-bit getppid so often and exits: no compiler here can."""
    code = b"".join(
        (
            b"\xb9" + struct.pack("<I", calls),  # mov ecx, calls
            bytes.fromhex("b840000000 cd80"),  # mov eax, 64; int 0x80
            bytes.fromhex("49 75f6"),  # dec ecx; jnz to the mov eax
            bytes.fromhex("b801000000 31db cd80"),  # exit(0)
        )
    )
    base, start = 0x8048000, 52 + 32
    size = start + len(code)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)  # 32 bits, low byte first
    header += struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + start, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )  # an executable for i386
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    path.write_bytes(header + segment + code)
    path.chmod(0o755)


def test_a_32_bit_programs_calls_are_not_taken_for_others(
    probes: Probes, load: DeedsLoad, tmp_path: Path
) -> None:
    """Number 64 is semget to a 64-bit program."""
    write_32_bit_program(tmp_path / "p32", 1000)
    before = probes.counts(SLOT).syscalls
    found = risen(probes, load, "exec", tmp_path / "p32", 0)
    assert found[OTHER_CALLS] == 1001
    assert SEMGET not in found
    assert sum(found.values()) == probes.counts(SLOT).syscalls - before


def test_a_slot_that_is_bound_again_begins_at_zero(rig: Rig, probes: Probes) -> None:
    first, second = rig.agent("first"), rig.agent("second")
    bind(probes, SLOT, first)
    with deeds_loads(first) as (load,):
        load.order("calls", 1, 1000)
        assert probes.syscalls_of(SLOT)[GETPPID] == 1000
        probes.unbind(SLOT)
        with pytest.raises(ProbeError) as caught:
            probes.syscalls_of(SLOT)
        assert caught.value.errno == 3
        bind(probes, SLOT, second)
        load.order("calls", 1, 1000)
        assert probes.syscalls_of(SLOT) == {}


def test_agents_are_kept_apart(rig: Rig, probes: Probes) -> None:
    agents = [rig.agent(f"a{number}") for number in range(3)]
    for slot, agent in enumerate(agents):
        bind(probes, slot, agent)
    with deeds_loads(*agents) as loads:
        for count, load in enumerate(loads):
            load.begin("calls", 2, 10_000 * count)
        for load in loads:
            load.finish()
        counted = [probes.syscalls_of(slot).get(GETPPID, 0) for slot in range(3)]
    assert counted == [0, 20_000, 40_000]
