"""Capabilities: the numbers are ABI, the names are what people write."""

import pytest

from supervisord_asm.core.capability import (
    ALL,
    DEFAULT,
    NAMES,
    NONE,
    RUNTIME_GRANTABLE,
    Capability,
    names,
    parse_bits,
    parse_name,
)

# DECISIONS.md, "Identity and policy", word for word.
ABI = {
    "Admin": 0x01, "FsBasic": 0x02, "FsExtended": 0x04, "NetClient": 0x08, "NetServer": 0x10,
    "LlmAccess": 0x20, "AudioControl": 0x40, "DocBasic": 0x80, "Capture": 0x100,
    "Screenshot": 0x200, "Exec": 0x400,
}  # fmt: skip


def test_numbers_and_names_are_the_decided_ones() -> None:
    assert {name: int(bit) for bit, name in NAMES.items()} == ABI
    assert int(ALL) == sum(ABI.values())


@pytest.mark.parametrize("name", ABI)
def test_every_name_and_its_upper_case_form_is_read(name: str) -> None:
    member = Capability(ABI[name])
    assert parse_name(name) is member
    assert member.name is not None
    assert parse_name(member.name) is member


def test_the_guides_other_spellings_are_read() -> None:
    assert parse_name("LLM_ACCESS") is Capability.LLM_ACCESS
    assert parse_name("NetConnect") is Capability.NET_CLIENT
    assert parse_name("AdminOps") is Capability.ADMIN
    assert parse_name("fsbasic") is None


def test_a_set_is_spelled_in_the_order_of_its_bits() -> None:
    assert names(Capability.EXEC | Capability.ADMIN) == ("Admin", "Exec")
    assert names(NONE) == ()
    assert names(DEFAULT) == ("FsBasic", "Exec")


@pytest.mark.parametrize("number", [0, -1, 0x800, 0x801, 1 << 63])
def test_a_number_with_an_unknown_bit_or_none_is_no_capability(number: int) -> None:
    assert parse_bits(number) is None


def test_a_patch_may_carry_several_bits_but_never_admin() -> None:
    both = parse_bits(0x0A)
    assert both == Capability.FS_BASIC | Capability.NET_CLIENT
    assert not Capability.ADMIN & RUNTIME_GRANTABLE
    assert RUNTIME_GRANTABLE | Capability.ADMIN == ALL
