"""asmctl events: what happened, oldest first; with -f also what happens."""

import json
import time

from supervisord_asm.api.client import Client
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.count_option import read_count
from supervisord_asm.cli.options import Option, Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.events import event_from_json
from supervisord_asm.view.event_line import event_line

# What the daemon keeps in memory (core/history.py); one call may ask for all of it.
RING_LENGTH = 1024
# Half the time in which a person notices a delay; one call of 100 µs each.
POLL_S = 0.1


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the events of the ring, then follow if asked to."""
    since = read_count(parsed, "since") or 0
    last = read_count(parsed, "lines")
    with open_client(parsed) as client:
        records, following = _fetch(client, since)
        _print(records if last is None else records[len(records) - min(last, len(records)) :],
               parsed, terminal)  # fmt: skip
        while parsed.has("follow"):
            time.sleep(POLL_S)
            records, following = _fetch(client, following)
            _print(records, parsed, terminal)
    return 0


def _fetch(client: Client, since: int) -> tuple[list[dict[str, object]], int]:
    answer = client.control(Control.EVENTS, since=since, limit=RING_LENGTH)
    return answer["events"], answer["next"]


def _print(records: list[dict[str, object]], parsed: Parsed, terminal: Terminal) -> None:
    if not records:
        return
    if parsed.has("json"):
        # One object a line, so that a reader can begin before we end.
        lines = [json.dumps(record) for record in records]
    else:
        lines = [f"{record.get('time', '-')} {event_line(event_from_json(record))}"
                 for record in records]  # fmt: skip
    terminal.write("\n".join(lines) + "\n")


COMMAND = Command(
    summary="Show the last 1,024 events, oldest first.",
    run=run,
    options=(
        Option("follow", "keep showing what happens", short="f"),
        Option("lines", "only the last N", short="n", metavar="N"),
        Option("since", "only events after this sequence number", metavar="N"),
        Option("json", "print one JSON object a line"),
    ),
)
