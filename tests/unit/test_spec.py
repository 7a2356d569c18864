"""The records: their defaults are the published ones, and they compare by content."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from supervisord_asm.core import capability
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.gateway_spec import SEED_PRICES
from supervisord_asm.core.recovery import PRESETS, FaultAction, RecoverySpec
from supervisord_asm.core.spec import (
    LIMITS_CONSERVATIVE,
    LIMITS_PRESETS,
    AgentSpec,
    LimitsSpec,
    ReadyKind,
    RestartKind,
    ScopeSpec,
    SourceMark,
    StartMode,
)


def agent(**changes: object) -> AgentSpec:
    """Return the least agent, changed."""
    return replace(AgentSpec(name="a", command=("true",)), **changes)  # type: ignore[arg-type]  # checked by the tests


def test_a_spec_that_says_nothing_has_the_contracts_defaults() -> None:
    spec = agent()
    assert spec.capabilities == capability.DEFAULT
    assert spec.scope == ScopeSpec(paths=(), max_file_size_bytes=None, max_ops_per_sec=None)
    assert spec.limits == LimitsSpec()
    assert not any(getattr(spec.limits, field.name) for field in fields(LimitsSpec))
    assert spec.restart.kind is RestartKind.NO
    assert spec.restart.max_restarts == 3
    assert (spec.restart.backoff_initial_usec, spec.restart.backoff_max_usec) == (
        100_000,
        30_000_000,
    )
    assert spec.restart.stable_usec == 600_000_000
    assert spec.start is StartMode.AUTO
    assert spec.ready is ReadyKind.STARTED
    assert spec.stop.signal == 15
    assert spec.oom_score_adj == 500
    assert (spec.logs.max_bytes, spec.logs.files) == (10 << 20, 2)
    assert spec.user is None
    flags = (spec.unconfined, spec.nested_sandbox, spec.delegate, spec.audit)
    assert flags == (False,) * 4


def test_conservative_limits_are_the_guides() -> None:
    assert LIMITS_CONSERVATIVE.cpu_quota_usec == 1_000_000
    assert LIMITS_CONSERVATIVE.memory_bytes == 104_857_600
    assert LIMITS_CONSERVATIVE.syscall_rate == 1_000
    assert LIMITS_CONSERVATIVE.watchdog_usec == 30_000_000
    others = replace(
        LIMITS_CONSERVATIVE,
        cpu_quota_usec=None,
        memory_bytes=None,
        syscall_rate=None,
        watchdog_usec=None,
    )
    assert others == LimitsSpec() == LIMITS_PRESETS["unlimited"]


def test_recovery_presets_are_the_guides_table() -> None:
    actions = [field.name for field in fields(RecoverySpec)][:8]
    table = {
        name: [getattr(preset, action).value for action in actions]
        for name, preset in PRESETS.items()
    }
    assert actions[:7] == [
        "cpu_quota", "memory", "syscall_flood", "crash", "capability_violation", "unresponsive",
        "policy_violation",
    ]  # fmt: skip
    assert table["default"] == [
        "throttle", "kill", "throttle", "restart", "kill", "restart", "kill", "freeze",
    ]  # fmt: skip
    assert table["permissive"] == ["alert"] * 8
    assert table["strict"] == ["kill"] * 8
    assert PRESETS["default"].throttle_permille == 250
    assert {str(action) for action in FaultAction} == {
        "alert", "throttle", "restart", "kill", "freeze",
    }  # fmt: skip


def test_where_a_spec_stood_is_no_part_of_it() -> None:
    assert agent(source=SourceMark("a.yaml", 1)) == agent(source=SourceMark("b.yaml", 9))
    assert agent(nice=1) != agent()


def test_specs_are_frozen_and_hashable() -> None:
    spec = agent()
    with pytest.raises(FrozenInstanceError):
        spec.nice = 3  # type: ignore[misc]  # the claim
    assert hash(spec) == hash(agent())
    assert hash(DaemonSpec()) == hash(DaemonSpec())
    assert not hasattr(spec, "__dict__")


def test_the_seeds_prices_are_exact() -> None:
    prices = {price.model: (price.input_nanos, price.output_nanos) for price in SEED_PRICES.prices}
    assert prices == {
        "haiku": (250_000_000, 1_250_000_000),
        "sonnet": (3_000_000_000, 15_000_000_000),
        "opus": (15_000_000_000, 75_000_000_000),
        "template": (0, 0),
        "cached": (0, 0),
    }


def test_every_agent_can_have_a_uid_of_its_own() -> None:
    daemon = DaemonSpec()
    assert daemon.uid_base == 1_879_048_192
    # The last two uids mean "nobody" and "unchanged".
    assert daemon.uid_base + daemon.uid_range - 1 < (1 << 32) - 2


def test_importing_the_spec_pulls_in_nothing_heavy() -> None:
    # The command line imports it too: a YAML reader or an event loop would be felt on every call.
    code = "import sys, supervisord_asm.core.spec; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "supervisord_asm.core.spec" in loaded
    heavy = {"yaml", "asyncio", "sqlite3", "json", "difflib", "typing", "logging", "subprocess"}
    assert not heavy & set(loaded)
