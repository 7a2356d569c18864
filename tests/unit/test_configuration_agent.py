"""One agent: every key's value arrives where it belongs, and defaults are merged under it."""

import pytest

from supervisord_asm.configuration import parse_agent_text, parse_daemon_text
from supervisord_asm.core import capability
from supervisord_asm.core.capability import Capability
from supervisord_asm.core.recovery import FaultAction, RecoverySpec
from supervisord_asm.core.spec import (
    LIMITS_CONSERVATIVE,
    AgentGatewaySpec,
    AgentSpec,
    BudgetSpec,
    CredentialSpec,
    DependencyKind,
    DependencySpec,
    LimitsSpec,
    LogsSpec,
    ProbeSpec,
    ReadyKind,
    RestartKind,
    RestartSpec,
    RiskLevel,
    ScopeSpec,
    SourceMark,
    StartMode,
    StopSpec,
    WatchdogSpec,
)
from tests.unit.configuration_texts import agent


def test_two_keys_are_an_agent() -> None:
    assert agent("") == AgentSpec(name="a", command=("run",))
    assert agent("").source == SourceMark("a.yaml", 1)


def test_words_are_taken_as_written() -> None:
    text = "- {name: a, command: [sleep, 10, 0x1F, 1.10, no, 2020-01-01, '', -5]}\n"
    (spec,) = parse_agent_text(text, "a.yaml")
    assert spec.command == ("sleep", "10", "0x1F", "1.10", "no", "2020-01-01", "", "-5")
    assert agent("environment: {A: 1, B: yes, C: '', D: 1.50}").environment == (
        ("A", "1"),
        ("B", "yes"),
        ("C", ""),
        ("D", "1.50"),
    )


def test_identity_and_program() -> None:
    spec = agent(
        "id: 7\nuser: nobody\ngroup: '65534'\nworking_directory: /srv/x/\n"
        "environment_pass: [LANG]\ncredentials: {key: /etc/k}\numask: 077\nnice: -5\n"
        "oom_score_adj: 900\n"
    )
    assert spec.agent_id == 7
    assert (spec.user, spec.group) == ("nobody", "65534")
    assert spec.working_directory == "/srv/x"
    assert spec.environment_pass == ("LANG",)
    assert spec.credentials == (CredentialSpec("key", "/etc/k"),)
    assert (spec.umask, spec.nice, spec.oom_score_adj) == (0o077, -5, 900)


@pytest.mark.parametrize("user", ["root", "www-data", "_apt", "1000"])
def test_users_that_can_be_named(user: str) -> None:
    assert agent(f"user: {user}").user == user


def test_capabilities_are_a_set_of_bits() -> None:
    assert agent("").capabilities == capability.DEFAULT
    assert agent("capabilities: []").capabilities == capability.NONE
    spec = agent("capabilities: [LLM_ACCESS, NetClient, Admin]\nloopback: [9, 8]")
    assert spec.capabilities == (Capability.LLM_ACCESS | Capability.NET_CLIENT | Capability.ADMIN)
    assert spec.loopback == (8, 9)


def test_a_scope_has_three_spellings() -> None:
    assert agent("scope: /srv/x/").scope == ScopeSpec(paths=("/srv/x",))
    assert agent("scope: [/a, /]").scope == ScopeSpec(paths=("/a", "/"))
    assert agent("scope: {paths: /a, max_file_size: 1MiB, max_ops: 9/s}").scope == ScopeSpec(
        ("/a",), 1 << 20, 9
    )
    assert agent("scope: {max_file_size: unlimited}").scope == ScopeSpec()


def test_doors_and_groups_of_syscalls() -> None:
    assert agent("").doors == {"socket", "syscall", "http"}
    assert agent("doors: []").doors == frozenset()
    assert agent("nested_sandbox: true").doors == {"socket", "http"}
    spec = agent("allow: [userns, io_uring]\nunconfined: true\ndelegate: true\naudit: true")
    assert spec.allow == ("io_uring", "userns")
    assert (spec.unconfined, spec.delegate, spec.audit) == (True, True, True)


