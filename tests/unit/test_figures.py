"""The arithmetic of lifetimes and runs: what cgroups, restarts and daemons leave of counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.core.agent_history import AgentHistory, counters_so_far
from supervisord_asm.core.figures import (
    COUNTERS,
    UNKNOWN,
    ZERO,
    Figures,
    added,
    named,
    raised,
    restored,
    since,
)
from supervisord_asm.core.snapshot import AGENT_FIELDS, AgentView
from supervisord_asm.kernel.sampler import Row
from supervisord_asm.view.agent_info_json import operator_info
from supervisord_asm.view.agent_resources_text import agent_resources_text

FIGURE = st.none() | st.integers(0, 1 << 62)
FIGURES = st.tuples(*[FIGURE] * len(COUNTERS))


def one(figure: int | None) -> Figures:
    """Return figures that are all the same."""
    return (figure,) * len(COUNTERS)


@pytest.mark.parametrize(
    ("earlier", "now", "lifetime"), [(5, 3, 8), (None, 3, 3), (5, None, 5), (0, None, None)]
)
def test_a_lifetime_is_what_is_known_of_it(
    earlier: int | None, now: int | None, lifetime: int | None
) -> None:
    assert added(one(earlier), one(now)) == one(lifetime)


def test_a_run_is_the_rise_since_and_never_less_than_nothing() -> None:
    assert since(one(5), one(8)) == one(3)
    assert since(one(None), one(8)) == one(8)
    assert since(one(8), one(5)) == ZERO  # the counts were lost
    assert since(one(5), UNKNOWN) == UNKNOWN


@given(FIGURES, FIGURES, FIGURES)
def test_runs_add_up_to_the_lifetime(base: Figures, first: Figures, second: Figures) -> None:
    """A base, then two cgroups in one run: their counts are the run's."""
    lifetime = added(added(base, first), second)
    run = since(base, lifetime)
    for index in range(len(COUNTERS)):
        if lifetime[index] is not None:
            assert run[index] == (first[index] or 0) + (second[index] or 0)


@given(FIGURES, FIGURES)
def test_what_is_recorded_only_grows(known: Figures, further: Figures) -> None:
    for before, after in zip(known, raised(known, further), strict=True):
        assert before is None or (after is not None and after >= before)


@given(FIGURES)
def test_figures_read_back(figures: Figures) -> None:
    assert restored(list(figures)) == figures
    assert named(figures) == dict(zip(COUNTERS, figures, strict=True))


def test_a_shorter_list_is_an_older_one_and_an_odd_one_is_none() -> None:
    assert restored([7]) == (7, *UNKNOWN[1:])
    assert restored(["7"]) is None
    assert restored([True]) is None


def test_an_agent_of_an_older_record_has_unknown_counters_and_a_new_one_has_none() -> None:
    old = AgentHistory(1, spawn_count=3, cpu_time_us=9, syscall_count=4)
    assert named(counters_so_far(old))["cpu_time_us"] == 9
    assert named(counters_so_far(old))["network_receive_bytes"] is None
    assert counters_so_far(AgentHistory(1)) == ZERO


def test_every_counter_is_sampled_and_shown() -> None:
    assert set(COUNTERS) <= set(Row._fields)
    assert set(COUNTERS) <= set(AGENT_FIELDS)
    assert set(COUNTERS) <= operator_info(AgentView(1, "a", "active")).keys()


def test_what_is_not_known_is_shown_as_such_and_zero_as_zero() -> None:
    unknown = agent_resources_text(AgentView(1, "a", "active", spawn_count=1, run=named(UNKNOWN)))
    assert "Block Read:      unknown\n" in unknown
    assert "Sockets:         unknown\n" in unknown
    assert "  Run Block Read:      unknown\n" in unknown[unknown.index("Last Run:") :]
    known = AgentView(1, "a", "active", spawn_count=1, started_us=5, run=named(ZERO), io_ops=0)
    text = agent_resources_text(known)
    assert "IO Calls:        0\n" in text
    assert "Present Run:\n  Run CPU Time:        0 μs\n" in text
    assert " 0" not in unknown


def test_every_name_is_in_the_file_once() -> None:
    text = agent_resources_text(AgentView(1, "a", "active", spawn_count=1, run=named(ZERO)))
    names = [line.partition(":")[0].strip() for line in text.splitlines() if ":" in line]
    assert len(names) == len(set(names)) > 30


def test_an_agent_that_never_ran_has_no_run() -> None:
    assert "Run" not in agent_resources_text(AgentView(1, "a", "stopped", run=named(ZERO)))
