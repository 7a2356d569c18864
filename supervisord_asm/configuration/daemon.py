"""asm.yaml: from nodes to a DaemonSpec."""

from dataclasses import dataclass

from supervisord_asm.configuration.bounds import read_budget, read_limits, read_logs
from supervisord_asm.configuration.document import Mapping, Mark, Node, Scalar, Sequence
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.gateway import read_gateway, read_prices
from supervisord_asm.configuration.life import RESTARTS_MAX, read_recovery, read_restart, read_stop
from supervisord_asm.configuration.scalars import (
    absolute_path,
    agent_name,
    always_path,
    group_name,
    plain_text,
    relative_path,
    variable_name,
)
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.sentinel import read_sentinel
from supervisord_asm.core.daemon_spec import (
    AGENTS_MAX,
    AlwaysSpec,
    ComplianceSpec,
    DaemonSpec,
    DefaultsSpec,
    GroupSpec,
    GroupStrategy,
    JournalSpec,
    PathsSpec,
    ProbesMode,
    SocketsSpec,
)
from supervisord_asm.core.spec import AGENT_ID_MAX, RiskLevel
from supervisord_asm.core.units import DAYS, RATE, TIME

# sun_path has 108 bytes; the longest socket below `run` is /control.sock.
RUN_PATH_MAX_BYTES = 107 - len("/control.sock")
# Uids below are the distribution's, its users' and systemd's (systemd, UIDS-GIDS.md); the last two
# have meanings of their own.
UID_BASE_MIN = 65_536
UID_MAX = (1 << 32) - 3
# The windows, watchdogs and rates of the telemetry are per second; faster ticks cost, slower ones
# miss.
TICK_MIN_USEC, TICK_MAX_USEC = 100_000, 10_000_000
CAP_MAX = 1_000_000


@dataclass(slots=True)
class LocatedDaemon:
    """A spec with what the checks against the agents need."""

    spec: DaemonSpec
    file: str
    names_folder: bool  # agents_dir was given: a missing folder is a mistake
    member_marks: dict[tuple[str, str], Mark]  # (group, agent) -> place


def read_daemon(section: Section) -> LocatedDaemon:
    """Read the mapping at the top of asm.yaml. Errors are in the section's report."""
    member_marks: dict[tuple[str, str], Mark] = {}
    default = DaemonSpec()
    uid_base = section.count("uid_base", default.uid_base, UID_BASE_MIN, UID_MAX)
    uid_range = section.count("uid_range", default.uid_range, 1, AGENT_ID_MAX + 1)
    if uid_base + uid_range - 1 > UID_MAX:
        section.refuse(
            "uid_base",
            f"uid_base {uid_base} and uid_range {uid_range} pass the last uid",
            f"together at most {UID_MAX + 1}",
        )
    spec = DaemonSpec(
        paths=_paths(section),
        agents_dir=section.read("agents_dir", _folder, default.agents_dir),
        agents_max=section.count("agents_max", default.agents_max, 1, AGENTS_MAX),
        uid_base=uid_base,
        uid_range=uid_range,
        probes=section.choice("probes", ProbesMode, default.probes),
        tick_usec=section.quantity("tick", TIME, default.tick_usec, TICK_MIN_USEC, TICK_MAX_USEC),
        defaults=_defaults(section),
        recovery=read_recovery(section, default.recovery),
        always_list=_always(section),
        sockets=_sockets(section),
        journal=_journal(section),
        logs=read_logs(section, default.logs),
        groups=_groups(section, member_marks),
        budget=read_budget(section),
        gateway=read_gateway(section),
        prices=read_prices(section),
        compliance=_compliance(section),
        sentinel=read_sentinel(section),
    )
    section.done()
    return LocatedDaemon(spec, section.report.file, section.has("agents_dir"), member_marks)


def _folder(text: str) -> str:
    return absolute_path(text) if text.startswith("/") else relative_path(text)


def _run_path(text: str) -> str:
    path = absolute_path(text)
    if len(path.encode()) > RUN_PATH_MAX_BYTES:
        raise Refusal(
            f"a path of {len(path)} characters",
            f"at most {RUN_PATH_MAX_BYTES}: a socket's address holds no more",
        )
    return path


def _cgroup(text: str) -> str:
    if text.startswith("/"):
        raise Refusal(f'"{text[:80]}" is absolute', "write it from the cgroup2 root, as asm.slice")
    return relative_path(text)


