"""Turns the C library's headers into the source of `supervisord_asm._native` (cffi, API mode).

    ffi_build.py OUTPUT.c

What a header declares is what Python may call: each header is both #included by the generated
code and read by cffi's parser, so the C compiler checks the two against each other. A header is
therefore declarations only: no include guard, no #include, no macro but `#define NAME NUMBER`
(cffi refuses the rest; shared/reading/style.md, 3.8). A header that holds `#pragma once` is
private to the C code and is not read here.

Compiling and linking is native/Makefile's work. Source: cffi.readthedocs.io, "Preparing and
Distributing modules", emit_c_code.
"""

import sys
from pathlib import Path

import cffi

NATIVE = Path(__file__).resolve().parent
BPF = NATIVE.parent / "bpf"

# Read in this order, since a later one may name a type of an earlier one. Headers that are not
# named here follow, by name.
FIRST = ("records.h", "probes.h", "sampler.h", "logdrain.h")

PREAMBLE = """
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
"""


def headers(native: Path = NATIVE, bpf: Path = BPF) -> list[Path]:
    """List the headers that Python sees: records.h of bpf/ and the public ones of native/."""
    found = [*bpf.glob("records.h"), *native.glob("*.h")]
    public = [path for path in found if "#pragma once" not in path.read_text()]
    rank = {name: index for index, name in enumerate(FIRST)}
    return sorted(public, key=lambda path: (rank.get(path.name, len(rank)), path.name))


def builder(public: list[Path]) -> cffi.FFI:
    """Make the cffi builder of the extension from its headers."""
    ffi = cffi.FFI()
    for path in public:
        try:
            ffi.cdef(path.read_text())
        except Exception as error:
            # cffi raises a dozen types of its parser's; each lacks the file's name.
            raise SystemExit(f"{path}: cffi cannot read this header: {error}") from error
    includes = "".join(f'#include "{path.name}"\n' for path in public)
    ffi.set_source("supervisord_asm._native", PREAMBLE + includes)
    return ffi


def main(arguments: list[str]) -> int:
    """Write the generated C to the path that the command line names."""
    if len(arguments) != 1:
        print("usage: ffi_build.py OUTPUT.c", file=sys.stderr)
        return 2
    builder(headers()).emit_c_code(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
