"""Reload plans: what differs, and whether it can be taken up by a running agent."""

from dataclasses import fields, replace

import pytest

from supervisord_asm.core.daemon_spec import DaemonSpec, DefaultsSpec, ProbesMode
from supervisord_asm.core.recovery import PRESETS
from supervisord_asm.core.reload import (
    AT_EXEC,
    DAEMON_AT_START,
    IDENTITY,
    LIMITS_AT_EXEC,
    LIVE,
    AgentChange,
    ChangeKind,
    ReloadPlan,
    plan_reload,
)
from supervisord_asm.core.spec import AgentSpec, LimitsSpec, SourceMark

A = AgentSpec(name="a", command=("true",), agent_id=7, source=SourceMark("a.yaml", 1))
B = AgentSpec(name="b", command=("true",), source=SourceMark("b.yaml", 1))
DAEMON = DaemonSpec()


def plan(old: list[AgentSpec], new: list[AgentSpec]) -> ReloadPlan:
    return plan_reload(DAEMON, old, DAEMON, new)


def test_every_field_of_an_agent_is_in_exactly_one_table() -> None:
    names = [field.name for field in fields(AgentSpec) if field.compare]
    for name in names:
        assert sum(name in table for table in (IDENTITY, AT_EXEC, LIVE)) == 1, name
    assert IDENTITY | set(AT_EXEC) | LIVE == set(names)
    assert {field.name for field in fields(LimitsSpec)} >= LIMITS_AT_EXEC
    assert {field.name for field in fields(DaemonSpec)} >= DAEMON_AT_START


def test_equal_configurations_give_an_empty_plan() -> None:
    moved = replace(A, source=SourceMark("elsewhere.yaml", 99))
    assert plan([A, B], [moved, B]).is_empty
    assert plan([], []).is_empty
    assert not plan([], [A]).is_empty


def test_agents_are_added_and_removed_by_name() -> None:
    assert plan([A], [B]) == ReloadPlan(added=(B,), removed=(A,))


def test_another_id_is_another_agent() -> None:
    other = replace(A, agent_id=8)
    assert plan([A], [other]) == ReloadPlan(added=(other,), removed=(A,))


@pytest.mark.parametrize(("old", "new"), [(None, 7), (7, None)])
def test_an_id_that_is_only_now_written_down_restarts_nothing(
    old: int | None, new: int | None
) -> None:
    (change,) = plan([replace(A, agent_id=old)], [replace(A, agent_id=new)]).changed
    assert change.kind is ChangeKind.LIVE
    assert change.fields == ("agent_id",)


def test_a_hot_patchable_change_needs_no_restart() -> None:
    new = replace(A, limits=LimitsSpec(memory_bytes=1 << 30, pids_max=5), nice=A.nice)
    assert plan([A], [new]).changed == (
        AgentChange(A, new, ("limits.memory_bytes", "limits.pids_max"), ChangeKind.LIVE),
    )


@pytest.mark.parametrize("name", sorted(AT_EXEC))
def test_what_exec_fixes_needs_a_restart_and_says_why(name: str) -> None:
    # Any other value differs; the plan only compares.
    new = replace(A, **{name: "something else"})  # type: ignore[arg-type]  # see above
    (change,) = plan([A], [new]).changed
    assert (change.kind, change.reason) == (ChangeKind.RESTART, AT_EXEC[name])
    assert change.fields == (name,)


def test_rlimits_need_a_restart() -> None:
    (change,) = plan([A], [replace(A, limits=LimitsSpec(nofile=64, pids_max=3))]).changed
    assert change.kind is ChangeKind.RESTART
    assert change.fields == ("limits.pids_max", "limits.nofile")
    assert change.reason == "another resource limit of the process"


def test_several_reasons_are_all_told_once() -> None:
    new = replace(A, command=("false",), environment=(("X", "1"),), environment_pass=("Y",))
    (change,) = plan([A], [new]).changed
    assert change.reason == "another program, another environment"


def test_a_change_of_the_daemons_record_is_told_apart_by_when_it_is_read() -> None:
    new = replace(
        DAEMON,
        probes=ProbesMode.BCC,
        recovery=PRESETS["strict"],
        defaults=DefaultsSpec(environment_pass=("LANG",)),
    )
    assert plan_reload(DAEMON, [A], new, [A]) == ReloadPlan(
        daemon_live=("defaults", "recovery"), daemon_at_start=("probes",)
    )
