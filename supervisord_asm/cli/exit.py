"""The exit codes of every command, and which one an answer of the daemon deserves."""

import errno

OK = 0
# The question was understood and the answer is no: no such agent, not ready, a failed check.
NO = 1
USAGE = 2
UNREACHABLE = 3
# Not allowed: permission or policy.
REFUSED = 4
# Our mistake, on this side or in asmd.
INTERNAL = 5
# What a shell expects after Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130

_REFUSALS = frozenset({errno.EPERM, errno.EACCES})
_OUR_MISTAKES = frozenset({errno.EPROTO, errno.EIO, errno.ENOSYS, errno.EFAULT})


def exit_for_errno(number: int) -> int:
    """Return the exit code for a refusal with this (positive) errno."""
    if number in _REFUSALS:
        return REFUSED
    return INTERNAL if number in _OUR_MISTAKES else NO
