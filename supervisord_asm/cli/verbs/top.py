"""asmctl top: the agents live, sorted and filtered, on the whole screen; with --once as a table."""

import os
import sys
import time

from supervisord_asm.api.client import CONTROL_SOCKET
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import TIMEOUT_DEFAULT_S, read_duration_us, read_timeout_s
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.cli.top_rows import TopRows
from supervisord_asm.cli.top_watch import Picture, Watch
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.top_columns import COLUMN_KEYS, COLUMNS, SORT_DEFAULT, TopRow
from supervisord_asm.view.value import cell, state_meaning

INTERVAL_DEFAULT_US = 1_000_000
# The figures are of whole seconds; more often shows nothing but the network's rate anew.
INTERVAL_MIN_US = 100_000


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Show the agents until somebody leaves; with --once, print them and return."""
    interval_s = _read_interval_s(parsed)
    rows = TopRows(
        parsed.text("sort") or SORT_DEFAULT,
        is_reversed=parsed.has("reverse"),
        wanted=parsed.text("filter") or "",
    )
    watch = Watch(
        parsed.text("socket") or CONTROL_SOCKET, read_timeout_s(parsed) or TIMEOUT_DEFAULT_S
    )
    if parsed.has("once"):
        return _print_once(parsed, terminal, watch, rows, interval_s)
    if parsed.has("json"):
        raise UsageError("option --json goes with --once")
    # Keys are read from stdin and Textual draws on stderr; asked for before anything is drawn.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(stream.isatty() for stream in streams) or os.environ.get("TERM") == "dumb":
        raise UsageError("this is no terminal; print one table with --once")
    first = watch.look()
    watch.close()
    try:
        return _show(parsed, rows, first, interval_s)
    except ImportError as error:
        # Only in a tree that somebody runs without the installation's packages.
        terminal.complain(f"{error}; install it with make up, or print one table with --once")
        return code.NO


def _show(parsed: Parsed, rows: TopRows, first: Picture, interval_s: float) -> int:
    color = parsed.text("color")
    if color == "never":
        os.environ["NO_COLOR"] = "1"  # Textual reads it while it is imported
    elif color == "always":
        os.environ.pop("NO_COLOR", None)
    from supervisord_asm.cli.top_app import Settings, TopApp  # 0.2 s, for the screen only

    settings = Settings(
        parsed.text("socket") or CONTROL_SOCKET,
        read_timeout_s(parsed) or TIMEOUT_DEFAULT_S,
        interval_s,
    )
    app = TopApp(settings, rows, first)
    exit_code = app.run(mouse=False)  # so that the terminal's own selecting and copying works
    if app.failure is not None:
        raise app.failure
    assert exit_code is not None, "the view ends by a key, a signal or a failure"
    return exit_code


def _read_interval_s(parsed: Parsed) -> float:
    text = parsed.text("interval")
    interval_us = INTERVAL_DEFAULT_US if text is None else read_duration_us("interval", text)
    if interval_us < INTERVAL_MIN_US:
        raise UsageError("option --interval: at least 100ms")
    return interval_us / 1_000_000


def _print_once(
    parsed: Parsed, terminal: Terminal, watch: Watch, rows: TopRows, interval_s: float
) -> int:
    """Look twice, an interval apart, since a rate needs two looks, and print the second."""
    for pause_s in (interval_s, 0.0):
        picture = watch.look()
        rows.take(picture.agents, picture.at_us)
        time.sleep(pause_s)
    watch.close()
    chosen = rows.rows()
    if parsed.has("json"):
        write_json(terminal, agents=[_record(row) for row in chosen])
        return 0
    columns = [Column(column.title, column.width) for column in COLUMNS]
    cells = [[cell(column.text(row)) for column in COLUMNS] for row in chosen]
    meanings = [
        [state_meaning(row.view.state) if key == "state" else "" for key in COLUMN_KEYS]
        for row in chosen
    ]
    terminal.write("\n".join((*table_lines(columns, cells, terminal.paint, meanings), "")))
    return 0


def _record(row: TopRow) -> dict[str, object]:
    """Return the columns under the names of `asmlist --json`, exact; null where unknown."""
    view = row.view
    return {
        "agent_id": view.agent_id,
        "name": view.name,
        "state": view.state,
        "cpu_percent_milli": view.cpu_percent_milli,
        "memory_bytes": view.memory_bytes,
        "syscall_rate": view.syscall_rate,
        "network_rate": row.network_rate,
        "process_count": view.process_count,
        "total_restarts": view.total_restarts,
        "uptime_us": row.uptime_us,
    }


COMMAND = Command(
    summary="Show the agents live on the whole screen: sort, filter, look closely, kill.",
    run=run,
    options=(
        Option("interval", "look so often (default 1s)", short="i", metavar="TIME"),
        Option("sort", "sort by this column (default cpu)", short="s", metavar="COLUMN",
               choices=COLUMN_KEYS),
        Option("reverse", "sort the other way round", short="r"),
        Option("filter", "only agents with this text in their id, name or state", metavar="TEXT"),
        Option("once", "print one table after one interval and return"),
        JSON,
    ),
)  # fmt: skip
