"""The parts of a configuration that rule an agent's life: restart, stop, readiness, dependencies,
watchdog, recovery. Each function takes the section's key from its parent and returns the record,
merged over a default.
"""

from dataclasses import replace

from supervisord_asm.configuration.bounds import TIMER_MIN_USEC
from supervisord_asm.configuration.document import Mark, Node, Scalar
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.scalars import (
    PORT_MAX,
    absolute_path,
    agent_name,
    choose,
    exit_status,
    plain_text,
    signal_number,
    whole_number,
    witness,
)
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.suggestion import suggest
from supervisord_asm.core.recovery import (
    BUDGET_ACTIONS,
    FAULT_ACTIONS,
    PRESETS,
    FaultAction,
    RecoverySpec,
)
from supervisord_asm.core.spec import (
    DependencyKind,
    DependencySpec,
    ProbeSpec,
    RestartKind,
    RestartSpec,
    StopSpec,
    WatchdogSpec,
)
from supervisord_asm.core.units import SHARE, TIME

RESTARTS_MAX = 1_000_000
# A stop that takes longer than an hour is a stop that does not happen.
GRACE_MAX_USEC = 3_600_000_000
# DECISIONS.md spells the flag as if it were a kind; it is on-failure plus the flag.
WITH_DEPENDENCY = "with-dependency"


def read_restart(parent: Section, default: RestartSpec) -> RestartSpec:
    """Read `restart: on-failure`, or a mapping."""
    node = parent.take("restart")
    if node is None:
        return default
    if isinstance(node, Scalar):
        return parent.convert(node, parent.name("restart"), lambda t: _kind(t, default), default)
    section = parent.open(node, parent.name("restart"))
    if section is None:
        return default
    base = section.read("kind", lambda text: _kind(text, default), default)
    restart = RestartSpec(
        kind=base.kind,
        max_restarts=section.count("max", base.max_restarts, 0, RESTARTS_MAX),
        backoff_initial_usec=section.quantity(
            "backoff", TIME, base.backoff_initial_usec, TIMER_MIN_USEC
        ),
        backoff_max_usec=section.quantity(
            "backoff_max", TIME, base.backoff_max_usec, TIMER_MIN_USEC
        ),
        jitter_permille=section.quantity("jitter", SHARE, base.jitter_permille),
        stable_usec=section.quantity("stable", TIME, base.stable_usec, TIMER_MIN_USEC),
        with_dependency=section.flag("with_dependency", base.with_dependency),
        success_exits=section.values("success_exits", exit_status, base.success_exits),
        prevent_exits=section.values("prevent_exits", exit_status, base.prevent_exits),
        force_exits=section.values("force_exits", exit_status, base.force_exits),
    )
    section.done()
    if restart.backoff_max_usec < restart.backoff_initial_usec:
        if section.has("backoff_max"):
            section.refuse(
                "backoff_max",
                f"{section.name('backoff_max')} is less than backoff",
                f"at least {TIME.format(restart.backoff_initial_usec)}",
            )
        restart = replace(restart, backoff_max_usec=restart.backoff_initial_usec)
    both = sorted(set(restart.prevent_exits) & set(restart.force_exits))
    if both:
        section.refuse(
            "prevent_exits",
            f"{section.name('prevent_exits')} and force_exits both name {both[0]}",
            "name it in one of them",
        )
    return restart


def _kind(text: str, default: RestartSpec) -> RestartSpec:
    if text == WITH_DEPENDENCY:
        return replace(default, kind=RestartKind.ON_FAILURE, with_dependency=True)
    words = [kind.value for kind in RestartKind] + [WITH_DEPENDENCY]
    if text not in words:
        raise Refusal(f'unknown value "{text[:80]}"', suggest(text, words))
    return replace(default, kind=RestartKind(text))


def read_stop(parent: Section, default: StopSpec) -> StopSpec:
    """Read the polite signal and its grace."""
    section = parent.section("stop")
    if section is None:
        return default
    stop = StopSpec(
        signal=section.read("signal", signal_number, default.signal),
        grace_usec=section.quantity("grace", TIME, default.grace_usec, 0, GRACE_MAX_USEC),
    )
    section.done()
    return stop


