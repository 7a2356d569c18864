"""asmctl run --wait: this process stands in for the agent.

What the agent writes comes out of this process's stdout and stderr byte for byte, each on its own,
read from the agent's log file from where this run began. Its exit code is ours, 128 + n if signal
n ended it. Ctrl-C stops the agent and gives 130, a second one kills it; SIGTERM and SIGHUP stop it
too (143, 129). A closed stdout stops it as SIGPIPE would have (141).

One thread waits for the answer to WAIT, which asmd gives when the run has ended and its log is
complete; the main thread follows the log meanwhile and to its end after. An asmd that is restarted
in between loses nothing: agents live on, the log is drained by the keeper, and WAIT is asked again.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from supervisord_asm.api.client import ClientError, Refused, Unreachable
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import exit as code
from supervisord_asm.cli.connection import open_client
from supervisord_asm.cli.log_records import RecordSplitter
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.rotated_log import RotatedLog
from supervisord_asm.cli.terminal import Terminal
from supervisord_asm.core.logline import format_time

# How often the log is looked at while nothing comes: the delay that output can have.
POLL_S = 0.02
# A restart of asmd takes a second; a host under load some more. After that it is not coming back.
RECONNECT_S = 30.0
RECONNECT_POLL_S = 0.1

# A log of 10 MiB is filled in 20 ms at the quickest, and can be opened until the next one is filled
# too; the scheduler and a busy disk take most of that time. Without output there is no hurry.
ROTATION_POLL_S = 0.001
ROTATION_POLL_IDLE_S = 0.05
IDLE_AFTER_POLLS = 200

# A record's time may be read from a clock that ticks every 4 ms. An agent is born later than that
# after the request, and what an earlier run wrote is older.
CLOCK_SLACK_NS = 4_000_000

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AttachedRun:
    """One run, from its start to its end. Use once."""

    def __init__(self, parsed: Parsed, terminal: Terminal) -> None:
        self._parsed = parsed
        self._terminal = terminal
        # The answer to RUN; None until asmd has given it.
        self._started: Mapping[str, Any] | None = None
        self._ended = threading.Event()
        self._ending: Mapping[str, Any] = {}
        self._failure: ClientError | None = None
        self._stop_signals: list[int] = []

    def run(self, request: Mapping[str, Any]) -> int:
        """Start the agent and pass its output on until it has ended. Returns the exit code."""
        for number in _STOPPING_SIGNALS:
            signal.signal(number, self._on_signal)
        begun = format_time(time.time_ns() - CLOCK_SLACK_NS).encode()
        with open_client(self._parsed, is_patient=True) as client:
            self._started = client.control(Control.RUN, **request)
        if self._stop_signals:
            self._ask_to_end(Control.STOP)
        threading.Thread(target=self._await_end, daemon=True).start()
        try:
            self._pass_output_on(
                RotatedLog.of_run(self._started["log_path"], self._started["log_offset"], begun)
            )
        except BrokenPipeError:
            self._ask_to_end(Control.STOP)
            return 128 + signal.SIGPIPE
        if self._stop_signals:
            return 128 + self._stop_signals[0]
        if self._failure is not None:
            raise self._failure
        return exit_code(self._ending)

    def _pass_output_on(self, opened: RotatedLog) -> None:
        splitter = RecordSplitter()
        with opened as log, _watched(log):
            while True:
                # Asked before the read: what was written before the end is then read to the end.
                is_over = self._ended.is_set()
                data = log.read()
                if data:
                    self._write(splitter, data)
                elif is_over:
                    break
                else:
                    self._ended.wait(POLL_S)
            if log.is_gap:
                self._terminal.complain("output came faster than it could be read: some is missing")

    def _write(self, splitter: RecordSplitter, data: bytes) -> None:
        for stream, payload in splitter.feed_bytes(data):
            if stream == b"stderr":
                self._terminal.write_error_bytes(payload)
            else:
                self._terminal.write_bytes(payload)

    def _await_end(self) -> None:
        assert self._started is not None, "only a run that has started is awaited"
        request = {"agent": str(self._started["agent_id"]), "run": self._started["run"]}
        deadline_s = time.monotonic() + RECONNECT_S
        while True:
            try:
                with open_client(self._parsed) as client:
                    client.set_timeout(None)
                    deadline_s = time.monotonic() + RECONNECT_S
                    self._ending = client.control(Control.WAIT, **request)
                break
            except Unreachable as error:
                if time.monotonic() >= deadline_s:
                    self._failure = error
                    break
                time.sleep(RECONNECT_POLL_S)
            except Refused as error:
                self._failure = error
                break
        self._ended.set()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Stop the agent at once, even while the main thread is blocked in a write."""
        self._stop_signals.append(number)
        if self._started is None:
            # It may be born at any moment and would then be left alone: wait for the answer, which
            # names it. Whoever insists may leave.
            if len(self._stop_signals) > 1:
                raise KeyboardInterrupt
        elif len(self._stop_signals) > 2:
            self._ended.set()  # the third time: leave, whatever the agent does
        else:
            self._ask_to_end(Control.STOP if len(self._stop_signals) == 1 else Control.KILL)

    def _ask_to_end(self, verb: Control) -> None:
        assert self._started is not None, "only what has started can be ended"
        agent_id = self._started["agent_id"]
        try:
            with open_client(self._parsed) as client:
                client.control(verb, agents=[str(agent_id)], all=False, wait=False)
        except ClientError as error:
            self._terminal.complain(f"unable to stop agent {agent_id}: {error}")


@contextlib.contextmanager
def _watched(log: RotatedLog) -> Iterator[None]:
    """Look for rotations from a thread of its own, while we may be blocked in a write.

    An agent may fill and rotate its log several times in the second that a disk makes us wait.
    """
    is_done = threading.Event()

    def watch() -> None:
        seen_bytes = polls_without = 0
        is_idle = False
        while not is_done.wait(ROTATION_POLL_IDLE_S if is_idle else ROTATION_POLL_S):
            log.notice_rotation()
            polls_without = polls_without + 1 if log.read_bytes == seen_bytes else 0
            seen_bytes = log.read_bytes
            is_idle = polls_without > IDLE_AFTER_POLLS

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def exit_code(ending: Mapping[str, Any]) -> int:
    """Return what a shell would give for this end: the code, or 128 + the signal."""
    if ending.get("code") is not None:
        return int(ending["code"])
    if ending.get("signal") is not None:
        return 128 + int(ending["signal"])
    return code.NO
