"""Quantities: what is read, what is written, and every message of what is refused."""

import pytest

from supervisord_asm.core.units import (
    BYTE_RATE,
    CPU,
    CREDITS,
    DAYS,
    MONEY,
    PRICE,
    RATE,
    SHARE,
    SIZE,
    SIZE_MAX_BYTES,
    TIME,
    TIME_MAX_USEC,
    Quantity,
    UnitError,
)

READ = [
    (SIZE, "512MiB", 512 << 20),
    (SIZE, "1.5GiB", 3 << 29),
    (SIZE, " 4 KiB ", 4096),
    (SIZE, "1_000_000B", 1_000_000),
    (SIZE, "0B", 0),
    (TIME, "30s", 30_000_000),
    (TIME, "1.5s", 1_500_000),
    (TIME, "100ms", 100_000),
    (TIME, "250us", 250),
    (TIME, "10min", 600_000_000),
    (TIME, "2h", 7_200_000_000),
    (TIME, "400d", 400 * 86_400_000_000),
    (CPU, "50%", 500_000),
    (CPU, "1.5", 1_500_000),
    (CPU, "0.001", 1_000),
    (CPU, "400%", 4_000_000),
    (DAYS, "400d", 400),
    (RATE, "1000/s", 1000),
    (RATE, "120/min", 2),
    (RATE, "7200/h", 2),
    (BYTE_RATE, "10MiB/s", 10 << 20),
    (SHARE, "25%", 250),
    (SHARE, "12.5%", 125),
    (SHARE, "100%", 1000),
    (MONEY, "2.50 USD", 2_500_000_000),
    (MONEY, "0.000000001USD", 1),
    (PRICE, "0.25 USD/Mtok", 250_000_000),
    (CREDITS, "50 credits", 50_000),
    (CREDITS, "0.5 credits", 500),
]

WRITTEN = [
    (SIZE, 0, "0B"),
    (SIZE, 1, "1B"),
    (SIZE, 104_857_600, "100MiB"),
    (SIZE, 104_857_601, "104857601B"),
    (SIZE, 3 << 29, "1536MiB"),
    (TIME, 0, "0us"),
    (TIME, 30_000_000, "30s"),
    (TIME, 1_500_000, "1500ms"),
    (TIME, 7_200_000_000, "2h"),
    (CPU, 0, "0%"),
    (CPU, 500_000, "50%"),
    (CPU, 1_500_000, "150%"),
    (CPU, 1_234_567, "1.234567"),
    (DAYS, 400, "400d"),
    (RATE, 0, "0/s"),
    (RATE, 1000, "1000/s"),
    (BYTE_RATE, 10 << 20, "10MiB/s"),
    (SHARE, 250, "25%"),
    (SHARE, 125, "12.5%"),
    (MONEY, 0, "0.00 USD"),
    (MONEY, 2_500_000_000, "2.50 USD"),
    (MONEY, 1, "0.000000001 USD"),
    (PRICE, 250_000_000, "0.25 USD/Mtok"),
    (CREDITS, 500, "0.5 credits"),
]

