"""Capabilities: what an agent may do, as bits.

Pure. Bits, because one patch (501) may carry several and the guide's
`update_agent_policy(100, 1, 0x02)  # FsBasic` has to work. Numbers are ABI and are never reused;
people write names. What each means on Linux is DECISIONS.md, "Identity and policy"; how it is
enforced is the business of the tiers, not of this file.

Admin is never grantable at run time: RUNTIME_GRANTABLE is the mask to check a patch against.
"""

import enum


class Capability(enum.IntFlag, boundary=enum.STRICT):
    """One bit each; a set of capabilities is their union. An unknown bit raises ValueError."""

    ADMIN = 0x001
    FS_BASIC = 0x002
    FS_EXTENDED = 0x004
    NET_CLIENT = 0x008
    NET_SERVER = 0x010
    LLM_ACCESS = 0x020
    AUDIO_CONTROL = 0x040
    DOC_BASIC = 0x080
    CAPTURE = 0x100
    SCREENSHOT = 0x200
    EXEC = 0x400


NONE = Capability(0)
ALL = Capability(0x7FF)
RUNTIME_GRANTABLE = ALL & ~Capability.ADMIN

# What a spec gets that says nothing: its own state directory and the programs it starts
# (CONTRACT.md, "Capabilities in practice").
DEFAULT = Capability.FS_BASIC | Capability.EXEC

# The spelling that people read and write, in the order of the bits.
NAMES: dict[Capability, str] = {
    Capability.ADMIN: "Admin",
    Capability.FS_BASIC: "FsBasic",
    Capability.FS_EXTENDED: "FsExtended",
    Capability.NET_CLIENT: "NetClient",
    Capability.NET_SERVER: "NetServer",
    Capability.LLM_ACCESS: "LlmAccess",
    Capability.AUDIO_CONTROL: "AudioControl",
    Capability.DOC_BASIC: "DocBasic",
    Capability.CAPTURE: "Capture",
    Capability.SCREENSHOT: "Screenshot",
    Capability.EXEC: "Exec",
}

# Other spellings of the guide and of its tests. Upper case with underscores (LLM_ACCESS) is the
# member's own name and is taken for every capability.
_ALIASES = {"NetConnect": Capability.NET_CLIENT, "AdminOps": Capability.ADMIN}

_BY_NAME = {name: bit for bit, name in NAMES.items()} | Capability.__members__ | _ALIASES


def parse_name(name: str) -> Capability | None:
    """Find one capability by any of its spellings; None when there is none."""
    return _BY_NAME.get(name)


def names(capabilities: Capability) -> tuple[str, ...]:
    """Spell a set out, in the order of the bits; () for none."""
    return tuple(name for bit, name in NAMES.items() if bit & capabilities)


def parse_bits(number: int) -> Capability | None:
    """Take a number off the wire; None when a bit is unknown or none is set."""
    if number <= 0 or number & ~int(ALL):
        return None
    return Capability(number)
