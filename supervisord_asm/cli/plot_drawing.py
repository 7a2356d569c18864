"""The panels of `asmctl plot` drawn by matplotlib into the bytes of a PNG or SVG file.

Drawn without pyplot and without a display. matplotlib would obey a file "matplotlibrc" of the
folder that we happen to be in, which may be an agent's while we are root (it can name a program to
set text with); so it is imported from the root folder and told its own defaults.
"""

import contextlib
import io
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from supervisord_asm.cli.plot_panels import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches and dots per inch: 900 pixels wide, as large as a panel of a web page or a ticket shows.
_WIDTH = 9.0
_PANEL_HEIGHT = 2.1
_HEAD_HEIGHT = 0.9
_DPI = 100
_COLOR = "#1f77b4"
_GAP_COLOR = "#dddddd"


def draw(panels: Sequence[Panel], title: str, time_label: str, kind: str) -> bytes:
    """Return the picture. Raises ImportError without matplotlib.

    Args:
        panels: from top to bottom; at least one, all over the same seconds.
        title: stands above all.
        time_label: stands below the axis of time.
        kind: "png" or "svg".
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a first run's talk about fonts
    with contextlib.chdir("/"):
        import matplotlib
        from matplotlib.figure import Figure

    matplotlib.rcdefaults()
    # Text that can be searched, copied and read aloud, and not outlines of its letters.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        height = _HEAD_HEIGHT + _PANEL_HEIGHT * len(panels)
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        figure.suptitle(title, parse_math=False)
        _draw_panels(figure, panels, time_label)
        picture = io.BytesIO()
        figure.savefig(picture, format=kind)
    return picture.getvalue()


def _draw_panels(figure: "Figure", panels: Sequence[Panel], time_label: str) -> None:
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for panel, axes in zip(panels, grid[:, 0], strict=True):
        axes.set_ylabel(panel.label)
        if panel.is_unknown:
            axes.set_yticks([])
            axes.text(
                0.5, 0.5, "unknown: not counted on this host", transform=axes.transAxes,
                ha="center", va="center",
            )  # fmt: skip
        else:
            _draw_values(axes, panel)
    figure.align_ylabels()
    bottom = grid[-1, 0]
    bottom.set_xlim(panels[0].first_s, 0)
    bottom.set_xlabel(time_label, parse_math=False)


def _draw_values(axes: "Axes", panel: Panel) -> None:
    edges = range(panel.first_s, panel.first_s + len(panel.values) + 1)
    values = [math.nan if value is None else value for value in panel.values]
    axes.stairs(values, edges, fill=True, color=_COLOR, alpha=0.25)
    axes.stairs(values, edges, color=_COLOR, linewidth=1.2)
    for begin, end in panel.unknown_spans():
        axes.axvspan(begin, end, color=_GAP_COLOR, hatch="//", label="unknown")
    if panel.unknown_spans():
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[:1], labels[:1], loc="upper left")
    highest = max(value for value in panel.values if value is not None)
    top = highest * 1.1 or 1  # a metric that is 0 throughout still has an axis to be 0 on
    axes.set_ylim(-top / 50, top)  # a line of zeros is to be seen above the frame
    axes.grid(axis="y", alpha=0.4)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
