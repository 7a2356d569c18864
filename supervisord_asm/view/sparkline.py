"""A row of bars of different heights: one character per figure. Pure.

The highest figure has the full bar and 0 has the lowest; what is more than 0 never looks like 0. A
figure that is not known is a dot and no bar: it is not 0.
"""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"


def sparkline(figures: Sequence[int | None]) -> str:
    """Return one character per figure, none of them negative, oldest first."""
    highest = max((figure for figure in figures if figure is not None), default=0)
    return "".join(UNKNOWN if figure is None else _bar(figure, highest) for figure in figures)


def _bar(figure: int, highest: int) -> str:
    # Rounded up, so that only 0 is the lowest bar.
    return _BARS[-(-figure * (len(_BARS) - 1) // highest)] if highest else _BARS[0]
