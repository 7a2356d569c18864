"""asmctl version: of this program, and of the daemon when it answers."""

from supervisord_asm import __version__
from supervisord_asm.api.client import Unreachable
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print both versions. A daemon that does not run is no failure of this verb."""
    daemon_version: str | None = None
    try:
        with open_client(parsed) as client:
            daemon_version = client.control(Control.STATUS)["system"].get("version")
    except Unreachable:
        pass  # said below: the question was which version this is, and that is known
    if parsed.has("json"):
        write_json(terminal, asmctl=__version__, asmd=daemon_version)
    else:
        terminal.write(f"asmctl {__version__}\nasmd   {daemon_version or '- (no answer)'}\n")
    return 0


COMMAND = Command(summary="Show the versions of asmctl and asmd.", run=run, options=(JSON,))
