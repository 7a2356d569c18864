"""Runs the suites in order and sums them up: `suites.py check`, `test`, `long`, or names of suites.

A suite is a list of commands and a budget of seconds. Output is passed through as it comes; of
each command the last line that counts tests ("12 passed, 1 failed in 3.2s", pytest's or the VM's)
is remembered. A command that fails without counting is one failure, so that nothing red can be
summed up as green. The last line printed is the sum: `N passed, N failed, N skipped`.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = (sys.executable, "-m", "pytest", "-q")
SANITIZED = ROOT / "build" / "sanitize"
# Pytest's own last line, and nothing like "Found 3 errors" of the linters.
SUMMARY = re.compile(r"^=* ?\d+ \w+(, \d+ \w+)* in [\d.]+s")
COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)")


def existing(*paths: str) -> tuple[str, ...]:
    """Return those of the test folders that are there; pytest refuses to be given others."""
    return tuple(path for path in paths if (ROOT / path).exists())


def no_extra() -> dict[str, str]:
    """Return the environment that most suites add: nothing."""
    return {}


def long_profile() -> dict[str, str]:
    """Ask Hypothesis for its long profile (conftest.py)."""
    return {"ASM_HYPOTHESIS": "long"}


def sanitized() -> dict[str, str]:
    """Return what lets Python load, and its children start, C built with the sanitizers.

    The sanitizer's library must be loaded before the interpreter's own. Leaks are not looked for:
    the interpreter keeps much of what it allocates to the end.
    """
    command = ["gcc", "-print-file-name=libasan.so"]
    libasan = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        "LD_PRELOAD": libasan,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(SANITIZED),
        "PYTHONSAFEPATH": "1",
    }


@dataclass(frozen=True, slots=True)
class Suite:
    """What one suite runs, and how many seconds it may take on two idle cores."""

    commands: tuple[tuple[str, ...], ...]
    budget_s: int
    extra_environment: Callable[[], dict[str, str]] = no_extra
    prepare: tuple[tuple[str, ...], ...] = ()
    """Run first, in the plain environment."""


KERNEL = existing("tests/kernel", "tests/clients")
C_TESTS = sorted(
    str(path)
    for part in ("counting", "exec", "keeper", "logdrain", "procfs")
    for path in Path("tests/kernel").glob(f"test_{part}*.py")
)
C_TESTS.append("tests/clients/test_libasm.py")
SUITES = {
    "lint": Suite(
        (
            (sys.executable, "-m", "ruff", "check", "."),
            (sys.executable, "-m", "ruff", "format", "--check", "."),
            (sys.executable, "-m", "mypy"),
        ),
        30,
    ),
    "unit": Suite(((*PYTEST, "tests/unit", "tests/test_tidy.py", "tests/test_documented.py"),), 15),
    "sim": Suite(((*PYTEST, "-m", "not slow", "tests/sim"),), 60),
    "kernel": Suite(((*PYTEST, "-m", "not slow", *KERNEL),), 300),
    # Those that run C of ours, over what the sanitizers compiled; those that measure are left out.
    "sanitize": Suite(
        (
            (*PYTEST, "-m", "not slow and not timing", "-o", f"pythonpath={SANITIZED} .",
             *C_TESTS),
        ),
        300,
        sanitized,
        prepare=(("make", "--no-print-directory", "-s", "native", "SANITIZE=1"),),
    ),
    "vm": Suite((("tests/vm/run", "--kernel", "6.1"),), 600),
    "vm-systemd": Suite((("tests/vm/run", "--kernel", "6.1", "--suite", "systemd"),), 360),
    "vm-bcc": Suite((("tests/vm/run", "--kernel", "6.1", "--suite", "bcc"),), 900),
    "long": Suite(((*PYTEST, "-m", "slow", "tests"),), 1800, long_profile),
}  # fmt: skip

GROUPS = {
    "check": ("lint", "unit"),
    "test": ("lint", "unit", "sim", "kernel", "sanitize", "vm", "vm-systemd"),
    "long": ("lint", "unit", "sim", "kernel", "sanitize", "long", "vm", "vm-systemd", "vm-bcc"),
}


def counts(line: str) -> dict[str, int]:
    """Read the counts of one line: {} when it counts no tests."""
    if not SUMMARY.match(line):
        return {}
    found = {word.rstrip("s"): int(number) for number, word in COUNT.findall(line)}
    sums = {"passed": found.get("passed", 0) + found.get("xfailed", 0)}
    sums["failed"] = sum(found.get(word, 0) for word in ("failed", "error", "xpassed"))
    sums["skipped"] = found.get("skipped", 0)
    return sums


def run(command: tuple[str, ...], environment: dict[str, str]) -> dict[str, int]:
    """Run one command with its output passed through; return what it counted."""
    last: dict[str, int] = {}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = counts(line) or last
    if process.returncode != 0 and not last.get("failed"):
        print(f"suites: {' '.join(command)} exited with {process.returncode}", flush=True)
        last["failed"] = 1
    return last


def run_suite(name: str, suite: Suite) -> dict[str, int]:
    """Run all commands of a suite, also after one failed; print how long it took."""
    print(f"=== {name}", flush=True)
    begun_s = time.monotonic()
    total: dict[str, int] = {}
    plain = dict(os.environ)
    steps = [(command, plain) for command in suite.prepare]
    steps += [(command, plain | suite.extra_environment()) for command in suite.commands]
    for command, environment in steps:
        for word, number in run(command, environment).items():
            total[word] = total.get(word, 0) + number
    took_s = time.monotonic() - begun_s
    verdict = "over its budget" if took_s > suite.budget_s else "in its budget"
    print(f"=== {name}: {took_s:.1f} s, {verdict} of {suite.budget_s} s", flush=True)
    return total


def main(arguments: list[str]) -> int:
    """Run what the command line names; return 1 when anything failed or nothing was tested."""
    wanted: list[str] = []
    for argument in arguments or ["check"]:
        wanted += GROUPS.get(argument, (argument,))
    unknown = [name for name in wanted if name not in SUITES]
    if unknown:
        names = " ".join([*GROUPS, *SUITES])
        print(f"suites: there is no suite {unknown[0]}; there are: {names}", file=sys.stderr)
        return 2
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for name in wanted:
        for word, number in run_suite(name, SUITES[name]).items():
            total[word] += number
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
