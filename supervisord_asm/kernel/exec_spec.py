"""What asm-exec is told: the bytes of its spec (native/exec/spec.h), and the memfd of them.

`encode_exec_spec` is pure; `ExecSpecFile` owns one memfd. The file may be used by many lives of an
agent: asm-exec maps it privately and never moves an offset.
"""

import errno
import os
import struct
from dataclasses import dataclass

MAGIC = 0x31585341
VERSION = 1
HEADER = struct.Struct("<IHHIIIIIIIIiiIIQ")
RLIMIT = struct.Struct("<IIQQ")
# Bounds of spec.h: the kernel's own bound on argv and environment is 2 MiB (execve(2)).
SPEC_BYTES_MAX = 2 << 20
STRINGS_MAX = 4096
GROUPS_MAX = 64
RLIMITS_MAX = 16

# Names of enum sasm_exec_stage, shown to people when a start fails.
STAGES = (
    "executing asm-exec",
    "reading the spec",
    "making a session",
    "setting an rlimit",
    "setting nice",
    "setting the OOM score",
    "dropping capabilities",
    "setting groups",
    "setting the user",
    "entering the working directory",
    "connecting stdio",
    "executing the program",
    "waiting for its record",
)

assert HEADER.size == 64


class ExecSpecError(Exception):
    """The root of what encoding a spec can raise."""


class ExecSpecTooLarge(ExecSpecError):
    """The command line, environment or groups pass a bound; the text says which and the bound."""


class ExecSpecMalformed(ExecSpecError):
    """A value that no process can be given; the text says which."""


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One resource limit, as setrlimit(2) takes it; RLIM_INFINITY is 2^64 - 1."""

    resource: int
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """Everything that asm-exec sets before it becomes the program."""

    program: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    working_directory: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 500
    nice: int = 0
    umask: int = 0o077
    capabilities: int = 0


def encode_exec_spec(spec: ExecSpec) -> bytes:
    """Return the spec's bytes. Raises ExecSpecTooLarge, ExecSpecMalformed; never truncates."""
    if not spec.arguments:
        raise ExecSpecMalformed("there are no arguments, not even the program's own name")
    strings = [spec.program, spec.working_directory, *spec.arguments]
    strings += [f"{name}={value}" for name, value in spec.environment]
    counted = len(spec.arguments) + len(spec.environment)
    for what, count, most in (
        ("arguments and variables", counted, STRINGS_MAX),
        ("groups", len(spec.groups), GROUPS_MAX),
        ("rlimits", len(spec.rlimits), RLIMITS_MAX),
    ):
        if count > most:
            raise ExecSpecTooLarge(f"{count} {what} are over {most}")
    for text in strings:
        # It would end there, and all that follow would be taken one for another.
        if "\0" in text:
            raise ExecSpecMalformed(f"a NUL character in {text[:80]!r}")
    blob = b"".join(os.fsencode(text) + b"\0" for text in strings)
    try:
        body = b"".join(RLIMIT.pack(r.resource, 0, r.soft, r.hard) for r in spec.rlimits)
        body += struct.pack(f"<{len(spec.groups)}I", *spec.groups)
        return _encode(spec, body, blob)
    except struct.error as error:
        raise ExecSpecMalformed(f"a number is out of its range: {error}") from error


def _encode(spec: ExecSpec, body: bytes, blob: bytes) -> bytes:
    total = HEADER.size + len(body) + len(blob)
    if total > SPEC_BYTES_MAX:
        raise ExecSpecTooLarge(
            f"command and environment of {total} bytes are over {SPEC_BYTES_MAX}"
        )
    header = HEADER.pack(
        MAGIC, VERSION, 0, total, spec.uid, spec.gid, len(spec.groups), len(spec.rlimits),
        len(spec.arguments), len(spec.environment), len(blob), spec.oom_score_adj, spec.nice,
        spec.umask, 0, spec.capabilities,
    )  # fmt: skip
    return header + body + blob


def describe_stage(stage: int) -> str:
    """Return what asm-exec was doing when it failed."""
    return STAGES[stage] if 0 <= stage < len(STAGES) else f"stage {stage}"


class ExecSpecFile:
    """Owns the memfd of one spec. close() it when no further life will use it."""

    __slots__ = ("fd",)

    def __init__(self, spec: ExecSpec) -> None:
        """Write the spec. Raises ExecSpecError, OSError."""
        data = encode_exec_spec(spec)
        self.fd = os.memfd_create("asm-exec-spec", os.MFD_CLOEXEC)
        try:
            # Memory may end in the middle; asm-exec would then refuse the size, not say why.
            if os.write(self.fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the memfd. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
