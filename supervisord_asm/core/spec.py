"""What an agent is to be: one frozen record, and the records that it is made of.

Pure data; deterministic; says nothing about this host. Whatever depends on the machine (does the
user exist, has the kernel the controller) is found out where it is applied. The text form, its
checks and its error messages are `configuration/`; the records of the daemon itself are
`core/daemon_spec.py`.

Conventions: units last in names; None = not limited, or not given where the comment says so; an
empty tuple = none. Times are microseconds, money is nano-USD, shares are permille. `AgentSpec`
compares by content alone: where it stood (`source`) is no part of it.

Sources: spec/CONTRACT.md ("Capabilities in practice", "Configuration", "Faults"), spec/asm.md 1.3,
systemd.service(5) for the restart kinds, Erlang supervisor(3) for intensity and period.
"""

import enum
from dataclasses import dataclass, field

from supervisord_asm.core.capability import DEFAULT, Capability
from supervisord_asm.core.recovery import RecoverySpec

# 0 is the system itself; positive 32-bit integers (DECISIONS.md, "Identity and policy").
AGENT_ID_MIN = 1
AGENT_ID_MAX = (1 << 31) - 1
# Handed out upward from here when the spec names none, never reused.
AGENT_ID_AUTO_FIRST = 1_000
# CONTRACT.md, "Configuration". Begins with a letter, so a name is never a number and never `..`.
NAME_PATTERN = r"[a-z][a-z0-9_.-]{0,62}"
# Where command[0] without a slash is looked up when the agent's own environment has no PATH:
# the value that Debian's init gives to services.
SEARCH_PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What we set ourselves in an agent's environment; a spec may not (it would lie to the agent).
ENVIRONMENT_RESERVED = frozenset(
    {"ASM_AGENT_ID", "ASM_SOCKET", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
)
# Syscall groups that `allow:` can name; all are denied without it (design/KERNEL.md, "Traps").
ALLOW_GROUPS = frozenset(
    {
        "bpf", "io_uring", "kexec", "keyctl", "modules", "mount", "open_by_handle_at", "perf",
        "process_vm", "ptrace", "ptrace_self", "setns", "userfaultfd", "userns",
    }
)  # fmt: skip
DOORS = frozenset({"socket", "syscall", "http"})
WITNESSES = frozenset({"heartbeat", "logs", "llm", "cpu"})


class StartMode(enum.StrEnum):
    """When an agent starts without being told to."""

    AUTO = "auto"  # whenever the daemon starts or the agent is added
    BOOT = "boot"  # at the first start of the daemon after a boot
    MANUAL = "manual"


class ReadyKind(enum.StrEnum):
    """What makes a starting agent active."""

    STARTED = "started"  # its program runs
    NOTIFY = "notify"  # it said READY=1
    PROBE = "probe"  # its probe answered


class RestartKind(enum.StrEnum):
    """After which ends an agent comes back; systemd's kinds. Never after an operator's stop."""

    NO = "no"
    ON_SUCCESS = "on-success"
    ON_FAILURE = "on-failure"
    ON_ABNORMAL = "on-abnormal"
    ON_WATCHDOG = "on-watchdog"
    ALWAYS = "always"


class DependencyKind(enum.StrEnum):
    """Required dies with what it depends on; optional is told of its end; peer of both ways."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    PEER = "peer"


class RiskLevel(enum.StrEnum):
    """The EU AI Act's levels, mildest first."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"
    UNACCEPTABLE = "unacceptable"


@dataclass(frozen=True, slots=True)
class SourceMark:
    """Where a spec stood: for messages only. Line 0 = not from a file."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class RestartSpec:
    """Whether, how often and how fast an agent comes back.

    The first restart is at once; then the wait doubles from backoff_initial to backoff_max, each
    moved by at most jitter. The counter falls to zero after `stable_usec` without an end. Exit
    statuses are codes (0..255) or negated signal numbers (-15 = ended by SIGTERM).
    """

    kind: RestartKind = RestartKind.NO
    max_restarts: int = 3  # spec/asm.md 1.3
    backoff_initial_usec: int = 100_000
    backoff_max_usec: int = 30_000_000
    jitter_permille: int = 100
    stable_usec: int = 600_000_000
    with_dependency: bool = False  # restarts when a required dependency does
    success_exits: tuple[int, ...] = ()  # count as clean, beside 0
    prevent_exits: tuple[int, ...] = ()  # never restart
    force_exits: tuple[int, ...] = ()  # always restart (within max_restarts)


@dataclass(frozen=True, slots=True)
class StopSpec:
    """The polite signal, and how long it is given before cgroup.kill."""

    signal: int = 15  # SIGTERM
    grace_usec: int = 10_000_000  # docker stop and supervisord give ten seconds


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """Resource limits; None = not limited. All are exceeded only by strictly more."""

    cpu_quota_usec: int | None = None  # of CPU time per second
    cpu_burst_usec: int | None = None  # saved up beyond the quota
    cpus: tuple[int, ...] | None = None  # cores it may run on
    memory_bytes: int | None = None
    memory_high_bytes: int | None = None  # None with memory_bytes set: 90 % of it
    pids_max: int | None = None
    syscall_rate: int | None = None  # a second
    io_read_bytes: int | None = None  # a second, each of the four
    io_write_bytes: int | None = None
    io_read_ops: int | None = None
    io_write_ops: int | None = None
    watchdog_usec: int | None = None
    wall_usec: int | None = None  # of one run, frozen spells left out
    nofile: int | None = None  # RLIMIT_NOFILE
    core_bytes: int | None = None  # RLIMIT_CORE


# The guide's set (spec/asm.md 1.5), named `conservative` in configurations.
LIMITS_CONSERVATIVE = LimitsSpec(
    cpu_quota_usec=1_000_000,
    memory_bytes=104_857_600,
    syscall_rate=1_000,
    watchdog_usec=30_000_000,
)
LIMITS_PRESETS: dict[str, LimitsSpec] = {
    "unlimited": LimitsSpec(),
    "conservative": LIMITS_CONSERVATIVE,
}


@dataclass(frozen=True, slots=True)
class ScopeSpec:
    """Where the file capabilities hold, beside the agent's own state directory."""

    paths: tuple[str, ...] = ()
    max_file_size_bytes: int | None = None
    max_ops_per_sec: int | None = None


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """A file handed over read-only under `name`; never through the environment."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class DependencySpec:
    """An edge from the agent that has it onto the agent named `on`."""

    on: str
    kind: DependencyKind = DependencyKind.REQUIRED
    notify_signal: int | None = None  # sent to an optional or peer dependent beside the event


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """How readiness is asked for: a command's exit code 0, or a TCP or Unix connect."""

    command: tuple[str, ...] = ()
    tcp: str | None = None  # "HOST:PORT"
    unix: str | None = None  # absolute path of a socket
    interval_usec: int = 1_000_000
    timeout_usec: int = 5_000_000
    successes: int = 1  # in a row


@dataclass(frozen=True, slots=True)
class WatchdogSpec:
    """Who speaks for an agent's progress; the time is limits.watchdog_usec."""

    witnesses: frozenset[str] = frozenset({"heartbeat"})
    observe: bool = False  # record what would have been done


@dataclass(frozen=True, slots=True)
class LogsSpec:
    """The log of one agent (or of the daemon): files of max_bytes each, oldest dropped."""

    max_bytes: int = 10 * 1024 * 1024
    files: int = 2


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What may be spent; None = that unit is not budgeted."""

    tokens: int | None = None
    usd_nanos: int | None = None
    iterations: int | None = None
    credits_millis: int | None = None
    deadline_usec: int | None = None  # from the start of the run


@dataclass(frozen=True, slots=True)
class AgentGatewaySpec:
    """The agent's own wishes to the gateway; None = as the gateway's section says."""

    policy: str | None = None
    chain: tuple[str, ...] = ()
    preferred_provider: str | None = None
    models: tuple[str, ...] = ()  # the only ones it may name; () = any
    burst: int | None = None
    rate_per_sec: int | None = None
    timeout_usec: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent as an operator wants it. Built by `configuration/` only, which checks it."""

    # Identity and program.
    agent_id: int | None = None  # None = the daemon hands one out
    name: str
    command: tuple[str, ...]
    user: str | None = None  # None = a uid of its own, uid_base + id
    group: str | None = None  # None = the user's, or a gid equal to its own uid
    working_directory: str | None = None  # None = its state directory
    environment: tuple[tuple[str, str], ...] = ()
    environment_pass: tuple[str, ...] = ()  # names taken over from the daemon's environment
    credentials: tuple[CredentialSpec, ...] = ()
    umask: int = 0o022
    nice: int = 0
    oom_score_adj: int = 500  # CONTRACT.md, "Programs": agents go first

    # What it may do.
    capabilities: Capability = DEFAULT
    unconfined: bool = False
    scope: ScopeSpec = ScopeSpec()
    doors: frozenset[str] = DOORS
    allow: tuple[str, ...] = ()
    loopback: tuple[int, ...] = ()  # ports on 127.0.0.1 and ::1 that NetClient includes
    nested_sandbox: bool = False
    delegate: bool = False
    audit: bool = False

    # Life.
    start: StartMode = StartMode.AUTO
    start_timeout_usec: int = 90_000_000  # systemd's DefaultTimeoutStartSec
    ready: ReadyKind = ReadyKind.STARTED
    probe: ProbeSpec | None = None
    dependencies: tuple[DependencySpec, ...] = ()
    restart: RestartSpec = RestartSpec()
    stop: StopSpec = StopSpec()
    idle_timeout_usec: int | None = None
    watchdog: WatchdogSpec = WatchdogSpec()

    # Bounds and records.
    limits: LimitsSpec = LimitsSpec()
    recovery: RecoverySpec = field(default=RecoverySpec())
    budget: BudgetSpec | None = None
    gateway: AgentGatewaySpec = AgentGatewaySpec()
    logs: LogsSpec = LogsSpec()
    risk: RiskLevel = RiskLevel.LIMITED
    purpose: str | None = None  # None = "Agent: <name>"

    source: SourceMark = field(default=SourceMark("", 0), compare=False)
