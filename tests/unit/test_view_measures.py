"""The texts of the resource monitor and the profiler, to the last space: measure_texts/*.txt."""

from dataclasses import replace
from pathlib import Path

from supervisord_asm.cli.terminal import painted
from supervisord_asm.core.profiler import OperationStats
from supervisord_asm.core.resources import Rates, Window
from supervisord_asm.core.snapshot import Snapshot, SystemView
from supervisord_asm.view.profile_text import SYSTEM_TITLE, agent_title, profile_text
from supervisord_asm.view.resources_text import join_resources, resources_text
from supervisord_asm.view.usage_text import (
    AgentUsage,
    Lifetime,
    agent_usage_text,
    system_usage_text,
    windows_text,
)

STATS = [
    OperationStats("llm_request", 1, 1, 250_000, 250_000, 250_000, 250_000, 250_000, 250_000),
    OperationStats("spawn", 10, 7, 100, 109, 104, 105, 109, 109),
]
RATES = (Rates(5, 5, 99_870, 1200, 10, 4096), Rates(10, 7, 71_000, 857, 7, None), Rates(60, 7))
USAGE = AgentUsage(100, "fs_monitor", 4_096_000, 8_192_000, RATES)


def kept(name: str) -> str:
    """Return a text that was checked by eye."""
    return (Path(__file__).parent / "measure_texts" / f"{name}.txt").read_text(encoding="utf-8")


def test_a_profile() -> None:
    assert profile_text(agent_title(100), STATS) == kept("profile")


def test_a_profile_without_samples_and_one_that_overflowed() -> None:
    lines = profile_text(SYSTEM_TITLE, [], refused_count=4).splitlines()
    assert lines[1:6] == [
        "Agent Supervision Module - Performance Profile", "=" * 46, "Samples:         0",
        "Successful:      0 (0.0%)", "Failed:          0",
    ]  # fmt: skip
    assert "Not Kept:        4 (too many operations)" in lines
    assert lines[-1].split() == ["-" * 16, "-" * 7, "-" * 7, *["-" * 10] * 6]


def test_columns_stay_apart_when_a_name_is_long() -> None:
    long = OperationStats("o" * 64, 1, 0)
    rows = profile_text("T", [*STATS, long]).splitlines()[-5:]
    assert all(len(row.split()) == 9 for row in rows)
    assert len({len(row) for row in rows}) == 1


def test_failures_are_marked_on_a_terminal_and_nowhere_else() -> None:
    assert "\x1b" not in profile_text("T", STATS)
    marked = [line for line in profile_text("T", STATS, 0, painted).splitlines() if "[33m" in line]
    assert [line.split()[0] for line in marked] == ["spawn"]


def test_one_agents_resources() -> None:
    assert agent_usage_text(USAGE, Lifetime(125_000, None, 77)) == kept("resources")


def test_the_windows_of_an_agent() -> None:
    windows = [Window(5_000_000, 998_700, 4_096, 12, 3, 0), Window(6_000_000, 0, None, None, None)]
    assert windows_text(USAGE, windows) == kept("windows")


def test_all_agents_side_by_side() -> None:
    assert system_usage_text(4_096_000, RATES, [USAGE], {}) == kept("resources_of_all")


def test_what_was_lost_ends_each_text() -> None:
    usage = replace(USAGE, drops={"row_missing": 2})
    ends = "\nDropped Records:\n  row_missing: 2"
    whole = system_usage_text(4_096_000, RATES, [USAGE], usage.drops)
    assert whole.endswith(f"{ends}\n")
    for text in (agent_usage_text(usage, Lifetime(1, 2, 3)), windows_text(usage, [])):
        assert text.endswith(f"{ends} (of all agents)\n")


def test_the_file_has_the_systems_rates_before_the_agents() -> None:
    text = join_resources(SystemView(), [], [], RATES)
    assert text.index("System Usage:") < text.index("System Rates:") < text.index("Per-Agent")
    assert "System Rates" not in resources_text(Snapshot(1, SystemView()))
