"""`tests/vm/run`: make what is missing, boot once, run one suite, tell how it went.

The last line printed is the suite's own summary, after the boot time. Exit status: the suite's;
70 when the machine failed before the suite had one, 124 when time was up.
"""

import argparse
import fcntl
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tests.vm import payload
from tests.vm.cache import Cache
from tests.vm.debian import install_tools, run
from tests.vm.emulator import fetch as fetch_emulator
from tests.vm.image import GUEST, ROOT, Image, build_image
from tests.vm.kernel import SOURCES, fetch
from tests.vm.machine import (
    Ending,
    choose_accelerator,
    qemu_command,
    run_machine,
    unpack_results,
)

SUITES = tuple(sorted(path.name.removeprefix("suite-") for path in GUEST.glob("suite-*")))

# From the start of qemu to its end, on a machine with other work to do. Alone it takes a half.
LIMIT_S = 1500
# The guest's own limit leaves room for boot and shutdown, so that a hanging test ends with its
# traceback and a summary, not with a killed machine.
RESERVE_S = 60

NO_SUITE_STATUS = 70
TIME_UP_STATUS = 124
INTERRUPTED_STATUS = 130
CONSOLE_LINES = 40


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tests/vm/run",
        description="Boot a stock Debian kernel with systemd in a virtual machine and run a suite "
        "of tests there, against the wheel of this tree.",
    )
    parser.add_argument("--kernel", choices=sorted(SOURCES), default="6.1")
    parser.add_argument("--suite", choices=SUITES, default="kernel")
    parser.add_argument("--keep", action="store_true",
                        help="keep the machine's disk and drive for a look inside")  # fmt: skip
    parser.add_argument("--accelerator", choices=("auto", "kvm", "tcg"), default="auto")
    parser.add_argument("--wheel", type=Path, metavar="FILE",
                        help="test this wheel, not one built from the tree")  # fmt: skip
    parser.add_argument("pytest", nargs="*", metavar="-- PYTEST-ARGUMENTS",
                        help="for the suite's pytest, after a --")  # fmt: skip
    return parser.parse_args(arguments)


def summary_line(output: str) -> str | None:
    """Return pytest's last line of counts, without its frame."""
    lines = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|error|skipped|deselected).*?)(?: =+)?\r?$",
                       output, re.MULTILINE)  # fmt: skip
    return lines[-1] if lines else None


def say(text: str) -> None:
    """Print a line of the runner's own."""
    print(f"vm: {text}", flush=True)


def report(folder: Path, ending: Ending) -> int:
    """Print how it went, the suite's summary last; return the exit status."""
    status = unpack_results(folder)
    output = (folder / "output.log").read_text(errors="replace")
    if status is None:
        console = (folder / "console.log").read_text(errors="replace").splitlines()
        say(f"the suite did not end; the last lines of {folder / 'console.log'}:")
        print("\n".join(console[-CONSOLE_LINES:]), flush=True)
        status = NO_SUITE_STATUS
    if ending.timed_out:
        say(f"killed the machine after {LIMIT_S} s")
        status = TIME_UP_STATUS
    booted = "never" if ending.booted_s is None else f"after {ending.booted_s:.1f} s"
    say(f"suite began {booted}, machine ended after {ending.took_s:.1f} s; see {folder}")
    summary = summary_line(output)
    say(f"exit status {status}")
    if summary:
        print(summary, flush=True)
    return status


def lock_to_the_end(path: Path) -> None:
    """Hold a lock until this process ends; two runs of one suite would share a folder."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another run of this suite is at work; waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)


def main(arguments: list[str]) -> int:
    """Do all of it; what could not be made ready is said in the words of the tool that failed."""
    try:
        return run_suite(parse(arguments))
    except RuntimeError as failure:
        say(f"unable to make the machine ready: {failure}")
        return NO_SUITE_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS


def run_suite(chosen: argparse.Namespace) -> int:
    """Make ready, boot, report."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    begun_s = time.monotonic()
    install_tools()
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    place = os.environ.get("ASM_VM_CACHE") or default / "supervisord-asm/vm"
    cache = Cache(Path(place).absolute())
    folder = ROOT / "build/vm" / f"{chosen.suite}-{chosen.kernel}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock_to_the_end(Path(f"{folder}.lock"))
    shutil.rmtree(folder, ignore_errors=True)  # of the run before
    folder.mkdir()
    emulator = fetch_emulator(cache)
    image = build_image(cache, fetch(cache, chosen.kernel))
    environment = {
        "ASM_TEST_SUITE": chosen.suite,
        "ASM_TEST_VM": chosen.kernel,
        "ASM_TEST_PROGRAMS": "/srv/asm-suite/programs",
        "ASM_TEST_BUDGET_S": str(LIMIT_S - RESERVE_S),
        "ASM_NO_SKIP": "1",
    }
    if os.environ.get("ASM_VM_ALL"):
        environment["ASM_TEST_SELECTION"] = "kernel and not slow and not timing and not drawing"
    drive = folder / "drive.tar"
    payload.write(cache, drive, environment, chosen.pytest, chosen.wheel)
    accelerator = chosen.accelerator
    if accelerator == "auto":
        accelerator = choose_accelerator(cache, emulator, image.vmlinuz)
    if chosen.keep:
        disk = folder / "disk.ext4"
        run("cp", "--sparse=always", "--reflink=auto", image.disk, disk)
        image = Image(image.vmlinuz, image.initrd, disk)
    say(f"{chosen.suite} suite on {chosen.kernel}, {accelerator}; "
        f"ready after {time.monotonic() - begun_s:.1f} s")  # fmt: skip
    command = qemu_command(emulator, image, drive, folder, accelerator, keep=chosen.keep)
    ending = run_machine(command, folder / "output.log", LIMIT_S)
    if not chosen.keep:
        drive.unlink()
    return report(folder, ending)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
