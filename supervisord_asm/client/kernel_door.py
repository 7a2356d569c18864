"""The door that is a system call: through libc's syscall(2), with the GIL released."""

import ctypes
import errno

from supervisord_asm.api.calls import Way
from supervisord_asm.client.request import Request


class KernelDoor:
    """Makes calls by number. `is_closed` once the kernel has said that it knows no such number.

    A filter that answers is installed before a program begins and is never added later, so one
    ENOSYS is true for good. Knows no socket; safe for threads and after fork.
    """

    def __init__(self) -> None:
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        self.is_closed = False

    def call(self, request: Request) -> tuple[int, bytes]:
        """Return (result or -errno, answer)."""
        if self.is_closed:
            return -errno.ENOSYS, b""
        room = ctypes.create_string_buffer(request.room_bytes) if request.room_bytes else None
        ctypes.set_errno(0)
        result: int = self._syscall(ctypes.c_long(request.call.number), *_words(request, room))
        if result < 0:
            result = -(ctypes.get_errno() or errno.EIO)
            self.is_closed = result == -errno.ENOSYS
            return result, b""
        return result, b"" if room is None else room.raw[:result]


def _words(request: Request, room: "ctypes.Array[ctypes.c_char] | None") -> list[object]:
    numbers = iter(request.numbers)
    data = request.data
    words: list[object] = []
    for parameter in request.call.parameters:
        match parameter.way:
            case Way.NUMBER:
                words.append(ctypes.c_long(next(numbers)))
            case Way.NUMBER_OR_PATH:
                # bytes end in a NUL of Python's own.
                is_number = data is None
                words.append(ctypes.c_long(next(numbers)) if is_number else ctypes.c_char_p(data))
            case Way.BYTES_IN:
                words += [ctypes.c_char_p(data), ctypes.c_long(len(data or b""))]
            case Way.ROOM_OUT:
                words += [room, ctypes.c_long(request.room_bytes)]
    return words
