"""What `asmctl top` shows, without a terminal: order, filter, rates, lines, one table for scripts.

The screen itself is tested on a real terminal, tests/kernel/test_top.py.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.asmctl import VERBS, dispatch
from supervisord_asm.cli.top_rows import TopRows, in_order, matches, rate_per_s
from supervisord_asm.cli.windows import read_windows
from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.resources import Window
from supervisord_asm.core.snapshot import (
    AGENT_FIELDS,
    AgentView,
    SystemView,
    agent_to_json,
    system_to_json,
)
from supervisord_asm.view.top_columns import (
    COLUMN_KEYS,
    COLUMNS,
    TopRow,
    column_index,
    column_widths,
    row_texts,
    title_texts,
)
from supervisord_asm.view.top_detail import (
    FIGURES,
    TOLD_IN_WORDS,
    detail_lines,
    figure_label,
    figure_text,
)
from supervisord_asm.view.top_header import header_lines, is_alarming
from tests.fake_asmd import FakeAsmd

SECOND = 1_000_000
IDLE = AgentView(100, "idle", "active", cpu_percent_milli=0, memory_bytes=5, started_us=1)
BUSY = AgentView(101, "busy", "active", cpu_percent_milli=99_000, memory_bytes=1 << 20)
GONE = AgentView(102, "gone", "stopped")


def ids(rows: list[TopRow]) -> list[int]:
    """Return the agents' ids, in the order of the rows."""
    return [row.view.agent_id for row in rows]


def told(*views: AgentView, at_us: int = 10 * SECOND, **settings: Any) -> TopRows:
    """Return rows that have been told of one look."""
    rows = TopRows(**settings)
    rows.take(views, at_us)
    return rows


# -- Order and filter.


def test_the_busiest_comes_first_and_the_unknown_last_either_way_round() -> None:
    rows = told(GONE, IDLE, BUSY)
    assert ids(rows.rows()) == [101, 100, 102]
    rows.is_reversed = True
    assert ids(rows.rows()) == [100, 101, 102]


@pytest.mark.parametrize("key", COLUMN_KEYS)
def test_equal_agents_go_by_rising_id_in_every_order(key: str) -> None:
    views = [replace(GONE, agent_id=number, name="same") for number in (3, 1, 2)]
    rows = [TopRow(view) for view in views]
    column = column_index(key)
    assert ids(in_order(rows, column, is_descending=False)) == [1, 2, 3]
    wanted = [3, 2, 1] if key == "id" else [1, 2, 3]
    assert ids(in_order(rows, column, is_descending=True)) == wanted


def test_names_begin_with_a_and_figures_with_the_largest() -> None:
    assert ids(told(IDLE, BUSY, GONE, sort="name").rows()) == [101, 102, 100]
    assert ids(told(IDLE, BUSY, GONE, sort="memory").rows()) == [101, 100, 102]
    assert ids(told(IDLE, BUSY, GONE, sort="memory", is_reversed=True).rows()) == [100, 101, 102]


def test_the_same_column_again_is_the_other_way_round() -> None:
    rows = told(IDLE, BUSY)
    rows.sort_by(column_index("name"))
    assert ids(rows.rows()) == [101, 100]
    rows.sort_by(column_index("name"))
    assert ids(rows.rows()) == [100, 101]
    rows.sort_by(column_index("cpu"))
    assert rows.is_descending


def test_the_columns_beside_are_reached_round_the_end() -> None:
    rows = TopRows("uptime")
    rows.sort_beside(1)
    assert rows.sorted_by == column_index("id")
    rows.sort_beside(-1)
    assert rows.sorted_by == column_index("uptime")


@pytest.mark.parametrize(
    ("wanted", "found"), [("", True), ("ID", True), ("10", True), ("act", True), ("x", False)]
)
def test_a_filter_looks_in_id_name_and_state(wanted: str, found: bool) -> None:
    assert matches(IDLE, wanted) is found


def test_a_filter_narrows_and_the_total_stays() -> None:
    rows = told(IDLE, BUSY, GONE, wanted="stopped")
    assert ids(rows.rows()) == [102]
    assert rows.total == 3


# -- Rates.


@pytest.mark.parametrize(
    ("before", "now", "rate"),
    [
        (None, (5, SECOND), None),
        ((5, 0), (5, SECOND), 0),
        ((0, 0), (3000, 2 * SECOND), 1500),
        ((3000, 0), (5, SECOND), None),
        ((0, SECOND), (5, SECOND), None),
    ],
)
def test_a_rate_needs_two_looks_and_a_counter_that_did_not_fall(
    before: tuple[int, int] | None, now: tuple[int, int], rate: int | None
) -> None:
    assert rate_per_s(before, now) == rate


