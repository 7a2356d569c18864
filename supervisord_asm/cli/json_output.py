"""What --json prints: one object, indented, with the version of its schema first."""

import json
from typing import Any

from supervisord_asm.cli.terminal import Terminal

# Rises when a member changes its meaning or goes; members may be added under the same number.
SCHEMA = 1


def write_json(terminal: Terminal, **members: Any) -> None:
    """Print one object. ASCII: what a terminal or a log cannot show is escaped by JSON itself."""
    terminal.write(json.dumps({"schema": SCHEMA, **members}, indent=2) + "\n")