def _paths(parent: Section) -> PathsSpec:
    default = PathsSpec()
    section = parent.section("paths")
    if section is None:
        return default
    paths = PathsSpec(
        run=section.read("run", _run_path, default.run),
        state=section.read("state", absolute_path, default.state),
        logs=section.read("logs", absolute_path, default.logs),
        fuse=section.read("fuse", absolute_path, default.fuse),
        bpffs=section.read("bpffs", absolute_path, default.bpffs),
        config=section.read("config", absolute_path, default.config),
        cgroup=section.read("cgroup", _cgroup, default.cgroup),
        libexec=section.read("libexec", absolute_path, default.libexec),
    )
    section.done()
    return paths


def _defaults(parent: Section) -> DefaultsSpec:
    default = DefaultsSpec()
    section = parent.section("defaults")
    if section is None:
        return default
    defaults = DefaultsSpec(
        limits=read_limits(section, default.limits),
        restart=read_restart(section, default.restart),
        stop=read_stop(section, default.stop),
        logs=read_logs(section, default.logs),
        environment_pass=section.values("environment_pass", variable_name),
    )
    section.done()
    return defaults


def _always(parent: Section) -> AlwaysSpec:
    default = AlwaysSpec()
    section = parent.section("always_list")
    if section is None:
        return default
    always = AlwaysSpec(
        execute=section.values("execute", always_path, default.execute),
        read=section.values("read", always_path, default.read),
        write=section.values("write", always_path, default.write),
    )
    section.done()
    return always


def _sockets(parent: Section) -> SocketsSpec:
    default = SocketsSpec()
    section = parent.section("sockets")
    if section is None:
        return default
    sockets = SocketsSpec(
        group=section.read("group", group_name, default.group),
        agent_connections=section.count("agent_connections", default.agent_connections, 1, CAP_MAX),
        agent_requests_per_sec=section.quantity(
            "agent_requests", RATE, default.agent_requests_per_sec, 1
        ),
        agent_requests_burst=section.count(
            "agent_requests_burst", default.agent_requests_burst, 1, CAP_MAX
        ),
        control_connections=section.count(
            "control_connections", default.control_connections, 1, CAP_MAX
        ),
        idle_timeout_usec=section.quantity(
            "idle_timeout", TIME, default.idle_timeout_usec, TICK_MIN_USEC
        ),
    )
    section.done()
    return sockets


def _journal(parent: Section) -> JournalSpec:
    default = JournalSpec()
    section = parent.section("journal")
    if section is None:
        return default
    journal = JournalSpec(
        retention_days=section.quantity("retention", DAYS, default.retention_days, 1),
        queue_max=section.count("queue_max", default.queue_max, 1_024, CAP_MAX),
    )
    section.done()
    return journal


def _groups(parent: Section, marks: dict[tuple[str, str], Mark]) -> tuple[GroupSpec, ...]:
    section = parent.section("groups")
    if section is None:
        return ()
    found: list[GroupSpec] = []
    for name, mark, node in section.entries():
        group = _group(section, name, mark, node)
        if group is not None:
            found.append(group)
            members = _member_nodes(node)
            marks.update({(name, member.text): member.mark for member in members})
    return tuple(found)


def _member_nodes(node: Node) -> list[Scalar]:
    """Find the scalars under `members`, for their places."""
    if not isinstance(node, Mapping):
        return []
    return [
        item
        for key, value in node.pairs
        if isinstance(key, Scalar) and key.text == "members" and isinstance(value, Sequence)
        for item in value.items
        if isinstance(item, Scalar)
    ]


def _group(parent: Section, name: str, mark: Mark, node: Node) -> GroupSpec | None:
    try:
        agent_name(name)
    except Refusal as error:
        parent.report.add(mark, error.message, error.hint)
        return None
    section = parent.open(node, parent.name(name))
    if section is None:
        return None
    default = GroupSpec(name, ())
    section.require("members", "members: [AGENT, …], in the order of their start")
    group = GroupSpec(
        name,
        members=section.values("members", agent_name, least=1),
        strategy=section.choice("strategy", GroupStrategy, default.strategy),
        intensity=section.count("intensity", default.intensity, 0, RESTARTS_MAX),
        period_usec=section.quantity("period", TIME, default.period_usec, TICK_MIN_USEC),
    )
    section.done()
    return group


def _compliance(parent: Section) -> ComplianceSpec:
    default = ComplianceSpec()
    section = parent.section("compliance")
    if section is None:
        return default
    compliance = ComplianceSpec(
        default_risk=section.choice("default_risk", RiskLevel, default.default_risk),
        deployer=section.read("deployer", plain_text, default.deployer),
        events_max=section.count("events_max", default.events_max, 1_024, CAP_MAX),
    )
    section.done()
    return compliance