def test_life() -> None:
    spec = agent(
        "start: boot\nstart_timeout: 5s\nprobe: {tcp: '[::1]:80', interval: 10ms, timeout: 1s,"
        " successes: 3}\nstop: {signal: INT, grace: 0s}\nidle_timeout: 1h\n"
        "watchdog: {witnesses: [llm, cpu], observe: true}\n"
    )
    assert spec.start is StartMode.BOOT
    assert spec.start_timeout_usec == 5_000_000
    assert spec.ready is ReadyKind.PROBE
    assert spec.probe == ProbeSpec((), "[::1]:80", None, 10_000, 1_000_000, 3)
    assert spec.stop == StopSpec(2, 0)
    assert spec.idle_timeout_usec == 3_600_000_000
    assert spec.watchdog == WatchdogSpec(frozenset({"llm", "cpu"}), True)
    assert agent("ready: notify").ready is ReadyKind.NOTIFY
    assert agent("stop: {signal: 9}").stop.signal == 9


@pytest.mark.parametrize("kind", list(RestartKind))
def test_restart_has_a_short_form(kind: RestartKind) -> None:
    assert agent(f"restart: {kind.value}").restart == RestartSpec(kind=kind)


def test_restart_in_full() -> None:
    spec = agent(
        "restart: {kind: always, max: 9, backoff: 1s, backoff_max: 2min, jitter: 12.5%, stable: 1h,"
        " with_dependency: true, success_exits: [3, SIGTERM], prevent_exits: [4],"
        " force_exits: [KILL, 255]}"
    )
    assert spec.restart == RestartSpec(
        RestartKind.ALWAYS, 9, 1_000_000, 120_000_000, 125, 3_600_000_000, True, (3, -15), (4,),
        (-9, 255),
    )  # fmt: skip
    assert agent("restart: with-dependency").restart == RestartSpec(
        kind=RestartKind.ON_FAILURE, with_dependency=True
    )


def test_a_first_wait_above_the_default_maximum_raises_it() -> None:
    restart = agent("restart: {kind: always, backoff: 1min}").restart
    assert restart.backoff_max_usec == restart.backoff_initial_usec == 60_000_000


def test_dependencies_are_names_or_mappings() -> None:
    text = (
        "- {name: a, command: [x], dependencies: [b, {on: c, kind: optional, signal: SIGUSR1},"
        " {on: d, kind: peer}]}\n"
        "- {name: b, command: [x]}\n- {name: c, command: [x]}\n- {name: d, command: [x]}\n"
    )
    spec = parse_agent_text(text, "a.yaml")[0]
    assert spec.dependencies == (
        DependencySpec("b"),
        DependencySpec("c", DependencyKind.OPTIONAL, 10),
        DependencySpec("d", DependencyKind.PEER),
    )


def test_a_file_that_is_not_alone_may_depend_on_agents_of_others() -> None:
    text = "name: a\ncommand: [x]\ndependencies: [elsewhere]\n"
    (spec,) = parse_agent_text(text, "a.yaml", is_alone=False)
    assert spec.dependencies == (DependencySpec("elsewhere"),)


def test_cycles_through_optional_and_peer_edges_are_allowed() -> None:
    text = (
        "- {name: a, command: [x], dependencies: [b]}\n"
        "- {name: b, command: [x], dependencies: [{on: a, kind: peer}, {on: b, kind: optional}]}\n"
    )
    assert len(parse_agent_text(text, "a.yaml")) == 2


def test_limits_in_full() -> None:
    spec = agent(
        "limits: {cpu: 1.5, cpu_burst: 100ms, cpus: '0-2,5', memory: 1GiB, memory_high: 900MiB,"
        " pids: 64, syscalls: 500/s, io: {read: 1MiB/s, write: 2MiB/s, read_ops: 3/s,"
        " write_ops: 4/s}, watchdog: 30s, wall: 1h, nofile: 256, core: 0B}"
    )
    assert spec.limits == LimitsSpec(
        cpu_quota_usec=1_500_000,
        cpu_burst_usec=100_000,
        cpus=(0, 1, 2, 5),
        memory_bytes=1 << 30,
        memory_high_bytes=900 << 20,
        pids_max=64,
        syscall_rate=500,
        io_read_bytes=1 << 20,
        io_write_bytes=2 << 20,
        io_read_ops=3,
        io_write_ops=4,
        watchdog_usec=30_000_000,
        wall_usec=3_600_000_000,
        nofile=256,
        core_bytes=0,
    )


def test_a_preset_stands_under_single_limits() -> None:
    assert agent("limits: conservative").limits == LIMITS_CONSERVATIVE
    limits = agent("limits: {preset: conservative, memory: unlimited, cpu: 50%}").limits
    assert limits == LimitsSpec(
        cpu_quota_usec=500_000, syscall_rate=1_000, watchdog_usec=30_000_000
    )


