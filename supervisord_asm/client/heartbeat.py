"""Heartbeats for the time of a block: from a thread, or from a task of the loop.

A thread that beats by itself proves that the process lives, not that it makes progress. With
`needs_progress` a beat is sent only if `progress()` was called since the last one, so an agent
whose work hangs falls silent. The task has no such need as long as the work shares its loop: a loop
that is blocked does not beat either.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from supervisord_asm.client.errors import AsmError

INTERVAL_DEFAULT_S = 10.0


def interval(interval_s: float | None) -> float:
    """Return the time between beats: as given, else half of WATCHDOG_USEC, else ten seconds."""
    if interval_s is not None:
        if interval_s <= 0:
            raise ValueError(f"the interval must be above 0: {interval_s}")
        return interval_s
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isdecimal() and int(text) > 0 else INTERVAL_DEFAULT_S


class _Beats:
    """What both kinds share."""

    def __init__(self, interval_s: float | None, needs_progress: bool) -> None:
        self.interval_s = interval(interval_s)
        self.sent_count = 0
        self.error: AsmError | None = None  # why the last one failed; None when it did not
        self._needs_progress = needs_progress
        self._has_progress = True

    def progress(self) -> None:
        """Say that the work goes on. Cheap: sends nothing."""
        self._has_progress = True

    def _is_due(self) -> bool:
        is_due = self._has_progress or not self._needs_progress
        self._has_progress = False
        return is_due


class Heartbeats(_Beats):
    """`with client.heartbeats():`. A beat that fails is tried again at the next interval."""

    def __init__(
        self, beat: Callable[[], None], interval_s: float | None, needs_progress: bool
    ) -> None:
        super().__init__(interval_s, needs_progress)
        self._beat = beat
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._is_over.clear()
        self._thread = threading.Thread(target=self._run, name="asm-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            if self._is_due():
                try:
                    self._beat()
                    self.sent_count += 1
                    self.error = None
                except AsmError as error:
                    self.error = error
            if self._is_over.wait(self.interval_s):
                return


class AsyncHeartbeats(_Beats):
    """`async with client.heartbeats():`. A beat that fails is tried again at the next interval."""

    def __init__(
        self, beat: Callable[[], Awaitable[None]], interval_s: float | None, needs_progress: bool
    ) -> None:
        super().__init__(interval_s, needs_progress)
        self._beat = beat
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            if self._is_due():
                try:
                    await self._beat()
                    self.sent_count += 1
                    self.error = None
                except AsmError as error:
                    self.error = error
            await asyncio.sleep(self.interval_s)
