"""The credit sentinel's section, in the keys of the seed's own sentinel.yaml.

That file writes bare numbers: credits, and milliseconds in keys that end in _ms or stand under
wall_time_limits. It has to load as it is (spec/sentinel.md 2.1), so this section alone has no
units. Unlike the seed's reader, a map given here does not wipe the other keys of its parent, and
the thresholds work (DECISIONS.md, "Sentinel").
"""

from supervisord_asm.configuration.document import Node
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.scalars import whole_number
from supervisord_asm.configuration.section import Section
from supervisord_asm.core.daemon_spec import SentinelSpec

CREDITS_MAX = 10**12
MILLISECONDS_MAX = 366 * 86_400_000
PERMILLE_MAX = 1_000


def read_sentinel(parent: Section, key: str = "sentinel") -> SentinelSpec | None:
    """Read the section; None when there is none: no sentinel then."""
    section = parent.section(key)
    return None if section is None else read_sentinel_keys(section)


def read_sentinel_keys(section: Section) -> SentinelSpec:
    """Read the keys of sentinel.yaml, wherever they stand."""
    default = SentinelSpec()
    caps = _numbers(section, "agent_caps", CREDITS_MAX)
    walls = _numbers(section, "wall_time_limits", MILLISECONDS_MAX)
    shares = section.section("throttle_thresholds") or section.absent("throttle_thresholds")
    sentinel = SentinelSpec(
        global_hard_cap=section.count("global_hard_cap", default.global_hard_cap, 0, CREDITS_MAX),
        checkpoint_interval=section.count(
            "checkpoint_interval", default.checkpoint_interval, 1, CREDITS_MAX
        ),
        max_wall_time_ms=section.count(
            "max_wall_time_ms", default.max_wall_time_ms, 1, MILLISECONDS_MAX
        ),
        agent_cap_default=caps.pop("default", default.agent_cap_default),
        agent_caps=tuple(caps.items()),
        wall_time_default_ms=walls.pop("default", default.wall_time_default_ms),
        wall_time_limits_ms=tuple(walls.items()),
        warn_permille=shares.read("warn", _permille, default.warn_permille),
        throttle_permille=shares.read("throttle", _permille, default.throttle_permille),
        abort_permille=shares.read("abort", _permille, default.abort_permille),
        max_lock_age_seconds=section.count(
            "max_lock_age_seconds", default.max_lock_age_seconds, 1, MILLISECONDS_MAX
        ),
    )
    if not sentinel.warn_permille <= sentinel.throttle_permille <= sentinel.abort_permille:
        section.refuse(
            "throttle_thresholds",
            f"{shares.path} do not rise",
            "warn, throttle and abort in rising order",
        )
    shares.done()
    section.done()
    return sentinel


def _numbers(parent: Section, key: str, maximum: int) -> dict[str, int]:
    section = parent.section(key)
    if section is None:
        return {}
    found: dict[str, int] = {}
    for name, _, node in section.entries():
        value = _number(section, name, node, maximum)
        if value is not None:
            found[name] = value
    return found


def _number(section: Section, name: str, node: Node, maximum: int) -> int | None:
    return section.convert(
        node, section.name(name), lambda text: whole_number(text, 1, maximum), None
    )


def _permille(text: str) -> int:
    """Read 0.8 digit by digit: a share as the seed's file writes it."""
    whole, _, fraction = text.partition(".")
    digits = fraction.ljust(3, "0")
    if not (whole.isdecimal() and digits.isdecimal() and text.isascii() and len(digits) == 3):
        raise Refusal(f'"{text[:80]}" is no share', "0.001 to 1.0, three decimals at most")
    value = int(whole[:3]) * 1_000 + int(digits)
    if not 1 <= value <= PERMILLE_MAX:
        raise Refusal(f"{text[:80]} is out of range", "0.001 to 1.0")
    return value
