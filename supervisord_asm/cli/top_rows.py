"""The table behind `asmctl top`: which agents, in which order, with which rates. Pure.

It is told of each look at asmd and keeps of the last one only what a rate needs. Knows no clock and
no terminal: callers pass times, view/top_columns.py says how a row reads.
"""

from collections.abc import Iterable, Sequence

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.top_columns import COLUMNS, SORT_DEFAULT, TopRow, column_index

_US_PER_S = 1_000_000


class TopRows:
    """The agents of the last look, sorted and filtered. Sorting is by a column of COLUMNS."""

    def __init__(
        self, sort: str = SORT_DEFAULT, *, is_reversed: bool = False, wanted: str = ""
    ) -> None:
        """Begin empty. `sort` is a column's key; `wanted` is looked for, "" for all agents."""
        self.sorted_by = column_index(sort)
        self.is_reversed = is_reversed
        self.wanted = wanted
        self._rows: list[TopRow] = []
        # Of each agent: its bytes received and sent, and when they were.
        self._network: dict[int, tuple[int, int]] = {}

    @property
    def is_descending(self) -> bool:
        """Whether the largest comes first."""
        return COLUMNS[self.sorted_by].is_descending != self.is_reversed

    @property
    def total(self) -> int:
        """How many agents there are, whatever is looked for."""
        return len(self._rows)

    def take(self, agents: Iterable[AgentView], at_us: int) -> None:
        """Take what a look at `at_us` (CLOCK_BOOTTIME) has shown; the rates are since the last."""
        network: dict[int, tuple[int, int]] = {}
        rows = []
        for view in agents:
            total = network_total_bytes(view)
            rate = None
            if total is not None:
                network[view.agent_id] = (total, at_us)
                rate = rate_per_s(self._network.get(view.agent_id), (total, at_us))
            uptime_us = None if view.started_us is None else max(at_us - view.started_us, 0)
            rows.append(TopRow(view, rate, uptime_us))
        self._rows, self._network = rows, network

    def rows(self) -> list[TopRow]:
        """Return the rows that are looked for, in order; those without the figure come last."""
        chosen = [row for row in self._rows if matches(row.view, self.wanted)]
        return in_order(chosen, self.sorted_by, is_descending=self.is_descending)

    def all_rows(self) -> Sequence[TopRow]:
        """Return every row, in asmd's order."""
        return self._rows

    def sort_by(self, index: int) -> None:
        """Sort by another column, in its own order; by the same one: the other way round."""
        self.is_reversed = not self.is_reversed if index == self.sorted_by else False
        self.sorted_by = index

    def sort_beside(self, step: int) -> None:
        """Sort by the column `step` places to the right, beginning again at the end."""
        self.sorted_by = (self.sorted_by + step) % len(COLUMNS)
        self.is_reversed = False


def network_total_bytes(view: AgentView) -> int | None:
    """Return what the agent received and sent; None unless both are known."""
    if view.network_receive_bytes is None or view.network_transmit_bytes is None:
        return None
    return view.network_receive_bytes + view.network_transmit_bytes


def rate_per_s(before: tuple[int, int] | None, now: tuple[int, int]) -> int | None:
    """Return what a counter gained per second, from two (count, time in us); None if unknown.

    A counter that fell was begun anew between the two: what it gained is not known.
    """
    if before is None:
        return None
    gained, elapsed_us = now[0] - before[0], now[1] - before[1]
    if gained < 0 or elapsed_us <= 0:
        return None
    return gained * _US_PER_S // elapsed_us


def matches(view: AgentView, wanted: str) -> bool:
    """Tell whether the text occurs in the agent's id, name or state; case does not count."""
    return wanted.casefold() in f"{view.agent_id} {view.name} {view.state}".casefold()


def in_order(rows: Sequence[TopRow], column: int, *, is_descending: bool) -> list[TopRow]:
    """Return the rows sorted by a column. Equal ones go by rising id; unknown ones come last."""
    value = COLUMNS[column].value
    by_id = sorted(rows, key=lambda row: row.view.agent_id)
    keyed = [(value(row), row) for row in by_id]
    known = [(key, row) for key, row in keyed if key is not None]
    known.sort(key=lambda pair: pair[0], reverse=is_descending)
    return [row for _, row in known] + [row for key, row in keyed if key is None]
