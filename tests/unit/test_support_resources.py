"""Rates divide by the windows that exist; what is not counted is None, and None is not 0."""

import pytest

from supervisord_asm.core.resources import (
    Window,
    cpu_percent_milli,
    io_rate,
    peak_cpu_percent_milli,
    sum_known,
    syscall_rate,
)


def window(second: int, cpu: int = 0, syscalls: int | None = 0, io: int | None = 0) -> Window:
    """Return one window."""
    return Window(second * 1_000_000, cpu, 4096, syscalls, io)


WINDOWS = [window(1, 250_000, 10, 4), window(2), window(3, 1_500_000, 21, 1)]


@pytest.mark.parametrize(
    ("last", "percent"), [(1, 150_000), (2, 75_000), (3, 58_333), (60, 58_333)]
)
def test_cpu_use_is_over_the_windows_that_exist(last: int, percent: int) -> None:
    assert cpu_percent_milli(WINDOWS, last) == percent


@pytest.mark.parametrize(("last", "rate"), [(1, 21), (2, 10), (3, 10), (60, 10)])
def test_syscalls_per_second_are_over_the_windows_that_exist(last: int, rate: int) -> None:
    assert syscall_rate(WINDOWS, last) == rate


def test_io_calls_have_a_rate_of_their_own() -> None:
    assert io_rate(WINDOWS, 1) == 1
    assert io_rate(WINDOWS, 3) == 1


def test_no_window_is_no_rate() -> None:
    assert cpu_percent_milli([], 10) is None
    assert syscall_rate([], 10) is None
    assert io_rate([], 10) is None
    assert peak_cpu_percent_milli([]) is None


def test_what_is_not_counted_has_no_rate() -> None:
    assert syscall_rate([*WINDOWS, window(4, syscalls=None)], 2) is None
    assert io_rate([window(4, io=None)], 1) is None
    assert cpu_percent_milli([window(4, 10, None, None)], 1) == 1


def test_a_rate_over_no_window_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one window"):
        cpu_percent_milli(WINDOWS, 0)


def test_the_peak_is_the_busiest_window() -> None:
    assert peak_cpu_percent_milli(WINDOWS) == 150_000


def test_a_sum_is_of_what_is_known() -> None:
    assert sum_known([1, None, 2]) == 3
    assert sum_known([None, None]) is None
    assert sum_known([]) is None
    assert sum_known([0]) == 0
