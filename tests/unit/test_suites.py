"""How the runs of several suites become one sum."""

import sys

import pytest

from tests.suites import Suite, counts, run_suite


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("12 passed in 0.31s", (12, 0, 0)),
        ("==== 1 failed, 12 passed, 2 skipped in 3.2s ====", (12, 1, 2)),
        ("3 passed, 1 error in 1s", (3, 1, 0)),
        ("2 errors in 1s", (0, 2, 0)),
        ("1 xpassed, 1 xfailed in 1s", (1, 1, 0)),
    ],
)
def test_a_summary_is_read(line: str, expected: tuple[int, int, int]) -> None:
    found = counts(line)
    assert (found["passed"], found["failed"], found["skipped"]) == expected


@pytest.mark.parametrize(
    "line", ["tests/unit/test_paths.py .... [100%]", "Found 51 errors in 18 files", "=== unit"]
)
def test_a_line_of_anything_else_counts_nothing(line: str) -> None:
    assert counts(line) == {}


def python(code: str) -> tuple[str, ...]:
    """Return a command that runs some Python."""
    return (sys.executable, "-c", code)


def test_a_command_that_fails_without_counting_is_one_failure() -> None:
    suite = Suite((python("raise SystemExit(3)"), python("print('4 passed in 1s')")), 10)
    assert run_suite("sample", suite) == {"failed": 1, "passed": 4, "skipped": 0}


def test_a_failure_that_was_counted_is_not_counted_twice() -> None:
    suite = Suite((python("print('2 failed, 1 passed in 1s'); raise SystemExit(1)"),), 10)
    assert run_suite("sample", suite) == {"passed": 1, "failed": 2, "skipped": 0}
