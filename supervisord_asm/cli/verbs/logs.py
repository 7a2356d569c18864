"""asmctl logs AGENT: what the agent wrote, from its log file, through rotations.

The file is read here and not by asmd: a log of any length costs the daemon nothing. Bytes are
printed as the agent wrote them, control characters included; stdout and stderr both go to stdout,
in the order in which they came, as a pager or grep wants them.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.agent_operand import check_agent
from supervisord_asm.cli.command import Command
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.count_option import read_count
from supervisord_asm.cli.log_records import LogRecord, RecordSplitter
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.rotated_log import RotatedLog
from supervisord_asm.cli.terminal import Terminal

# A reader notices nothing below this, and a stat and a read each time cost 5 µs.
POLL_S = 0.05
GAP = "the log was rotated faster than it could be read: some output is missing"


class LogPrinter:
    """Turns records into what is printed: filtered by stream, with or without timestamps."""

    def __init__(self, stream: bytes | None, *, with_timestamps: bool) -> None:
        self._stream = stream
        self._with_timestamps = with_timestamps
        # Streams that are in the middle of a line: its timestamp has been printed.
        self._open_lines: set[bytes] = set()

    def pieces(self, records: Iterable[LogRecord]) -> Iterator[bytes]:
        """Yield the bytes of each record that is wanted. A foreign line has no stream and shows."""
        for record in records:
            if self._stream is not None and record.stream != self._stream:
                continue
            starts_line = record.stream not in self._open_lines
            if self._with_timestamps and starts_line and record.stamp:
                yield record.stamp + b" "
            yield record.message
            if record.is_full:
                yield b"\n"
                self._open_lines.discard(record.stream)
            else:
                self._open_lines.add(record.stream)

    def last_lines(self, records: Iterable[LogRecord], count: int) -> bytes:
        """Return the last `count` lines. One that has not ended yet is a line too."""
        done: deque[bytes] = deque(maxlen=count)
        begun: dict[bytes, list[bytes]] = {}
        for record in records:
            begun.setdefault(record.stream, []).extend(self.pieces((record,)))
            if record.is_full:
                line = b"".join(begun.pop(record.stream))
                if line:
                    done.append(line)
        done.extend(line for line in map(b"".join, begun.values()) if line)
        return b"".join(done)


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Print the log, then follow it if asked to."""
    agent = check_agent(parsed.operands[0])
    stream = _chosen_stream(parsed)
    last = read_count(parsed, "lines")
    with open_client(parsed) as client:
        path = client.control(Control.INFO, agent=agent)["agent"]["log_path"]
    printer = LogPrinter(stream, with_timestamps=parsed.has("timestamps"))
    splitter = RecordSplitter()
    with RotatedLog(path) as log:
        if last is not None:
            terminal.write_bytes(printer.last_lines(_existing(log, splitter), last))
        while True:
            data = log.read()
            if data:
                terminal.write_bytes(b"".join(printer.pieces(splitter.feed(data))))
            elif parsed.has("follow"):
                time.sleep(POLL_S)
            else:
                break
        if log.is_gap:
            terminal.complain(GAP)
    return 0


def _existing(log: RotatedLog, splitter: RecordSplitter) -> Iterator[LogRecord]:
    while data := log.read():
        yield from splitter.feed(data)


def _chosen_stream(parsed: Parsed) -> bytes | None:
    wants_stdout, wants_stderr = parsed.has("stdout"), parsed.has("stderr")
    if wants_stdout and wants_stderr:
        raise UsageError("--stdout and --stderr exclude each other; both are shown without them")
    if wants_stdout:
        return b"stdout"
    return b"stderr" if wants_stderr else None


COMMAND = Command(
    summary="Show what an agent wrote to stdout and stderr.",
    run=run,
    operands="AGENT",
    least=1,
    most=1,
    options=(
        Option("follow", "keep showing what it writes", short="f"),
        Option("lines", "only the last N lines", short="n", metavar="N"),
        Option("stdout", "only what came from stdout"),
        Option("stderr", "only what came from stderr"),
        Option("timestamps", "begin each line with its time (UTC)", short="t"),
    ),
)