def test_network_is_what_came_and_went_between_two_looks() -> None:
    rows = TopRows()
    for at_s, received in ((10, 1000), (12, 5000)):
        view = replace(IDLE, network_receive_bytes=received, network_transmit_bytes=7)
        rows.take([view, BUSY], at_s * SECOND)
    assert [(row.view.agent_id, row.network_rate) for row in rows.all_rows()] == [
        (100, 2000),
        (101, None),
    ]


def test_uptime_is_of_the_present_run_and_unknown_without_one() -> None:
    rows = told(IDLE, GONE, at_us=60 * SECOND + 1)
    assert [row.uptime_us for row in rows.all_rows()] == [60 * SECOND, None]


# -- Lines.


def test_eighty_columns_hold_every_column_and_a_wider_name_gets_the_rest() -> None:
    widths = column_widths([100], 80)
    assert sum(widths) + len(widths) - 1 == 80
    assert sum(column_widths([100], 120)) == sum(widths) + 40
    assert column_widths([2**31 - 1], 80)[0] == 10
    assert len(column_widths([], 20)) == len(COLUMNS)


def test_a_row_says_a_dash_for_what_is_not_known() -> None:
    cells = row_texts(TopRow(GONE), column_widths([102], 80))
    assert [text.strip() for text in cells] == [
        "102", "gone", "stopped", "-", "-", "-", "-", "-", "0", "-",
    ]  # fmt: skip


def test_a_long_name_is_cut_and_a_hostile_one_is_spelled_out() -> None:
    row = TopRow(replace(IDLE, name="a\x1b[2J" + "b" * 40, state="x\n"))
    cells = row_texts(row, column_widths([100], 80))
    assert cells[1].startswith("a\\x1b[2Jbb")
    assert cells[1].endswith("…")
    assert "\n" not in "".join(cells)


def test_an_arrow_marks_the_column_that_is_sorted_by() -> None:
    widths = column_widths([100], 80)
    for index, column in enumerate(COLUMNS):
        titles = title_texts(widths, index, is_descending=True)
        assert [text.strip() for text in titles if "▼" in text] == [
            f"▼{column.title}" if column.is_right else f"{column.title}▼"
        ]
        assert all(len(text) <= width + 1 for text, width in zip(titles, widths, strict=True))


SYSTEM = SystemView(version="0.1.0", tier={"counting": "bpf"})


def test_the_head_sums_what_is_known_and_says_what_is_not() -> None:
    rows = told(IDLE, BUSY, GONE).all_rows()
    lines = header_lines(SYSTEM, rows, "12:00:00")
    assert lines == [
        "asmd 0.1.0  12:00:00  agents 3: 2 active, 1 stopped",
        "CPU 99.0%  memory 1.0M  syscalls unknown  network unknown  drops none",
        "counting: bpf",
        "degraded: nothing",
    ]
    assert not is_alarming(SYSTEM)


def test_the_head_shows_what_was_lost_and_what_is_off() -> None:
    system = replace(SYSTEM, drops={"exec ring": 3, "log": 0}, degraded=("a\x07b", "c"))
    lines = header_lines(system, [], "12:00:00")
    assert lines[0].endswith("agents 0")
    assert lines[1].endswith("drops exec ring 3")
    assert lines[3] == "degraded: a\\x07b (and 1 more: asmctl doctor)"
    assert is_alarming(system)
    assert is_alarming(replace(SYSTEM, drops={"log": 1}))


def test_every_field_of_a_view_is_a_figure_or_told_in_words() -> None:
    assert set(FIGURES) | TOLD_IN_WORDS == set(AGENT_FIELDS)
    assert all(isinstance(getattr(IDLE, name), int | None) for name in FIGURES)


@pytest.mark.parametrize(
    ("name", "value", "label", "text"),
    [
        ("cpu_time_us", 1_234_567, "cpu time", "1.234 s"),
        ("cpu_percent_milli", 12_345, "cpu", "12.3%"),
        ("memory_anon_bytes", 1536, "memory anon", "1.5K"),
        ("context_switch_count", 12_345, "context switches", "12,345"),
        ("process_count", 1, "processes", "1"),
        ("crash_count", 0, "crashes", "0"),
        ("syscall_rate", 1000, "syscall rate", "1,000/s"),
        ("started_us", 40 * SECOND, "started", "20 seconds ago"),
        ("socket_count", None, "sockets", "unknown"),
    ],
)
def test_a_figure_reads_as_its_name_says(
    name: str, value: int | None, label: str, text: str
) -> None:
    assert figure_label(name) == label
    assert figure_text(name, value, 60 * SECOND) == text


def detail(*windows: Window, view: AgentView = IDLE, width: int = 80) -> list[str]:
    """Return the panel of an agent that has had one hostile event."""
    event = Event(EventType.FAULT, 100, 5, 10**18, data={"description": "out\x1b]0;x\x07"})
    return detail_lines(view, windows, [event], 60 * SECOND, width)


