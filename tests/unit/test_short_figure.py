"""Short figures and bars: what fits, what is cut, and that unknown never looks like 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.view.short_figure import (
    cut,
    short_bytes,
    short_count,
    short_duration,
    short_percent,
)
from supervisord_asm.view.sparkline import sparkline

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (102_399, "99.9K"),
        (102_400, "100K"),
        (1_048_575, "1023K"),
        (1 << 20, "1.0M"),
        (3 << 40, "3.0T"),
        ((1 << 63) - 1, "7.9E"),
    ],
)
def test_bytes_are_cut_and_never_rounded_up(value: int | None, text: str) -> None:
    assert short_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (999, "999"), (1000, "1.0k"), (999_999, "999k"), (4_560_000, "4.5M")],
)
def test_counts_are_scaled_by_thousands(value: int | None, text: str) -> None:
    assert short_count(value) == text


@given(st.integers(0, (1 << 63) - 1))
def test_no_figure_is_wider_than_its_column(value: int) -> None:
    assert len(short_bytes(value)) <= 6
    assert len(short_count(value)) <= 6
    assert len(short_duration(value % (9999 * 86_400 * SECOND))) <= 6


@pytest.mark.parametrize(
    ("milli", "text"),
    [(None, "-"), (0, "0.0"), (99, "0.0"), (99_999, "99.9"), (1_600_000, "1600.0")],
)
def test_a_percentage_has_one_digit_after_the_point(milli: int | None, text: str) -> None:
    assert short_percent(milli) == text


@pytest.mark.parametrize(
    ("elapsed_us", "text"),
    [
        (None, "-"),
        (-5, "0s"),
        (59 * SECOND, "59s"),
        (60 * SECOND, "1m00s"),
        (3599 * SECOND, "59m59s"),
        (3600 * SECOND, "1h00m"),
        (86_400 * SECOND - 1, "23h59m"),
        (12 * 86_400 * SECOND + 3 * 3600 * SECOND, "12d03h"),
        (400 * 86_400 * SECOND, "400d"),
    ],
)
def test_a_duration_has_its_two_largest_units(elapsed_us: int | None, text: str) -> None:
    assert short_duration(elapsed_us) == text


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert cut("web_crawler", 11) == "web_crawler"
    assert cut("web_crawler", 6) == "web_c…"
    assert cut("web_crawler", 1) == "…"
    assert cut("web_crawler", 0) == ""


def test_bars_rise_from_nothing_to_the_highest() -> None:
    assert sparkline([0, 1, 4, 7]) == "▁▂▅█"
    assert sparkline([]) == ""


def test_only_zero_is_the_lowest_bar() -> None:
    assert sparkline([0, 1, 1_000_000]) == "▁▂█"
    assert sparkline([0, 0]) == "▁▁"


def test_an_unknown_figure_is_a_dot_and_no_bar() -> None:
    assert sparkline([None, 0, None, 3]) == "·▁·█"
    assert sparkline([None, None]) == "··"
