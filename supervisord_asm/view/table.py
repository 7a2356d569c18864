"""A table in the guide's manner: titles, a rule of dashes per column, rows. Pure.

A column is as wide as the guide prints it or as its longest cell, whichever is more; so the guide's
values give the guide's text, and longer ones keep their columns apart. The last column is never
padded: no line ends in a space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from supervisord_asm.view.value import Paint, plain


@dataclass(frozen=True, slots=True)
class Column:
    """A title, the least width in characters, and the spaces between it and the next column."""

    title: str
    width: int
    gap: int = 2


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    paint: Paint = plain,
    meanings: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """Return the title line, the rule line and one line per row, without newlines.

    Args:
        columns: what to print, left to right.
        rows: cells, as many per row as there are columns.
        paint: gives colour to padded pieces of text.
        meanings: for each row, each cell's meaning for `paint` ("" for none); None for no colour.
    """
    widths = [
        max(column.width, *map(len, cells), len(column.title))
        for column, *cells in zip(columns, *rows, strict=True)
    ]
    lines = [
        paint(_padded([column.title for column in columns], columns, widths), "title"),
        paint(_padded(["-" * width for width in widths], columns, widths), "rule"),
    ]
    if meanings is None:
        lines += [_padded(row, columns, widths) for row in rows]
    else:
        lines += [
            _padded(row, columns, widths, paint, row_meanings)
            for row, row_meanings in zip(rows, meanings, strict=True)
        ]
    return lines


def _padded(
    cells: Sequence[str],
    columns: Sequence[Column],
    widths: Sequence[int],
    paint: Paint = plain,
    meanings: Sequence[str] | None = None,
) -> str:
    last = len(cells) - 1
    pieces = []
    for index, text in enumerate(cells):
        # Colour goes around the text and not around its padding: an underline would show.
        shown = paint(text, meanings[index]) if meanings and meanings[index] else text
        pieces.append(shown)
        if index < last:
            pieces.append(" " * (widths[index] - len(text) + columns[index].gap))
    return "".join(pieces)
