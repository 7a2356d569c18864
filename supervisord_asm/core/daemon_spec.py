"""What the daemon is to be: asm.yaml as one frozen record, and a whole configuration.

Pure data, as core/spec.py, whose conventions hold here. Every default of asm.yaml stands here and
nowhere else; a missing asm.yaml is `DaemonSpec()`.
"""

import enum
from dataclasses import dataclass, field

from supervisord_asm.core.gateway_spec import GatewaySpec, PricesSpec
from supervisord_asm.core.recovery import RecoverySpec
from supervisord_asm.core.spec import (
    AGENT_ID_MAX,
    AgentSpec,
    BudgetSpec,
    LimitsSpec,
    LogsSpec,
    RestartSpec,
    RiskLevel,
    StopSpec,
)

# Agents that a host holds: slots in the counting maps (design/KERNEL.md: 1,024 by default, since an
# unmapped per-number table is charged per slot).
AGENTS_DEFAULT = 1_024
AGENTS_MAX = 65_536


class ProbesMode(enum.StrEnum):
    """Which backend counts."""

    AUTO = "auto"
    CORE = "core"  # CO-RE objects
    BCC = "bcc"  # compiled at start, for kernels without BTF
    OFF = "off"


class GroupStrategy(enum.StrEnum):
    """Who is restarted with a group's member; Erlang's words."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


@dataclass(frozen=True, slots=True)
class PathsSpec:
    """Where everything stands. All absolute but `cgroup`, which is below the cgroup2 root."""

    run: str = "/run/asm"
    state: str = "/var/lib/asm"
    logs: str = "/var/log/asm"
    fuse: str = "/run/agentsys"
    bpffs: str = "/sys/fs/bpf/asm"
    config: str = "/etc/asm"
    cgroup: str = "asm.slice"
    libexec: str | None = None  # None = in the installed package


@dataclass(frozen=True, slots=True)
class AlwaysSpec:
    """What every agent may reach, or it could not run (CONTRACT.md, "Capabilities in practice").

    Absolute paths; a last component may end in `*`. An agent's own cgroup, state directory, the
    FUSE tree, the agent socket and, with LlmAccess, the gateway are added by the daemon.
    """

    execute: tuple[str, ...] = ("/usr", "/lib*", "/bin", "/sbin", "/opt")  # read and map
    read: tuple[str, ...] = (
        "/etc/ld.so.*", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
        "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/services", "/etc/protocols",
        "/etc/ssl", "/etc/ca-certificates", "/etc/alternatives", "/etc/terminfo", "/etc/locale*",
        "/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/uptime",
        "/proc/loadavg", "/proc/version", "/proc/filesystems", "/proc/sys/kernel/osrelease",
        "/proc/sys/kernel/hostname", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/random",
        "/sys/devices/system/cpu",
    )  # fmt: skip
    write: tuple[str, ...] = (
        "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
        "/dev/pts", "/dev/shm",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SocketsSpec:
    """Who may talk how much. Caps are per agent on asm.sock, in all on control.sock."""

    group: str = "asm"
    agent_connections: int = 16
    agent_requests_per_sec: int = 1_000
    agent_requests_burst: int = 2_000
    control_connections: int = 256
    idle_timeout_usec: int = 60_000_000  # a connection in the middle of a frame


@dataclass(frozen=True, slots=True)
class JournalSpec:
    """The durable record. 400 days: a year and the month in which it is audited."""

    retention_days: int = 400
    queue_max: int = 65_536  # events held while the disk is full


@dataclass(frozen=True, slots=True)
class DefaultsSpec:
    """What an agent gets that says nothing. Without them nothing is limited."""

    limits: LimitsSpec = field(default=LimitsSpec())
    restart: RestartSpec = field(default=RestartSpec())
    stop: StopSpec = field(default=StopSpec())
    logs: LogsSpec = field(default=LogsSpec())
    environment_pass: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Agents that fail together: more than `intensity` restarts within a period stop them all."""

    name: str
    members: tuple[str, ...]
    strategy: GroupStrategy = GroupStrategy.ONE_FOR_ONE
    intensity: int = 1  # Erlang's defaults: one restart in five seconds
    period_usec: int = 5_000_000


@dataclass(frozen=True, slots=True)
class ComplianceSpec:
    """The record for an auditor (spec/asm.md 1.8)."""

    default_risk: RiskLevel = RiskLevel.LIMITED
    deployer: str | None = None  # printed on reports
    events_max: int = 1_024


@dataclass(frozen=True, slots=True)
class SentinelSpec:
    """The credit sentinel (spec/sentinel.md); caps in credits, as its own file writes them."""

    global_hard_cap: int = 1_000
    checkpoint_interval: int = 50
    max_wall_time_ms: int = 120_000
    agent_cap_default: int = 200
    agent_caps: tuple[tuple[str, int], ...] = ()
    wall_time_default_ms: int = 45_000
    wall_time_limits_ms: tuple[tuple[str, int], ...] = ()
    warn_permille: int = 800
    throttle_permille: int = 900
    abort_permille: int = 1_000
    max_lock_age_seconds: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """asm.yaml."""

    paths: PathsSpec = PathsSpec()
    agents_dir: str = "agents.d"  # relative to the folder of asm.yaml
    agents_max: int = AGENTS_DEFAULT
    uid_base: int = 1_879_048_192  # 0x70000000: above what distributions and systemd hand out
    uid_range: int = AGENT_ID_MAX + 1  # uids from uid_base on that are ours
    probes: ProbesMode = ProbesMode.AUTO
    tick_usec: int = 1_000_000
    defaults: DefaultsSpec = DefaultsSpec()
    recovery: RecoverySpec = field(default=RecoverySpec())
    always_list: AlwaysSpec = AlwaysSpec()
    sockets: SocketsSpec = SocketsSpec()
    journal: JournalSpec = JournalSpec()
    logs: LogsSpec = field(default=LogsSpec())
    groups: tuple[GroupSpec, ...] = ()
    budget: BudgetSpec | None = None
    gateway: GatewaySpec = field(default=GatewaySpec())
    prices: PricesSpec = field(default=PricesSpec())
    compliance: ComplianceSpec = ComplianceSpec()
    sentinel: SentinelSpec | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the files say. Agents are sorted by name."""

    daemon: DaemonSpec
    agents: tuple[AgentSpec, ...]
    digest: str  # SHA-256 over the files' names and contents, hexadecimal