def test_the_detail_shows_every_figure_once_and_unknown_ones_as_unknown() -> None:
    text = "\n".join(detail(width=80))
    for name in FIGURES:
        assert figure_label(name) in text
    unknown = sum(getattr(IDLE, name) is None for name in FIGURES)
    assert text.count("  unknown") == unknown
    assert not any(char in text for char in "\x1b\x07")
    assert "out\\x1b]0;x\\x07" in text


@pytest.mark.parametrize("width", [10, 79, 80, 120, 200])
def test_the_figures_fold_into_as_many_columns_as_fit(width: int) -> None:
    figures = [line for line in detail(width=width) if line.startswith(("restarts", "spawns"))]
    assert all(len(line) <= max(width, 40) for line in figures)


def test_the_last_minute_is_drawn_and_what_is_not_counted_is_said() -> None:
    windows = [Window(at * SECOND, at * 100_000, 1 << at, at, None) for at in range(4)]
    lines = detail(*windows)
    first = lines.index("Last 4 s, one bar a second")
    assert lines[first + 1 : first + 8] == [
        "CPU: 30.0%, at most 30.0%",
        "▁▄▆█",
        "Memory: 8B, at most 8B",
        "▂▃▅█",
        "Syscalls: 3/s, at most 3/s",
        "▁▄▆█",
        "Network: unknown",
    ]


def test_an_agent_without_windows_says_so() -> None:
    assert "No window of a second has been closed since it was started." in detail()


def test_limits_and_paths_stand_in_the_detail() -> None:
    view = replace(IDLE, limits={"pids_max": 5}, cgroup="/a/b", log_path="/l", user="u", uid=7)
    lines = detail(view=view)
    assert "limit Process Limit 5: unknown" in lines
    assert "cgroup /a/b" in lines
    assert lines[0].endswith("user u (uid 7)")


def test_windows_are_read_from_a_newer_asmd_too() -> None:
    window = {"timestamp_us": 1, "cpu_time_us": 2, "memory_bytes": None, "syscall_count": 3,
              "io_ops": 4, "network_bytes": 5, "of_tomorrow": 6}  # fmt: skip
    assert read_windows({"windows": [window], "rates": {}}) == [Window(1, 2, None, 3, 4, 5)]


# -- The command.


def answer(verb: int, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Answer as an asmd with three agents would."""
    del request
    if verb == Control.STATUS:
        return 0, {"system": system_to_json(SYSTEM)}
    return 0, {"agents": [agent_to_json(view) for view in (IDLE, BUSY, GONE)], "next": None}


def top(tmp_path: Path, *arguments: str) -> int:
    """Run the verb against a stand-in."""
    with FakeAsmd(tmp_path / "control.sock", answer) as asmd:
        return dispatch(["top", f"--socket={asmd.path}", "--interval=100ms", *arguments])


def test_once_prints_one_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert top(tmp_path, "--once") == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines[0] == [column.title for column in COLUMNS]
    assert [line[:4] for line in lines[2:]] == [
        ["101", "busy", "active", "99.0"],
        ["100", "idle", "active", "0.0"],
        ["102", "gone", "stopped", "-"],
    ]
    assert {len(line) for line in lines} == {len(COLUMNS)}


def test_once_sorts_and_filters_as_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--once", "--json", "--sort", "name", "--reverse", "--filter", "active")
    assert top(tmp_path, *options) == 0
    agents = json.loads(capfd.readouterr().out)["agents"]
    assert [agent["name"] for agent in agents] == ["idle", "busy"]
    assert agents[0]["syscall_rate"] is None
    assert agents[1]["cpu_percent_milli"] == 99_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "this is no terminal; print one table with --once"),
        (("--json",), "option --json goes with --once"),
        (("--once", "--sort", "beauty"), '"beauty" is none of id, name'),
        (("--once", "--interval", "1ms"), "at least 100ms"),
    ],
)
def test_a_wrong_line_is_told_what_is_right(
    arguments: tuple[str, ...], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert top(tmp_path, *arguments) == 2
    assert words in capfd.readouterr().err


def test_without_asmd_it_ends_as_every_command_does(tmp_path: Path) -> None:
    assert dispatch(["top", "--once", f"--socket={tmp_path / 'nobody.sock'}"]) == 3


def test_no_verb_loads_a_heavy_library_before_it_draws() -> None:
    code = (
        "import sys\nfrom supervisord_asm.cli.asmctl import load_verb\n"
        f"for verb in {list(VERBS)}: load_verb(verb)\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "supervisord_asm" in loaded
    assert not loaded & {"textual", "rich", "matplotlib", "numpy", "PIL", "asyncio"}
