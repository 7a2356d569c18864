"""The table of `asmctl top` on the screen: draws the rows that are to be seen, and no others.

So a thousand agents cost as much as the screen has lines. The line that the cursor is on is an
agent, not a place: it stays on the agent when the order changes. What the cells say is
view/top_columns.py's business.
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from supervisord_asm.view.top_columns import (
    NAME_INDEX,
    STATE_INDEX,
    TopRow,
    column_widths,
    row_texts,
    title_texts,
)
from supervisord_asm.view.value import state_meaning

# Colours are the terminal's own sixteen: it knows what can be read on its background.
_STYLES = {
    "good": Style(color="green"),
    "warn": Style(color="yellow"),
    "bad": Style(color="red", bold=True),
    "faint": Style(dim=True),
}
_TITLE = Style(bold=True, reverse=True)
_SORTED_TITLE = Style(bold=True, reverse=True, underline=True)
_PLAIN = Style.null()
_CURSOR = Style(reverse=True)
_STALE = Style(dim=True)


class AgentTable(Widget, can_focus=True):
    """The rows, a title line that stays, and a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)"),
        Binding("down", "move(1)"),
        Binding("pageup", "page(-1)"),
        Binding("pagedown", "page(1)"),
        Binding("home", "end(-1)"),
        Binding("end", "end(1)"),
        Binding("enter", "choose"),
    ]

    class Moved(Message):
        """The cursor stands on another agent."""

    class Chosen(Message):
        """Enter was pressed on the agent under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[TopRow] = ()
        self._titles: tuple[int, bool] = (0, False)
        self._widths: list[int] = []
        self._cursor = 0
        self._top = 0
        self._is_stale = False

    @property
    def row(self) -> TopRow | None:
        """The row under the cursor; None in an empty table."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def place(self) -> tuple[int, int]:
        """The cursor's line, from 1, and how many there are; (0, 0) in an empty table."""
        return (self._cursor + 1 if self._rows else 0), len(self._rows)

    def show(
        self, rows: Sequence[TopRow], sorted_by: int, *, is_descending: bool, is_stale: bool
    ) -> None:
        """Show these rows in this order; the cursor stays on its agent if that is among them."""
        before = self.row
        self._rows = rows
        self._titles = (sorted_by, is_descending)
        self._is_stale = is_stale
        if before is not None:
            self._cursor = next(
                (
                    index
                    for index, row in enumerate(rows)
                    if row.view.agent_id == before.view.agent_id
                ),
                min(self._cursor, max(len(rows) - 1, 0)),
            )
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the widget: the titles, a row, or nothing."""
        if y == 0:
            return self._title_line()
        index = self._top + y - 1
        if index >= len(self._rows):
            return Strip.blank(self.size.width, _PLAIN)
        return self._row_line(self._rows[index], is_under_cursor=index == self._cursor)

    def on_resize(self, event: Resize) -> None:
        """Fit the columns and keep the cursor in sight."""
        del event
        self._lay_out()

    def action_move(self, step: int) -> None:
        """Move the cursor by some lines."""
        self._move_to(self._cursor + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by some screens."""
        self._move_to(self._cursor + step * self._height)

    def action_end(self, side: int) -> None:
        """Move the cursor to the first line (-1) or the last (1)."""
        self._move_to(0 if side < 0 else len(self._rows) - 1)

    def action_choose(self) -> None:
        """Tell that Enter was pressed."""
        if self.row is not None:
            self.post_message(self.Chosen())

    @property
    def _height(self) -> int:
        return max(self.size.height - 1, 1)

    def _move_to(self, index: int) -> None:
        self._cursor = min(max(index, 0), max(len(self._rows) - 1, 0))
        self._lay_out()
        self.post_message(self.Moved())

    def _lay_out(self) -> None:
        self._widths = column_widths([row.view.agent_id for row in self._rows], self.size.width)
        # The cursor is in sight, and no lines are empty that a row could fill.
        self._top = min(self._top, self._cursor, max(len(self._rows) - self._height, 0))
        self._top = max(self._top, self._cursor - self._height + 1)
        self.refresh()

    def _title_line(self) -> Strip:
        sorted_by, is_descending = self._titles
        segments = []
        for index, text in enumerate(
            title_texts(self._widths, sorted_by, is_descending=is_descending)
        ):
            gap = " " if index else ""
            # A title that fills its column has its arrow in the space before it.
            piece = (gap + text)[-(len(gap) + self._widths[index]) :]
            segments.append(Segment(piece, _SORTED_TITLE if index == sorted_by else _TITLE))
        return Strip(segments).adjust_cell_length(self.size.width, _TITLE)

    def _row_line(self, row: TopRow, *, is_under_cursor: bool) -> Strip:
        base = _STALE if self._is_stale else _PLAIN
        if is_under_cursor:
            base += _CURSOR
        meaning = _STYLES.get(state_meaning(row.view.state), _PLAIN)
        segments = []
        for index, text in enumerate(row_texts(row, self._widths)):
            style = base + meaning if index in (NAME_INDEX, STATE_INDEX) else base
            if index:
                segments.append(Segment(" ", base))
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(self.size.width, base)
