"""The skip rule: only below the minimum, and never quietly above it."""

import pytest

from tests.kernel_minimum import MINIMUM, kernel_version, require_kernel


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-28-amd64", (6, 1)), ("6.18.44-fc-v669", (6, 18)), ("6.12-rc1", (6, 12))],
)
def test_a_release_is_read_as_numbers(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


def test_a_test_cannot_skip_on_a_supported_kernel() -> None:
    with pytest.raises(AssertionError, match="must say what it expects"):
        require_kernel((6, 12), "cgroup storage")


def test_the_minimum_itself_runs() -> None:
    require_kernel(MINIMUM, "this kernel is supported")
