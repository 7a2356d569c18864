"""A real terminal for what draws on one: a tmux server of the test's own, with one window.

What is on the screen is what tmux's emulator has made of every byte that the program wrote, so it
is what a person would see. Ended by its own socket; nothing of a user's tmux is touched.
"""

import contextlib
import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.kernel.daemon_host import DEADLINE_S, Part, eventually

_numbers = itertools.count(1)


class Tmux:
    """One window. `lines` is what is on it now."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], width: int, height: int
    ) -> None:
        """Open a window of this size that runs a command line."""
        size = ("-x", str(width), "-y", str(height))
        self._call("-f", "/dev/null", "new-session", "-d", *size, *command, environment=environment)

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names for them ("Enter", "C-c") or as text."""
        self._call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, as somebody who drags its corner."""
        self._call("resize-window", "-x", str(width), "-y", str(height))

    def lines(self, *, with_colours: bool = False) -> list[str]:
        """Return what is on the screen, a string per line; styles as escape sequences, if asked."""
        return self._call("capture-pane", "-p", *(["-e"] if with_colours else [])).split("\n")

    def program(self) -> Part:
        """Return the program that the window's shell is waiting for."""
        shell = self._call("list-panes", "-F", "#{pane_pid}").strip()
        return Part(int(Path(f"/proc/{shell}/task/{shell}/children").read_text()))

    def wait(self, holds: Callable[[list[str]], object], what: str) -> list[str]:
        """Wait until the screen is so, and return it; fail with the screen."""
        seen: list[list[str]] = []

        def look() -> list[str] | None:
            seen[:] = [self.lines()]
            return seen[0] if holds(seen[0]) else None

        try:
            return eventually(look, what)
        except AssertionError:
            print("--- the screen", *seen[0], sep="\n")
            raise

    def wait_text(self, text: str) -> list[str]:
        """Wait until a text is on the screen, and return the screen."""
        return self.wait(lambda lines: any(text in line for line in lines), f"{text!r} to be seen")

    def end(self) -> None:
        """Close the window and end the server."""
        with contextlib.suppress(subprocess.CalledProcessError):  # it may have ended by itself
            self._call("kill-server")

    def _call(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments], env=environment, capture_output=True,
            text=True, check=True, timeout=DEADLINE_S,
        )  # fmt: skip
        return done.stdout


@contextlib.contextmanager
def terminal(
    folder: Path, command: Sequence[str], environment: Mapping[str, str], *, width: int = 80,
    height: int = 24,
) -> Iterator[Tmux]:  # fmt: skip
    """Run a command in a terminal of its own; its socket is in the folder."""
    # A name for each: a server that is ending takes its socket away a moment later.
    tmux = Tmux(folder / f"tmux-{next(_numbers)}.sock")
    tmux.start(command, environment, width, height)
    try:
        yield tmux
    finally:
        tmux.end()
