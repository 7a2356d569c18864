"""One agent of agents.d, or of `asmctl run`: from nodes to an AgentSpec.

Checks what can be judged from this agent alone, and against the daemon's record; what needs the
other agents (names taken, dependencies, cycles) is `fleet.py`.
"""

from dataclasses import dataclass, replace

from supervisord_asm.configuration.bounds import (
    TIMER_MIN_USEC,
    read_budget,
    read_limits,
    read_logs,
    read_scope,
)
from supervisord_asm.configuration.document import Mark, Sequence
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.gateway import provider_names, read_agent_gateway
from supervisord_asm.configuration.life import (
    read_dependencies,
    read_probe,
    read_recovery,
    read_restart,
    read_stop,
    read_watchdog,
)
from supervisord_asm.configuration.scalars import (
    absolute_path,
    agent_name,
    allow_group,
    capability,
    credential_name,
    door,
    file_mode,
    group_name,
    plain_text,
    port,
    user_name,
    variable_name,
)
from supervisord_asm.configuration.section import Section
from supervisord_asm.core.capability import DEFAULT, NONE, Capability
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import (
    AGENT_ID_MAX,
    AGENT_ID_MIN,
    DOORS,
    AgentSpec,
    CredentialSpec,
    ReadyKind,
    RiskLevel,
    ScopeSpec,
    SourceMark,
    StartMode,
    WatchdogSpec,
)
from supervisord_asm.core.units import TIME

# An agent may be told to be readier to be killed than we are, never less (CONTRACT, "Programs").
OOM_SCORE_ADJ_MIN = 0
OOM_SCORE_ADJ_MAX = 1_000
NICE_MIN, NICE_MAX = -20, 19


@dataclass(slots=True)
class LocatedAgent:
    """A spec with the places that the checks across agents need for their messages."""

    spec: AgentSpec
    file: str
    name_mark: Mark
    id_mark: Mark
    dependency_marks: tuple[Mark, ...]


def read_agent(section: Section, daemon: DaemonSpec) -> LocatedAgent | None:
    """Read one mapping; None when it has no usable name. Errors are in the section's report."""
    file = section.report.file
    section.require("name", "name: NAME")
    section.require("command", "command: [PROGRAM, ARGUMENT, …]")
    name = section.read("name", agent_name, None)
    dependencies = read_dependencies(section)
    capabilities = _capabilities(section)
    unconfined = section.flag("unconfined")
    scope = read_scope(section, ScopeSpec())
    probe = read_probe(section)
    nested_sandbox = section.flag("nested_sandbox")
    spec = AgentSpec(
        agent_id=section.count("id", None, AGENT_ID_MIN, AGENT_ID_MAX),
        name=name or "",
        command=_command(section),
        user=section.read("user", user_name, None),
        group=section.read("group", group_name, None),
        working_directory=section.read("working_directory", absolute_path, None),
        environment=_environment(section),
        environment_pass=section.values(
            "environment_pass", variable_name, daemon.defaults.environment_pass
        ),
        credentials=_credentials(section),
        umask=section.read("umask", file_mode, 0o022),
        nice=section.count("nice", 0, NICE_MIN, NICE_MAX),
        oom_score_adj=section.count("oom_score_adj", 500, OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX),
        capabilities=capabilities,
        unconfined=unconfined,
        scope=scope,
        doors=_doors(section, nested_sandbox),
        allow=tuple(sorted(section.values("allow", allow_group))),
        loopback=tuple(sorted(section.values("loopback", port))),
        nested_sandbox=nested_sandbox,
        delegate=section.flag("delegate"),
        audit=section.flag("audit"),
        start=section.choice("start", StartMode, StartMode.AUTO),
        start_timeout_usec=section.quantity("start_timeout", TIME, 90_000_000, TIMER_MIN_USEC),
        ready=section.choice("ready", ReadyKind, ReadyKind.PROBE if probe else ReadyKind.STARTED),
        probe=probe,
        dependencies=tuple(dependency for dependency, _ in dependencies),
        restart=read_restart(section, daemon.defaults.restart),
        stop=read_stop(section, daemon.defaults.stop),
        idle_timeout_usec=section.limit("idle_timeout", TIME, None, TIMER_MIN_USEC),
        watchdog=read_watchdog(section, WatchdogSpec()),
        limits=read_limits(section, daemon.defaults.limits),
        recovery=read_recovery(section, daemon.recovery),
        budget=read_budget(section),
        gateway=read_agent_gateway(section, provider_names(daemon.gateway)),
        logs=read_logs(section, daemon.defaults.logs),
        risk=section.choice("risk", RiskLevel, daemon.compliance.default_risk),
        purpose=section.text("purpose", None),
        source=SourceMark(file, section.mark.line),
    )
    section.done()
    _check(section, spec, daemon)
    if name is None:
        return None
    return LocatedAgent(
        spec=spec,
        file=file,
        name_mark=section.mark_of("name"),
        id_mark=section.mark_of("id"),
        dependency_marks=tuple(mark for _, mark in dependencies),
    )


