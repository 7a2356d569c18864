"""The profile guard: measures a with block and tells asmd, as the guide's ProfileGuard does."""

import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from supervisord_asm.client.errors import AsmError

Report = Callable[[str, int, bool], None]
AsyncReport = Callable[[str, int, bool], Awaitable[None]]


class _Measured:
    """What both guards share: the operation's name, its beginning and its outcome."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.error: AsmError | None = None  # why asmd could not be told, after the block
        self._is_success = True
        self._begun_ns = 0

    def set_failed(self) -> None:
        """Count the operation as failed; an exception that leaves the block does so too."""
        self._is_success = False

    def _end(self, kind: type[BaseException] | None) -> tuple[str, int, bool]:
        if kind is not None:
            self.set_failed()
        return self.operation, (time.monotonic_ns() - self._begun_ns) // 1000, self._is_success


class ProfileGuard(_Measured):
    """`with client.profile("answer") as guard:`. Never raises for asmd's sake: see `error`."""

    def __init__(self, operation: str, report: Report) -> None:
        super().__init__(operation)
        self._report = report

    def __enter__(self) -> Self:
        self._begun_ns = time.monotonic_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._report(*self._end(kind))
        except AsmError as error:
            self.error = error


class AsyncProfileGuard(_Measured):
    """`async with client.profile("answer") as guard:`, the same for asyncio."""

    def __init__(self, operation: str, report: AsyncReport) -> None:
        super().__init__(operation)
        self._report = report

    async def __aenter__(self) -> Self:
        self._begun_ns = time.monotonic_ns()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._report(*self._end(kind))
        except AsmError as error:
            self.error = error