def read_probe(parent: Section) -> ProbeSpec | None:
    """Read how readiness is asked for; exactly one way."""
    section = parent.section("probe")
    if section is None:
        return None
    default = ProbeSpec()
    ways = [way for way in ("command", "tcp", "unix") if section.has(way)]
    probe = ProbeSpec(
        command=section.values("command", plain_text, repeats=True, least=1),
        tcp=section.read("tcp", _host_and_port, None),
        unix=section.read("unix", absolute_path, None),
        interval_usec=section.quantity("interval", TIME, default.interval_usec, TIMER_MIN_USEC),
        timeout_usec=section.quantity("timeout", TIME, default.timeout_usec, TIMER_MIN_USEC),
        successes=section.count("successes", default.successes, 1, 1_000),
    )
    if len(ways) != 1:
        parent.refuse(
            "probe",
            f"{section.path} asks in {len(ways)} ways" if ways else f"{section.path} asks nothing",
            "one of command, tcp, unix",
        )
    section.done()
    return probe


def _host_and_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or any(character.isspace() for character in text):
        raise Refusal(f'"{text[:80]}" is no address', 'write "127.0.0.1:8080"')
    whole_number(port, 1, PORT_MAX)
    return text


def read_dependencies(parent: Section) -> list[tuple[DependencySpec, Mark]]:
    """Read a list of names, or of {on, kind, signal}; each with its place, to check it later."""
    found: list[tuple[DependencySpec, Mark]] = []
    for node in parent.list("dependencies"):
        dependency = _dependency(parent, node)
        if dependency is None:
            continue
        if any(dependency.on == other.on for other, _ in found):
            parent.report.add(
                node.mark, f'dependencies name "{dependency.on}" twice', "name it once"
            )
        else:
            found.append((dependency, node.mark))
    return found


def _dependency(parent: Section, node: Node) -> DependencySpec | None:
    name = parent.name("dependencies")
    if isinstance(node, Scalar):
        on = parent.convert(node, name, agent_name, None)
        return None if on is None else DependencySpec(on)
    section = parent.open(node, name)
    if section is None:
        return None
    section.require("on", "on: NAME")
    on = section.read("on", agent_name, None)
    kind = section.choice("kind", DependencyKind, DependencyKind.REQUIRED)
    signal = section.read("signal", signal_number, None)
    if signal is not None and kind is DependencyKind.REQUIRED:
        section.refuse(
            "signal",
            f"{section.name('signal')} for a required dependency",
            "remove it: the dependent is stopped; or kind: optional",
        )
    section.done()
    return None if on is None else DependencySpec(on, kind, signal)


def read_watchdog(parent: Section, default: WatchdogSpec) -> WatchdogSpec:
    """Read who speaks for an agent's progress."""
    section = parent.section("watchdog")
    if section is None:
        return default
    witnesses = section.values("witnesses", witness, tuple(sorted(default.witnesses)), least=1)
    watchdog = WatchdogSpec(frozenset(witnesses), section.flag("observe", default.observe))
    section.done()
    return watchdog


def read_recovery(parent: Section, default: RecoverySpec) -> RecoverySpec:
    """Read `recovery: strict`, or a mapping with an optional preset below single actions."""
    node = parent.take("recovery")
    if node is None:
        return default
    if isinstance(node, Scalar):
        return parent.convert(node, parent.name("recovery"), _preset, default)
    section = parent.open(node, parent.name("recovery"))
    if section is None:
        return default
    base = section.read("preset", _preset, default)
    recovery = RecoverySpec(
        cpu_quota=section.read("cpu_quota", _action, base.cpu_quota),
        memory=section.read("memory", _action, base.memory),
        syscall_flood=section.read("syscall_flood", _action, base.syscall_flood),
        crash=section.read("crash", _action, base.crash),
        capability_violation=section.read(
            "capability_violation", _action, base.capability_violation
        ),
        unresponsive=section.read("unresponsive", _action, base.unresponsive),
        policy_violation=section.read("policy_violation", _action, base.policy_violation),
        budget=section.read("budget", _budget_action, base.budget),
        throttle_permille=section.quantity("throttle_share", SHARE, base.throttle_permille, 10),
        cool_down_usec=section.quantity("cool_down", TIME, base.cool_down_usec),
    )
    section.done()
    return recovery


def _preset(text: str) -> RecoverySpec:
    found = PRESETS.get(text)
    if found is None:
        raise Refusal(f'unknown preset "{text[:80]}"', suggest(text, PRESETS))
    return found


def _action(text: str) -> FaultAction:
    return _one_action(text, FAULT_ACTIONS)


def _budget_action(text: str) -> FaultAction:
    return _one_action(text, BUDGET_ACTIONS)


def _one_action(text: str, actions: tuple[FaultAction, ...]) -> FaultAction:
    words = [action.value for action in actions]
    if text not in words:
        raise Refusal(f'"{text[:80]}" is no action here', suggest(text, words))
    return choose(text, FaultAction)
