"""The one way in which a test may be skipped: the kernel is older than the documented minimum.

A feature that a probe does not find on a supported kernel is a failure, or a tier that the test
asserts; it is never a reason to look away. tests/test_tidy.py checks that nothing else skips.
ASM_NO_SKIP=1 turns even this into a failure (CI sets it: our kernels are all new enough).
"""

import os

import pytest

MINIMUM = (6, 1)


def kernel_version(release: str) -> tuple[int, int]:
    """Return (major, minor) of a release as uname prints it, such as 6.1.0-28-amd64."""
    major, minor = release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


def require_kernel(needs: tuple[int, int], reason: str) -> None:
    """Skip the running test on a kernel below `needs`, which may be at most the minimum.

    A test for a later kernel does not skip on an older one: it asserts what is said to happen
    there.
    """
    assert needs <= MINIMUM, f"{MINIMUM} is supported, so the test must say what it expects there"
    running = kernel_version(os.uname().release)
    if running >= needs:
        return
    text = f"{reason}: needs Linux {needs[0]}.{needs[1]}, this is {running[0]}.{running[1]}"
    if os.environ.get("ASM_NO_SKIP") == "1":
        pytest.fail(text)
    pytest.skip(text)
