"""asm.yaml: every section's values arrive where they belong."""

import pytest

from supervisord_asm.configuration import parse_daemon_text
from supervisord_asm.configuration.document import Mapping, parse_document
from supervisord_asm.configuration.errors import Report
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.sentinel import read_sentinel_keys
from supervisord_asm.core.daemon_spec import (
    ComplianceSpec,
    DaemonSpec,
    GroupSpec,
    GroupStrategy,
    JournalSpec,
    PathsSpec,
    ProbesMode,
    SentinelSpec,
    SocketsSpec,
)
from supervisord_asm.core.gateway_spec import (
    SEED_PRICES,
    Dialect,
    FallbackPolicy,
    GatewaySpec,
    PriceSpec,
    PricesSpec,
    PriceTable,
    ProviderSpec,
)
from supervisord_asm.core.spec import BudgetSpec, LogsSpec, RiskLevel


def daemon(text: str) -> DaemonSpec:
    return parse_daemon_text(text, "asm.yaml")


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert daemon(text) == DaemonSpec()


def test_paths_and_numbers() -> None:
    spec = daemon(
        "paths: {run: /t/run/, state: /t/s, logs: /t/l, fuse: /t/f, bpffs: /t/b, config: /t/c,"
        " cgroup: asm-test-1/sub, libexec: /t/x}\n"
        "agents_dir: more/agents.d/\nagents_max: 16\nuid_base: 100000\nuid_range: 1000\n"
        "probes: off\ntick: 500ms\nlogs: {max_size: 1MiB, files: 5}\n"
        "journal: {retention: 30d, queue_max: 2048}\n"
    )
    assert spec.paths == PathsSpec(
        "/t/run", "/t/s", "/t/l", "/t/f", "/t/b", "/t/c", "asm-test-1/sub", "/t/x"
    )
    assert spec.agents_dir == "more/agents.d"
    assert (spec.agents_max, spec.uid_base, spec.uid_range) == (16, 100_000, 1_000)
    assert spec.probes is ProbesMode.OFF
    assert spec.tick_usec == 500_000
    assert spec.logs == LogsSpec(1 << 20, 5)
    assert spec.journal == JournalSpec(30, 2048)


def test_an_always_list_that_is_given_replaces_ours() -> None:
    always = daemon("always_list: {write: [/dev/null], read: []}").always_list
    assert always.write == ("/dev/null",)
    assert always.read == ()
    assert always.execute == DaemonSpec().always_list.execute


def test_sockets() -> None:
    spec = daemon(
        "sockets: {group: staff, agent_connections: 1, agent_requests: 2/s,"
        " agent_requests_burst: 3, control_connections: 4, idle_timeout: 5s}"
    )
    assert spec.sockets == SocketsSpec("staff", 1, 2, 3, 4, 5_000_000)


def test_groups_budget_and_compliance() -> None:
    spec = daemon(
        "groups:\n  g: {members: [b, a], strategy: one_for_all, intensity: 0, period: 1min}\n"
        "budget: {usd: 100 USD}\n"
        "compliance: {default_risk: high, deployer: Us, events_max: 2048}\n"
    )
    assert spec.groups == (GroupSpec("g", ("b", "a"), GroupStrategy.ONE_FOR_ALL, 0, 60_000_000),)
    assert spec.budget == BudgetSpec(usd_nanos=100 * 10**9)
    assert spec.compliance == ComplianceSpec(RiskLevel.HIGH, "Us", 2048)


def test_gateway() -> None:
    spec = daemon(
        "gateway:\n  enabled: false\n  listen: '[::1]:8601'\n  policy: explicit\n"
        "  chain: [mine, local]\n  timeout: 1s\n  burst: 3\n  rate: 4/s\n  max_tokens: 5\n"
        "  providers:\n    mine: {base_url: 'http://10.0.0.1:8080/v1', dialect: openai-chat,"
        " model: m, key_file: /k, timeout: 2s, connections: 6}\n"
    )
    provider = ProviderSpec(
        "mine", "http://10.0.0.1:8080/v1", Dialect.OPENAI_CHAT, "m", "/k", 2_000_000, 6
    )
    assert spec.gateway == GatewaySpec(
        False, "[::1]:8601", FallbackPolicy.EXPLICIT, ("mine", "local"), 1_000_000, 3, 4, 5,
        (provider,),
    )  # fmt: skip


def test_prices_are_integers_and_unknown_is_not_zero() -> None:
    spec = daemon(
        "prices:\n  use: ours\n  tables:\n    ours:\n      dated: 2026-01-31\n      models:\n"
        "        m: {input: 0.15 USD/Mtok, output: 0.60 USD/Mtok}\n"
        "        n: {input: 0 USD/Mtok, output: 0 USD/Mtok, cached_input: 0.01 USD/Mtok}\n"
    )
    ours = PriceTable(
        "ours",
        "2026-01-31",
        (
            PriceSpec("m", 150_000_000, 600_000_000, None),
            PriceSpec("n", 0, 0, 10_000_000),
        ),
    )
    assert spec.prices == PricesSpec("ours", (SEED_PRICES, ours))
    assert daemon("").prices.use == "seed"


# spec/sentinel.md 2.1: the seed's file as it is.
SEED_SENTINEL = """\
global_hard_cap: 1000        # Total system credits
checkpoint_interval: 50       # Credits between saves

agent_caps:
  planner: 50                # Per-agent limits
  codegen: 150
  tool-builder: 180

wall_time_limits:
  default: 45000             # 45 seconds
  container_runner: 60000    # 60 seconds

throttle_thresholds:
  warn: 0.8
  throttle: 0.9
  abort: 1.0
"""


def test_the_seeds_sentinel_yaml_loads_as_it_is() -> None:
    report = Report("sentinel.yaml")
    node = parse_document(SEED_SENTINEL.encode())
    assert isinstance(node, Mapping)
    sentinel = read_sentinel_keys(Section(report, node))
    assert report.errors == []
    assert sentinel == SentinelSpec(
        agent_caps=(("planner", 50), ("codegen", 150), ("tool-builder", 180)),
        wall_time_limits_ms=(("container_runner", 60_000),),
    )


def test_without_its_section_there_is_no_sentinel() -> None:
    assert daemon("").sentinel is None
    assert daemon("sentinel: {}").sentinel == SentinelSpec()
    sentinel = daemon(
        "sentinel: {max_wall_time_ms: 5, max_lock_age_seconds: 6, agent_caps: {default: 7},"
        " wall_time_limits: {default: 8}, throttle_thresholds: {warn: 0.125, throttle: 0.5}}"
    ).sentinel
    assert sentinel == SentinelSpec(
        max_wall_time_ms=5,
        max_lock_age_seconds=6,
        agent_cap_default=7,
        wall_time_default_ms=8,
        warn_permille=125,
        throttle_permille=500,
    )
