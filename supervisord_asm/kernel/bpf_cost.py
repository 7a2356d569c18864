"""What BPF programs and maps cost, from the kernel's own statistics.

`held_objects` finds every program and map behind the descriptors of this process, so it is the same
for whatever backend counts, and for programs that were adopted from their pins. `Statistics` has
the kernel time each run of every program on the host as long as it is open: two clock reads per
run, hence for a measuring second and not for ever. Needs root.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from supervisord_asm._native import ffi, lib
from supervisord_asm.core.cost import MapReading, ProgramReading

_DESCRIPTORS = Path("/proc/self/fd")
_DETAILS = Path("/proc/self/fdinfo")
# What readlink says of a descriptor of a BPF object; kernels spell links in two ways.
_KINDS = ("anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:bpf_link", "anon_inode:bpf-link")


class BpfCostError(Exception):
    """The kernel keeps no statistics for us, with its reason."""

    def __init__(self, errno_: int) -> None:
        super().__init__(
            f"the kernel does not time BPF programs for us: {os.strerror(errno_)} "
            "(BPF_ENABLE_STATS needs Linux 5.8, CONFIG_BPF_SYSCALL and CAP_SYS_ADMIN)"
        )
        self.errno = errno_


class Held(NamedTuple):
    """Ids of BPF objects. `hooks`: by program, the tracepoint that it is attached to, if any."""

    programs: tuple[int, ...]
    maps: tuple[int, ...]
    hooks: dict[int, str]


@contextmanager
def statistics() -> Iterator[None]:
    """Have the kernel time all BPF programs on the host meanwhile. Raises BpfCostError."""
    fd = lib.sasm_bpf_keep_statistics()
    if fd < 0:
        raise BpfCostError(-fd)
    try:
        yield
    finally:
        os.close(fd)


def held_objects() -> Held:
    """Find the BPF programs and maps that this process holds, directly, by a link or by a program.

    Looks at each descriptor of the process: some milliseconds per thousand. Descriptors that are
    closed meanwhile are left out.
    """
    programs: dict[int, None] = {}
    maps: dict[int, None] = {}
    hooks: dict[int, str] = {}
    for name in os.listdir(_DESCRIPTORS):
        with suppress(OSError):
            if os.readlink(_DESCRIPTORS / name) not in _KINDS:
                continue
            details = _details(int(name))
            if "prog_id" in details:
                program = int(details["prog_id"])
                programs[program] = None
                # A raw tracepoint's link names it; a program's own name is cut at 15 characters.
                hook = details.get("tp_name")
                if hook:
                    hooks[program] = hook
            elif "map_id" in details:
                maps[int(details["map_id"])] = None
    for program in programs:
        with suppress(OSError), _opened(lib.sasm_bpf_open_program(program)) as fd:
            info = _program(fd)
            maps.update(dict.fromkeys(info.map_ids[0 : info.map_count]))
    return Held(tuple(programs), tuple(maps), hooks)


def read_programs(held: Held) -> tuple[ProgramReading, ...]:
    """Read the programs' counters; one that is gone is left out."""
    found = []
    for program in held.programs:
        with suppress(OSError), _opened(lib.sasm_bpf_open_program(program)) as fd:
            info = _program(fd)
            found.append(
                ProgramReading(
                    program,
                    held.hooks.get(program) or _name(info) or f"program {program}",
                    info.run_time_ns,
                    info.run_count,
                    info.recursion_misses,
                    _memory_bytes(fd),
                )
            )
    return tuple(found)


def read_maps(held: Held) -> tuple[MapReading, ...]:
    """Read the maps' sizes; one that is gone is left out."""
    found = []
    info: Any = ffi.new("struct sasm_bpf_map *")
    for number in held.maps:
        with suppress(OSError), _opened(lib.sasm_bpf_open_map(number)) as fd:
            _check(lib.sasm_bpf_read_map(fd, info))
            name = _name(info) or f"map {number}"
            found.append(MapReading(name, info.entries_max, _memory_bytes(fd)))
    return tuple(found)


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    _check(fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _program(fd: int) -> Any:
    info: Any = ffi.new("struct sasm_bpf_program *")
    _check(lib.sasm_bpf_read_program(fd, info))
    return info


def _name(info: Any) -> str:
    text = ffi.string(info.name)
    assert isinstance(text, bytes), "an array of char"
    return text.decode(errors="replace")


def _memory_bytes(fd: int) -> int:
    """What the kernel says that the object takes: exact from 6.4 on, its sizes' product before."""
    return int(_details(fd).get("memlock", 0))


def _details(fd: int) -> dict[str, str]:
    pairs = (line.partition(":") for line in (_DETAILS / str(fd)).read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _check(code: int) -> None:
    if code < 0:
        raise OSError(-code, os.strerror(-code))
