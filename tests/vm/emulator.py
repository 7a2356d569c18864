"""The qemu that runs the machine: Debian's, but the backported one.

bookworm's 7.2 hangs. A processor of its machine may translate kernel text while the other patches
it, and then runs the old bytes for ever: both end in soft lockups in syscall_trace_enter, within a
minute where something switches the syscall tracepoint on and off, as every start of asmd does. Seen
here with thread=multi in 3 of 3 runs, never with thread=single (three times slower) or with 10.0;
that 8.1 locks the pages before it translates them fits. Delete this file, and take the installed
qemu, when the reference is a Debian with a newer one.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import Cache, digest
from tests.vm.debian import RELEASE, Archive, run

PART = f"{RELEASE}-backports"
PACKAGES = ("qemu-system-x86", "qemu-system-data", "seabios")


@dataclass(frozen=True, slots=True)
class Emulator:
    """An unpacked qemu. Its libraries are those of the installed one."""

    folder: Path

    @property
    def command(self) -> list[str]:
        """The program, with the folders of its firmware."""
        share = self.folder / "usr/share"
        program = self.folder / "usr/bin/qemu-system-x86_64"
        return [str(program), "-L", str(share / "qemu"), "-L", str(share / "seabios")]


def fetch(cache: Cache) -> Emulator:
    """Return it, downloaded if it is not there."""

    def build(folder: Path) -> None:
        """Unpack, and see that it starts."""
        print("vm: fetching qemu", flush=True)
        Archive.open(PART, folder / "apt").unpack(list(PACKAGES), folder)
        shutil.rmtree(folder / "apt")
        run(*Emulator(folder).command, "--version")

    return Emulator(cache.entry("qemu", digest(PART, *PACKAGES), build))
