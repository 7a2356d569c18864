"""Configurations that nobody would write: nothing but ConfigurationErrors ever comes out, and what
is written from a value is read as that value.
"""

import string

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.configuration import (
    ConfigurationError,
    ConfigurationErrors,
    parse_agent_text,
    parse_daemon_text,
    spec_for_run,
)
from supervisord_asm.core.capability import ALL, NAMES, Capability, names, parse_bits, parse_name
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.reload import plan_reload
from supervisord_asm.core.spec import LimitsSpec
from supervisord_asm.core.units import (
    BYTE_RATE,
    CPU,
    CREDITS,
    DAYS,
    MONEY,
    PRICE,
    RATE,
    SHARE,
    SIZE,
    TIME,
    Quantity,
    UnitError,
)

QUANTITIES = (SIZE, TIME, DAYS, CPU, RATE, BYTE_RATE, SHARE, MONEY, PRICE, CREDITS)
KEYS = (
    "name", "id", "command", "user", "group", "working_directory", "environment",
    "environment_pass", "credentials", "umask", "nice", "oom_score_adj", "capabilities",
    "unconfined", "scope", "doors", "allow", "loopback", "nested_sandbox", "delegate", "audit",
    "start", "start_timeout", "ready", "probe", "dependencies", "restart", "stop", "idle_timeout",
    "watchdog", "limits", "recovery", "budget", "gateway", "logs", "risk", "purpose", "paths",
    "groups", "prices", "sentinel", "defaults", "sockets", "journal", "always_list", "probes",
    "on", "kind", "signal", "max", "backoff", "memory", "cpu", "io", "preset", "tables", "models",
    "providers", "members", "chain", "policy", "tcp", "usd", "<<",
)  # fmt: skip
WORDS = (
    "a", "b", "auto", "no", "on-failure", "explicit", "local", "conservative", "strict", "true",
    "512", "1.5", "512MiB", "30s", "50%", "1000/s", "2.50 USD", "/srv", "root", "0", "-1", "~", "",
    "SIGTERM", "FsBasic", "127.0.0.1:80", "*a", "&a", "!!int 5", "2026-01-01", "\x00", "\ud800",
)  # fmt: skip

scalars = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=6)), inner, max_size=6),
    ),
    max_leaves=25,
)
mappings = st.dictionaries(st.sampled_from(KEYS), values, max_size=12)


def survives(text: str) -> None:
    """Read a text as either file; only the one exception may come out, and it says something."""
    for parse in (parse_agent_text, parse_daemon_text):
        found: tuple[ConfigurationError, ...] = ()
        try:
            parse(text, "x.yaml")
        except ConfigurationErrors as refused:
            found = refused.errors or (ConfigurationError("", 0, 0, "none", ""),)
        for error in found:
            assert str(error).isprintable()
            assert error.hint


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    survives(text)


@given(st.text(alphabet="abn:-[]{}&*!|>'\"#%, \n\t0?~<", max_size=200))
@settings(max_examples=500)
def test_any_text_of_yamls_own_characters_is_read_or_refused(text: str) -> None:
    survives(text)


@given(st.one_of(mappings, st.lists(mappings, max_size=3), values))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_tree_is_read_or_refused(tree: object) -> None:
    # Surrogates cannot be written as YAML; they reach us through JSON alone (below).
    survives(yaml.safe_dump(tree, allow_unicode=False))


@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=6)), values, max_size=8))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_request_to_run_is_read_or_refused(request: dict[str, object]) -> None:
    try:
        spec = spec_for_run(request, DaemonSpec())
    except ConfigurationErrors:
        pass  # the other right answer
    else:
        assert spec.command
        assert not spec.capabilities & Capability.ADMIN
        for word in spec.command:
            word.encode()


@given(st.sampled_from(QUANTITIES), st.data())
def test_a_quantity_survives_being_written(kind: Quantity, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, kind.maximum))
    assert kind.parse(kind.format(value)) == value


@given(st.sampled_from(QUANTITIES), st.text(max_size=80))
def test_any_text_is_a_quantity_or_a_unit_error(kind: Quantity, text: str) -> None:
    try:
        value = kind.parse(text)
    except UnitError:
        return  # the other right answer
    assert 0 <= value <= kind.maximum


@given(st.integers(-(2**70), 2**70))
def test_any_number_is_capabilities_or_none(number: int) -> None:
    found = parse_bits(number)
    if found is None:
        assert number <= 0 or number & ~int(ALL)
    else:
        assert int(found) == number
        assert sum(int(parse_name(name) or 0) for name in names(found)) == number


limits = st.builds(
    LimitsSpec,
    cpu_quota_usec=st.none() | st.integers(1_000, CPU.maximum),
    memory_bytes=st.none() | st.integers(1 << 20, SIZE.maximum),
    pids_max=st.none() | st.integers(1, 4_194_304),
    syscall_rate=st.none() | st.integers(1, RATE.maximum),
    watchdog_usec=st.none() | st.integers(1_000, TIME.maximum),
)


def written(value: int | None, kind: Quantity) -> str:
    return "unlimited" if value is None else kind.format(value)


@given(
    st.from_regex(r"[a-z][a-z0-9_.-]{0,62}", fullmatch=True),
    st.lists(st.text(max_size=20).filter(lambda text: "\0" not in text), max_size=5),
    st.dictionaries(
        st.text(string.ascii_uppercase, min_size=2, max_size=5), st.text("ab \n\"':#é", max_size=9)
    ),
    st.sets(st.sampled_from(sorted(NAMES.values()))),
    limits,
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_an_agent_survives_being_written(
    name: str,
    arguments: list[str],
    environment: dict[str, str],
    capabilities: set[str],
    bounds: LimitsSpec,
) -> None:
    tree = {
        "name": name,
        "command": ["/bin/x", *arguments],
        "environment": environment,
        "capabilities": sorted(capabilities),
        "limits": {
            "cpu": written(bounds.cpu_quota_usec, CPU),
            "memory": written(bounds.memory_bytes, SIZE),
            "pids": "unlimited" if bounds.pids_max is None else bounds.pids_max,
            "syscalls": written(bounds.syscall_rate, RATE),
            "watchdog": written(bounds.watchdog_usec, TIME),
        },
    }
    (spec,) = parse_agent_text(yaml.safe_dump(tree), "x.yaml")
    assert spec.name == name
    assert spec.command == ("/bin/x", *arguments)
    assert dict(spec.environment) == environment
    assert set(names(spec.capabilities)) == capabilities
    assert spec.limits == bounds
    # The same text again is the same configuration.
    again = parse_agent_text(yaml.safe_dump(tree), "y.yaml")
    assert plan_reload(DaemonSpec(), [spec], DaemonSpec(), again).is_empty