def _command(section: Section) -> tuple[str, ...]:
    node = section.take("command")
    if node is None:
        return ()
    if not isinstance(node, Sequence):
        section.refuse(
            "command", "command is not a list", "write [PROGRAM, ARGUMENT, …]; no shell reads it"
        )
        return ()
    command = section.values("command", plain_text, repeats=True, least=1)
    if not command:
        return ()
    program = command[0]
    if program == "" or ("/" in program and not program.startswith("/")):
        section.report.add(
            node.items[0].mark,
            f'command: "{program[:80]}" is neither a path nor a name',
            "an absolute path, or a name without / to be found in the agent's PATH",
        )
    return command


def _capabilities(section: Section) -> Capability:
    if not section.has("capabilities"):
        section.take("capabilities")
        return DEFAULT
    found = NONE
    for one in section.values("capabilities", capability):
        found |= one
    return found


def _doors(section: Section, nested_sandbox: bool) -> frozenset[str]:
    default = DOORS - {"syscall"} if nested_sandbox else DOORS
    doors = frozenset(section.values("doors", door, tuple(default)))
    if nested_sandbox and "syscall" in doors:
        section.refuse(
            "doors",
            "doors: syscall with nested_sandbox",
            "leave syscall out: the agent's own sandbox needs the one seccomp listener",
        )
    return doors


def _environment(section: Section) -> tuple[tuple[str, str], ...]:
    variables = section.section("environment")
    if variables is None:
        return ()
    found: list[tuple[str, str]] = []
    for name, mark, node in variables.entries():
        try:
            variable_name(name)
        except Refusal as error:
            section.report.add(mark, f"environment: {error.message}", error.hint)
            continue
        value = variables.convert(node, variables.name(name), plain_text, None)
        if value is not None:
            found.append((name, value))
    return tuple(found)


def _credentials(section: Section) -> tuple[CredentialSpec, ...]:
    files = section.section("credentials")
    if files is None:
        return ()
    found: list[CredentialSpec] = []
    for name, mark, node in files.entries():
        try:
            credential_name(name)
        except Refusal as error:
            section.report.add(mark, f"credentials: {error.message}", error.hint)
            continue
        path = files.convert(node, files.name(name), absolute_path, None)
        if path is not None:
            found.append(CredentialSpec(name, path))
    return tuple(found)


def _check(section: Section, spec: AgentSpec, daemon: DaemonSpec) -> None:
    """Note what single keys cannot show: keys that contradict each other."""
    if spec.unconfined and spec.scope.paths:
        section.refuse("scope", "scope with unconfined: true", "drop one of the two")
    if spec.loopback and not spec.capabilities & Capability.NET_CLIENT:
        section.refuse("loopback", "loopback without NetClient", "add NetClient to capabilities")
    if (spec.ready is ReadyKind.PROBE) != (spec.probe is not None):
        if spec.probe is None and not section.has("probe"):
            section.refuse("ready", "ready: probe without a probe", "add probe: {tcp: …}")
        elif spec.probe is not None:
            section.refuse("probe", f"probe with ready: {spec.ready.value}", "ready: probe")
    if spec.user is None and spec.agent_id is not None and spec.agent_id >= daemon.uid_range:
        section.refuse(
            "id",
            f"id {spec.agent_id} has no uid: uid_range is {daemon.uid_range}",
            "a lower id, a user, or a larger uid_range in asm.yaml",
        )
    passed = {name for name, _ in spec.environment} & set(spec.environment_pass)
    if passed and section.has("environment_pass"):
        section.refuse(
            "environment_pass",
            f"{min(passed)} is both set and passed on",
            "name it in environment or in environment_pass",
        )


def without_passed(spec: AgentSpec) -> AgentSpec:
    """Drop from the passed names those that the spec sets itself (they came from defaults)."""
    names = {name for name, _ in spec.environment}
    kept = tuple(name for name in spec.environment_pass if name not in names)
    return spec if kept == spec.environment_pass else replace(spec, environment_pass=kept)
