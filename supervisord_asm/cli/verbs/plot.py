"""asmctl plot: an agent's last minute as a picture, PNG or SVG."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.plot_panels import METRICS, panel
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.cli.windows import fetch_windows
from supervisord_asm.core.resources import WINDOW_US, Window

KINDS = {".png": "png", ".svg": "svg"}


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for the windows, draw them, put the file in its place."""
    agent = check_agent(parsed.operands[0])
    path, kind = _read_output(parsed.text("output"))
    metrics = _read_metrics(parsed.text("metric"))
    with open_client(parsed) as client:
        view = client.control(Control.INFO, agent=agent)["agent"]
        windows = fetch_windows(client, agent)
    if not windows:
        terminal.complain(f"agent {agent} has no closed window: it does not run, or only just")
        return code.NO
    from supervisord_asm.cli.plot_drawing import draw  # with matplotlib 1 s; only to draw

    try:
        picture = draw(
            [panel(METRICS[name], windows) for name in metrics],
            f"{view['name']} (agent {view['agent_id']})",
            f"time (s); 0 is {_wall_clock(windows)}",
            kind,
        )
    except ImportError as error:
        terminal.complain(f'{error}; install it with make up, or as "supervisord-asm[plot]"')
        return code.NO
    _write(path, picture)
    return code.OK


def _read_output(text: str | None) -> tuple[str, str]:
    """Return the path and what kind of picture it is to hold. Raises UsageError."""
    if text is None:
        raise UsageError("option --output is missing: --output FILE.png or FILE.svg")
    kind = KINDS.get(os.path.splitext(text)[1].lower())
    if kind is None:
        raise UsageError(f'option --output: "{text}" ends neither in .png nor in .svg')
    return text, kind


def _read_metrics(text: str | None) -> list[str]:
    """Return the metrics in the order in which they are named, each once. Raises UsageError."""
    if text is None:
        return list(METRICS)
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METRICS:
            raise UsageError(
                f'option --metric: there is no metric "{name}"{_did_you_mean(name)}'
                f"; there are {', '.join(METRICS)}"
            )
    return names


def _did_you_mean(name: str) -> str:
    import difflib  # 4 ms, and only for a mistake

    close = difflib.get_close_matches(name, METRICS, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _wall_clock(windows: Sequence[Window]) -> str:
    """Return when the last window ended, as the clock on the wall had it."""
    end_us = windows[-1].timestamp_us + WINDOW_US
    ago_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000 - end_us
    end = time.gmtime((time.time_ns() // 1_000 - ago_us) // 1_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", end)


def _write(path: str, picture: bytes) -> None:
    """Put the file in its place at once. Raises OSError.

    Whatever stands there is replaced and not written into: in a folder of somebody else's it might
    be a link to a file of ours.
    """
    new = f"{path}.{os.getpid()}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "wb") as file:
            file.write(picture)
        os.replace(new, path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise


COMMAND = Command(
    summary="Draw an agent's last minute into a PNG or SVG file.",
    run=run,
    operands="AGENT",
    least=1,
    most=1,
    options=(
        Option("output", "the file, *.png or *.svg", short="o", metavar="FILE"),
        Option("metric", f"what to draw (default {','.join(METRICS)})", short="m",
               metavar="METRIC,..."),
    ),
)  # fmt: skip
