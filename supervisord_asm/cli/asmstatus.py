"""asmstatus: the system's totals and the last events. Also `asmctl status`."""

import sys
from collections.abc import Sequence
from typing import Any

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command, execute
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.events import event_from_json
from supervisord_asm.core.snapshot import system_from_json
from supervisord_asm.view.asmstatus_text import asmstatus_text


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Ask for the status and print it."""
    with open_client(parsed) as client:
        status = client.control(Control.STATUS)
    if parsed.has("json"):
        write_json(terminal, **status)
        return 0
    records: Sequence[dict[str, Any]] = status.get("recent_events", ())
    events = [event_from_json(record) for record in records]
    system = system_from_json(status["system"])
    terminal.write(asmstatus_text(system, events, terminal.paint))
    return 0


COMMAND = Command(
    summary="Show the system's totals, the last ten events and what is degraded.",
    run=run,
    options=(JSON,),
)


def main() -> int:
    """Run the command line of this process."""
    return execute("asmstatus", COMMAND, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