def test_defaults_of_the_daemon_stand_under_the_agents_own() -> None:
    daemon = parse_daemon_text(
        "defaults:\n"
        "  limits: {preset: conservative, memory_high: 90MiB}\n"
        "  restart: {kind: on-failure, max: 7}\n"
        "  stop: {grace: 1s}\n"
        "  logs: {files: 9}\n"
        "  environment_pass: [LANG, TZ]\n"
        "recovery: strict\n"
        "compliance: {default_risk: high}\n",
        "asm.yaml",
    )
    spec = agent("", daemon)
    assert spec.limits.memory_bytes == 100 << 20
    assert spec.restart == RestartSpec(kind=RestartKind.ON_FAILURE, max_restarts=7)
    assert spec.stop.grace_usec == 1_000_000
    assert spec.logs == LogsSpec(files=9)
    assert spec.environment_pass == ("LANG", "TZ")
    assert spec.recovery.cpu_quota is FaultAction.KILL
    assert spec.risk is RiskLevel.HIGH

    spec = agent(
        "limits: {memory: 50MiB}\nrestart: always\nenvironment: {TZ: UTC}\nrisk: minimal\n"
        "recovery: {crash: alert}\n",
        daemon,
    )
    # The inherited high lies above the new limit and would never act.
    assert (spec.limits.memory_bytes, spec.limits.memory_high_bytes) == (50 << 20, None)
    assert spec.limits.syscall_rate == 1_000
    assert spec.restart == RestartSpec(kind=RestartKind.ALWAYS, max_restarts=7)
    assert spec.environment_pass == ("LANG",)
    assert spec.risk is RiskLevel.MINIMAL
    assert spec.recovery.crash is FaultAction.ALERT
    assert spec.recovery.memory is FaultAction.KILL
    assert agent("limits: unlimited", daemon).limits == LimitsSpec()


def test_recovery_in_full() -> None:
    spec = agent(
        "recovery: {preset: permissive, cpu_quota: kill, memory: throttle, syscall_flood: restart,"
        " crash: restart, capability_violation: alert, unresponsive: kill, policy_violation: kill,"
        " budget: throttle, throttle_share: 10%, cool_down: 1min}"
    )
    action = FaultAction
    assert spec.recovery == RecoverySpec(
        action.KILL, action.THROTTLE, action.RESTART, action.RESTART, action.ALERT, action.KILL,
        action.KILL, action.THROTTLE, 100, 60_000_000,
    )  # fmt: skip


def test_budget_gateway_logs_and_record() -> None:
    spec = agent(
        "budget: {usd: 2.50 USD, tokens: 0, iterations: 5, credits: 0.5 credits, deadline: 8h}\n"
        "gateway: {policy: explicit, chain: [claude, local], preferred_provider: claude,"
        " models: [m], burst: 0, rate: 2/s, timeout: 1s, max_tokens: 5}\n"
        "logs: {max_size: 1MiB, files: 1}\nrisk: high\npurpose: 'To test: this'\n"
    )
    assert spec.budget == BudgetSpec(0, 2_500_000_000, 5, 500, 28_800_000_000)
    assert spec.gateway == AgentGatewaySpec(
        "explicit", ("claude", "local"), "claude", ("m",), 0, 2, 1_000_000, 5
    )
    assert spec.logs == LogsSpec(1 << 20, 1)
    assert (spec.risk, spec.purpose) == (RiskLevel.HIGH, "To test: this")


def test_an_id_needs_a_uid_or_a_user() -> None:
    daemon = parse_daemon_text("uid_range: 100\n", "asm.yaml")
    assert agent("id: 99", daemon).agent_id == 99
    assert agent("id: 100\nuser: nobody", daemon).agent_id == 100
    with pytest.raises(Exception, match="id 100 has no uid: uid_range is 100: a lower id"):
        agent("id: 100", daemon)


def test_anchors_share_what_agents_have_in_common() -> None:
    text = (
        "- {name: a, command: [x], limits: &small {memory: 64MiB}}\n"
        "- {name: b, command: [y], limits: *small}\n"
    )
    first, second = parse_agent_text(text, "a.yaml")
    assert first.limits == second.limits == LimitsSpec(memory_bytes=64 << 20)
