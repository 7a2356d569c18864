"""What a call can raise: AsmError, an OSError with the call's errno, by kind."""

import errno
import os

from supervisord_asm.api.calls import Call


class AsmError(OSError):
    """A call failed. `errno` is the call's, as docs/calls.md lists them."""


class NoDoor(AsmError):
    """There is no way to asmd: this is no agent, or none with a door (ENOSYS)."""


class NotSupported(AsmError):
    """asmd has no such part, or not yet, or it is switched off (EOPNOTSUPP)."""


class NotPermitted(AsmError, PermissionError):
    """Not for this caller (EPERM)."""


class NoSuchAgent(AsmError, ProcessLookupError):
    """There is no agent of that number (ESRCH)."""


class TryAgain(AsmError, BlockingIOError):
    """Too many calls for now, or asmd is away for the moment (EAGAIN)."""


class TimedOut(AsmError, TimeoutError):
    """No answer in time (ETIMEDOUT). A call with an effect may have been done."""


class OutcomeUnknown(AsmError, ConnectionResetError):
    """asmd went away during a call with an effect, which may have been done (ECONNRESET)."""


_KINDS: dict[int, type[AsmError]] = {
    errno.ENOSYS: NoDoor,
    errno.EOPNOTSUPP: NotSupported,
    errno.EPERM: NotPermitted,
    errno.ESRCH: NoSuchAgent,
    errno.EAGAIN: TryAgain,
    errno.ETIMEDOUT: TimedOut,
    errno.ECONNRESET: OutcomeUnknown,
}


def error_of(call: Call, number: int) -> AsmError:
    """Return the error of a call that failed with this errno."""
    kind = _KINDS.get(number, AsmError)
    doc = (kind.__doc__ or "").split(" (")[0].rstrip(".")
    # By value: some numbers have two names.
    meanings = (text for name, text in call.errors.items() if getattr(errno, name) == number)
    meaning = next(meanings, "")
    why = meaning or (doc if kind is not AsmError else os.strerror(number))
    return kind(number, f"call {int(call.number)} {call.name}: {why}")


def answer_error(call: Call, why: str) -> AsmError:
    """Return the error of an answer that cannot be read (EPROTO)."""
    return AsmError(errno.EPROTO, f"call {int(call.number)} {call.name}: {why}")
