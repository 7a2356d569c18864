"""A pinned map, read and written by bpf(2) itself: what no other program of ours does with it."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SYS_BPF = 321
_BPF_MAP_LOOKUP_ELEM, _BPF_MAP_UPDATE_ELEM, _BPF_MAP_GET_NEXT_KEY, _BPF_OBJ_GET = 1, 2, 4, 7
_ENOENT = 2
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, 128)
    result: int = _libc.syscall(_SYS_BPF, command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf(2)")
    return result


@contextmanager
def _opened(pin: Path) -> Iterator[int]:
    path = ctypes.create_string_buffer(os.fsencode(pin))
    fd = _bpf(_BPF_OBJ_GET, struct.pack("<QI", ctypes.addressof(path), 0))
    try:
        yield fd
    finally:
        os.close(fd)


def rewrite(pin: Path, value_bytes: int, offset: int, value: bytes) -> None:
    """Change some bytes of the first value of an array."""
    key = ctypes.create_string_buffer(4)
    buffer = ctypes.create_string_buffer(value_bytes)
    with _opened(pin) as fd:
        pointers = struct.pack("<I4xQQQ", fd, ctypes.addressof(key), ctypes.addressof(buffer), 0)
        _bpf(_BPF_MAP_LOOKUP_ELEM, pointers)
        ctypes.memmove(ctypes.addressof(buffer) + offset, value, len(value))
        _bpf(_BPF_MAP_UPDATE_ELEM, pointers)


def count_keys(pin: Path, key_bytes: int) -> int:
    """Return how many keys a hash has; it should rest meanwhile."""
    key, following = (ctypes.create_string_buffer(key_bytes) for _ in range(2))
    count = 0
    with _opened(pin) as fd:
        while True:
            before = ctypes.addressof(key) if count else 0
            try:
                _bpf(
                    _BPF_MAP_GET_NEXT_KEY,
                    struct.pack("<I4xQQQ", fd, before, ctypes.addressof(following), 0),
                )
            except OSError as error:
                if error.errno != _ENOENT:
                    raise
                return count
            ctypes.memmove(key, following, key_bytes)
            count += 1
