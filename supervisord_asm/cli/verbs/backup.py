"""asmctl backup PATH: a consistent copy of the journal, taken while asmd runs."""

import os

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Have asmd write the copy; the path is made absolute here, since asmd has another cwd."""
    path = os.path.abspath(parsed.operands[0])
    with open_client(parsed, is_patient=True) as client:
        client.control(Control.BACKUP, path=path)
    terminal.write(f"{path}\n")
    return 0


COMMAND = Command(
    summary="Write a consistent copy of the journal to PATH while asmd runs.",
    run=run,
    operands="PATH",
    least=1,
    most=1,
)
