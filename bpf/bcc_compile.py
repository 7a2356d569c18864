"""Compiles the counting programs with BCC, for a kernel without BTF; prints their instructions.

    bcc_compile.py SOURCE PROGRAM,PROGRAM,... [FLAG]...

Run by Debian's own interpreter, whose package python3-bpfcc is (docs/decisions/0041), from
supervisord_asm/kernel/bcc_compiler.py: LLVM takes 130 MB and a second, and both end with this
process. Standard output is one JSON object: a program's name to its instructions, in base64; the
compiler's messages go to standard error. Makes no map, loads nothing, needs BCC_KERNEL_SOURCE only
where the headers are not at /lib/modules/RELEASE/build.
"""

import base64
import json
import sys
from pathlib import Path

from bcc import BPF  # type: ignore[import-not-found]  # Debian's, not of our environment


def main(arguments: list[str]) -> int:
    """Compile SOURCE; return 1 when BCC could not."""
    source, programs, *flags = arguments
    try:
        module = BPF(text=Path(source).read_text(), cflags=flags)
    except Exception:  # BCC's own type; it says nothing that the compiler has not said
        return 1
    code = {name: module.dump_func(name.encode()) for name in programs.split(",")}
    print(json.dumps({name: base64.b64encode(text).decode() for name, text in code.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