REFUSED = [
    # A bare number: the unit that would be right.
    (SIZE, "512", '512 is a bare number: write "512MiB"'),
    (SIZE, "536870912", '536870912 is a bare number: write "536870912B"'),
    (SIZE, "1.5", '1.5 is a bare number: write "1.5MiB"'),
    (TIME, "30", '30 is a bare number: write "30s"'),
    (TIME, "45000", '45000 is a bare number: write "45000ms"'),
    (CPU, "2", '2 is a bare number: write "2.0"'),
    (CPU, "50", '50 is a bare number: write "50%"'),
    (RATE, "1000", '1000 is a bare number: write "1000/s"'),
    (BYTE_RATE, "10", '10 is a bare number: write "10MiB/s"'),
    (DAYS, "400", '400 is a bare number: write "400d"'),
    (SHARE, "25", '25 is a bare number: write "25%"'),
    (MONEY, "2.50", '2.50 is a bare number: write "2.50 USD"'),
    (PRICE, "3", '3 is a bare number: write "3 USD/Mtok"'),
    (CREDITS, "50", '50 is a bare number: write "50 credits"'),
    # A wrong unit.
    (
        SIZE,
        "512MB",
        '"512MB" has the unknown unit "MB": write "512MiB" (units: B, KiB, MiB, GiB, TiB)',
    ),
    (TIME, "5m", '"5m" has the unknown unit "m": write "5min" (units: us, ms, s, min, h, d)'),
    (TIME, "5 sec", '"5 sec" has the unknown unit "sec": write "5s" (units: us, ms, s, min, h, d)'),
    (
        TIME,
        "5 moons",
        '"5 moons" has the unknown unit "moons": write "30s" (units: us, ms, s, min, h, d)',
    ),
    (CPU, "1.5 cores", '"1.5 cores" has the unknown unit "cores": write "1.5" (units: %)'),
    (CPU, "2 cores", '"2 cores" has the unknown unit "cores": write "2.0" (units: %)'),
    (RATE, "5/m", '"5/m" has the unknown unit "/m": write "5/min" (units: /h, /min, /s)'),
    (
        BYTE_RATE,
        "5m/s",
        (
            '"5m/s" has the unknown unit "m/s": '
            'write "5MiB/s" (units: B/s, KiB/s, MiB/s, GiB/s, TiB/s)'
        ),
    ),
    (MONEY, "5 EUR", '"5 EUR" has the unknown unit "EUR": write "2.50 USD" (units: USD)'),
    (MONEY, "5 usd", '"5 usd" has the unknown unit "usd": write "5 USD" (units: USD)'),
    # No quantity at all.
    (SIZE, "lots", '"lots" is not a size: write "512MiB"'),
    (TIME, "", '"" is not a time: write "30s"'),
    (TIME, "1e3s", '"1e3s" has the unknown unit "e3s": write "30s" (units: us, ms, s, min, h, d)'),
    (CPU, "half", '"half" is not a CPU quota: write "50%" of one core, or "1.5"'),
    (MONEY, "$2.50", '"$2.50" is not a sum of money: write "2.50 USD"'),
    (RATE, "٣/s", '"٣/s" is not a rate: write "1000/s"'),
    (
        SIZE,
        "1__0B",
        '"1__0B" has the unknown unit "__0B": write "512MiB" (units: B, KiB, MiB, GiB, TiB)',
    ),
    (SIZE, "9" * 65, f'"{"9" * 64}" is not a size: write "512MiB"'),
    # Not ours.
    (SIZE, "-1MiB", '"-1MiB" is negative: write "512MiB"'),
    (SIZE, "0.3B", '"0.3B" is not a whole number of bytes: write "512MiB"'),
    (TIME, "0.5us", '"0.5us" is not a whole number of microseconds: write "30s"'),
    (RATE, "1/min", '"1/min" is not a whole number of events a second: write "1000/s"'),
    (
        MONEY,
        "0.0000000001 USD",
        '"0.0000000001 USD" is not a whole number of nano-USD: write "2.50 USD"',
    ),
    (SIZE, "2000TiB", '"2000TiB" is too much: at most "1024TiB"'),
    (TIME, "4000d", '"4000d" is too much: at most "3650d"'),
    (SHARE, "101%", '"101%" is too much: at most "100%"'),
]


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_text_becomes_an_integer_of_our_unit(kind: Quantity, text: str, value: int) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(("kind", "value", "text"), WRITTEN)
def test_a_value_is_written_in_the_largest_unit_that_divides_it(
    kind: Quantity, value: int, text: str
) -> None:
    assert kind.format(value) == text
    assert kind.parse(text) == value


@pytest.mark.parametrize(("kind", "text", "message"), REFUSED)
def test_a_refusal_says_what_would_be_right(kind: Quantity, text: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        kind.parse(text)
    assert str(caught.value) == message
    assert f"{caught.value.message}: {caught.value.hint}" == message


def test_what_a_bare_number_is_told_to_be_is_right() -> None:
    for kind in (SIZE, TIME, DAYS, CPU, RATE, BYTE_RATE, SHARE, MONEY, PRICE, CREDITS):
        for number in ("1", "15", "99"):
            with pytest.raises(UnitError) as caught:
                kind.parse(number)
            assert kind.parse(caught.value.hint.removeprefix('write "').removesuffix('"')) >= 0


def test_every_example_is_right_itself() -> None:
    for kind in (SIZE, TIME, DAYS, RATE, BYTE_RATE, SHARE, MONEY, PRICE, CREDITS):
        assert kind.parse(kind.example) > 0
    first, second = CPU.example.split('" of one core, or "')
    assert (CPU.parse(first), CPU.parse(second)) == (500_000, 1_500_000)


def test_every_slip_leads_to_a_unit_that_exists() -> None:
    for kind in (SIZE, TIME, DAYS, CPU, RATE, BYTE_RATE, SHARE, MONEY, PRICE, CREDITS):
        for right in kind.slips.values():
            number = "3600" if kind is RATE else "3"  # a rate an hour has to come out whole
            assert kind.parse(f"{number}{right}") > 0


def test_bounds_of_the_caller_are_kept() -> None:
    assert SIZE.parse("1MiB", 1 << 20) == 1 << 20
    with pytest.raises(UnitError, match='"1023KiB" is too little: at least "1MiB"'):
        SIZE.parse("1023KiB", 1 << 20)
    with pytest.raises(UnitError, match='"3s" is too much: at most "2s"'):
        TIME.parse("3s", 0, 2_000_000)


def test_named_bounds_can_be_written() -> None:
    assert SIZE.parse(SIZE.format(SIZE_MAX_BYTES)) == SIZE_MAX_BYTES
    assert TIME.parse(TIME.format(TIME_MAX_USEC)) == TIME_MAX_USEC
