"""The columns of `asmctl top`: what each is called, how it reads, and by what it is sorted. Pure.

Wide enough together for a terminal of 80 columns with 14 characters of the name; what a wider one
has beyond that goes to the name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.short_figure import (
    cut,
    short_bytes,
    short_count,
    short_duration,
    short_percent,
)


@dataclass(frozen=True, slots=True)
class TopRow:
    """One agent and what only two looks, or a clock, can tell of it."""

    view: AgentView
    network_rate: int | None = None
    """Bytes received and sent per second between the last two looks."""
    uptime_us: int | None = None
    """Since its present run began; None while it does not run."""


@dataclass(frozen=True, slots=True)
class TopColumn:
    """One column. `key` is its name for --sort, `width` its least width in characters.

    `value` is what is sorted by, None where it is not known; `text` is what is shown.
    """

    key: str
    title: str
    width: int
    value: Callable[[TopRow], int | str | None]
    text: Callable[[TopRow], str]
    is_right: bool = True
    is_descending: bool = True
    """The order that people want first: the largest figure, but the first name."""


COLUMNS = (
    TopColumn("id", "ID", 5, lambda row: row.view.agent_id, lambda row: str(row.view.agent_id),
              is_descending=False),
    TopColumn("name", "NAME", 14, lambda row: row.view.name, lambda row: escaped(row.view.name),
              is_right=False, is_descending=False),
    TopColumn("state", "STATE", 9, lambda row: row.view.state, lambda row: escaped(row.view.state),
              is_right=False, is_descending=False),
    TopColumn("cpu", "CPU%", 6, lambda row: row.view.cpu_percent_milli,
              lambda row: short_percent(row.view.cpu_percent_milli)),
    TopColumn("memory", "MEM", 6, lambda row: row.view.memory_bytes,
              lambda row: short_bytes(row.view.memory_bytes)),
    TopColumn("syscalls", "SYSC/S", 6, lambda row: row.view.syscall_rate,
              lambda row: short_count(row.view.syscall_rate)),
    TopColumn("network", "NET/S", 6, lambda row: row.network_rate,
              lambda row: short_bytes(row.network_rate)),
    TopColumn("procs", "PROCS", 5, lambda row: row.view.process_count,
              lambda row: short_count(row.view.process_count)),
    TopColumn("restarts", "RESTARTS", 8, lambda row: row.view.total_restarts,
              lambda row: str(row.view.total_restarts)),
    TopColumn("uptime", "UPTIME", 6, lambda row: row.uptime_us,
              lambda row: short_duration(row.uptime_us)),
)  # fmt: skip
COLUMN_KEYS = tuple(column.key for column in COLUMNS)
NAME_INDEX = COLUMN_KEYS.index("name")
STATE_INDEX = COLUMN_KEYS.index("state")
SORT_DEFAULT = "cpu"


def column_index(key: str) -> int:
    """Return where the column of this key stands. Raises ValueError for no key of a column."""
    return COLUMN_KEYS.index(key)


def column_widths(ids: Sequence[int], width: int) -> list[int]:
    """Return the columns' widths for a terminal of `width` characters, one space between each two.

    The name gets what is over, and in a narrower terminal it stays; the line is cut there.
    """
    widths = [column.width for column in COLUMNS]
    widths[0] = max(widths[0], *map(len, map(str, ids or (0,))))
    widths[NAME_INDEX] += max(width - sum(widths) - len(widths) + 1, 0)
    return widths


def row_texts(row: TopRow, widths: Sequence[int]) -> list[str]:
    """Return the row's cells, each padded to its width; a longer name is cut with an ellipsis."""
    cells = []
    for column, width in zip(COLUMNS, widths, strict=True):
        text = column.text(row)
        if column.is_right:
            cells.append(text.rjust(width))
        else:
            cells.append(cut(text, width).ljust(width))
    return cells


def title_texts(widths: Sequence[int], sorted_by: int, *, is_descending: bool) -> list[str]:
    """Return the titles, padded as the cells; an arrow stands beside the one that is sorted by."""
    arrow = "▼" if is_descending else "▲"
    titles = []
    for index, (column, width) in enumerate(zip(COLUMNS, widths, strict=True)):
        mark = arrow if index == sorted_by else ""
        text = mark + column.title if column.is_right else column.title + mark
        # A title as wide as its column takes the space before it for the arrow.
        titles.append(text.rjust(width) if column.is_right else text.ljust(width))
    return titles
