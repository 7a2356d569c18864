"""Where a command's words go: stdout, stderr, and colour only where a person is looking.

`--color=auto` colours when stdout is a terminal that can, and NO_COLOR is not set to something
(https://no-color.org); `always` and `never` overrule both. Whole texts are written at once, so that
`watch` and a pipe see no half table.
"""

import os
import select
import sys
from collections.abc import Callable, Mapping

from supervisord_asm.view.value import Paint, plain

COLOR_CHOICES = ("auto", "always", "never")

_SGR = {
    "title": "1",
    "rule": "2",
    "good": "32",
    "warn": "33",
    "bad": "31",
    "faint": "2",
}


def painted(text: str, meaning: str) -> str:
    """Return `text` in its meaning's colour: the Paint of terminals."""
    code = _SGR.get(meaning)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


def choose_paint(color: str, *, is_terminal: bool, environment: Mapping[str, str]) -> Paint:
    """Return the Paint for a `--color` value."""
    if color == "auto":
        is_wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return painted if is_terminal and is_wanted else plain
    return painted if color == "always" else plain


class Terminal:
    """The two streams of one command. `name` is how the command calls itself in errors."""

    def __init__(self, name: str, paint: Paint = plain) -> None:
        self.name = name
        self.paint: Callable[[str, str], str] = paint

    def write(self, text: str) -> None:
        """Write text to stdout, whatever the locale: what it cannot spell becomes "?"."""
        encoding = sys.stdout.encoding or "utf-8"
        self.write_bytes(text.encode(encoding, "replace"))

    def write_bytes(self, data: bytes) -> None:
        """Write bytes to stdout, as they are and at once."""
        _write_all(sys.stdout.fileno(), data)

    def write_error_bytes(self, data: bytes) -> None:
        """Write bytes to stderr, as they are and at once."""
        _write_all(sys.stderr.fileno(), data)

    def say(self, message: str) -> None:
        """Write one line to stderr as it is; for the guide's own error texts."""
        self.write_error_bytes(f"{message}\n".encode(errors="backslashreplace"))

    def complain(self, message: str) -> None:
        """Write "command: message" to stderr as one line."""
        # asmd names a command line as it names a file: by what it is called, which is ours.
        self.say(f"{self.name}: {message.removeprefix(f'{self.name}: ')}")


def _write_all(fd: int, data: bytes) -> None:
    # Not through sys.stdout's buffer: a signal handler may print too, and a buffer that a closed
    # pipe left full would complain again at exit.
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # A program before us left the terminal non-blocking; wait as if it were not.
            select.select([], [fd], [])
