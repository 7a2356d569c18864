"""Quantities as people write them ("512MiB", "30s", "50%", "1000/s", "2.50 USD") and as we count.

Pure. Text comes in with its unit, an integer of one fixed unit goes out: bytes, microseconds,
permille, nano-USD. No float ever: a fraction is taken digit by digit, and what does not come out
whole is refused. A bare number is refused too, with the text that would have been right, because
"512" is a megabyte to one reader and a byte to the next (oomd's rule, turned round).

Invariant: `parse(format(n)) == n` for every n within the bounds; tests/sim checks it.

Not here: numbers that count things (pids, file descriptors); their name is their unit.
Sources: IEC 80000-13 for KiB, MiB, GiB; Documentation/admin-guide/cgroup-v2.rst (6.12) for
microseconds of CPU per period.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Bounds, named so that no quantity can overflow what stands behind it: signed 64-bit values in
# BPF maps, SQLite integers and cgroup files.
SIZE_MAX_BYTES = 1 << 50  # 1 PiB; more memory or disk than a host of ours has
TIME_MAX_USEC = 10 * 365 * 86_400 * 1_000_000  # ten years; a longer wait is a mistyped unit
CPU_MAX_USEC = 4_096 * 1_000_000  # per second of wall time: 4,096 cores (CONFIG_NR_CPUS is 8,192)
RATE_MAX = 1_000_000_000  # per second; a core makes about 10^7 syscalls a second
SHARE_MAX_PERMILLE = 1_000  # a share is a part of a whole
MONEY_MAX_NANO_USD = 1_000_000_000 * 10**9  # a thousand million dollars, still below 2^63
CREDITS_MAX_MILLIS = 10**15
TEXT_MAX = 64  # longer is no quantity; keeps int() of hostile digits cheap

_NUMBER = re.compile(r"([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.([0-9]+))?\s*(\D.*)?", re.DOTALL)


class UnitError(ValueError):
    """A text that is no quantity of the wanted kind; `hint` says what would be right."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}: {hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Quantity:
    """One kind of quantity: its units, and how many of ours one of each is.

    `units` maps a suffix to (numerator, denominator) in our unit, smallest first. `decimal` is the
    suffix used for what no unit divides evenly, with `places` digits at most and `places_min` at
    least. `natural` guesses the text for a bare number; `slips` maps usual wrong suffixes to the
    right one.
    """

    noun: str
    counted_in: str
    units: Mapping[str, tuple[int, int]]
    example: str
    maximum: int
    natural: tuple[tuple[int, str], ...]
    slips: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""
    places: int = 0
    places_min: int = 0

    def parse(self, text: str, minimum: int = 0, maximum: int | None = None) -> int:
        """Turn `text` into our integer unit; raise UnitError outside minimum..maximum."""
        match = _NUMBER.fullmatch(text.strip()) if len(text) <= TEXT_MAX else None
        if match is None:
            raise UnitError(f'"{text[:TEXT_MAX]}" is not a {self.noun}', f'write "{self.example}"')
        sign, whole, fraction, suffix = match.groups()
        suffix = (suffix or "").strip()
        if sign == "-":
            raise UnitError(f'"{text}" is negative', f'write "{self.example}"')
        if suffix not in self.units or (suffix == "" and not fraction):
            raise self._wrong_unit(text, whole, fraction, suffix)
        numerator, denominator = self.units[suffix]
        digits = (fraction or "").rstrip("0")
        denominator *= 10 ** len(digits)
        value: int
        value, rest = divmod(int(whole + digits) * numerator, denominator)
        if rest:
            raise UnitError(
                f'"{text}" is not a whole number of {self.counted_in}', f'write "{self.example}"'
            )
        limit = self.maximum if maximum is None else maximum
        if value < minimum:
            raise UnitError(f'"{text}" is too little', f'at least "{self.format(minimum)}"')
        if value > limit:
            raise UnitError(f'"{text}" is too much', f'at most "{self.format(limit)}"')
        return value

    def format(self, value: int) -> str:
        """Write `value` in the largest unit that divides it evenly."""
        if not self.places_min:
            for suffix in reversed(tuple(self.units)):
                numerator, denominator = self.units[suffix]
                if suffix and value and value * denominator % numerator == 0:
                    return f"{value * denominator // numerator}{suffix}"
            if not value:
                return f"0{self._plainest()}"
        whole, rest = divmod(value, 10**self.places)
        digits = f"{rest:0{self.places}d}".rstrip("0").ljust(max(self.places_min, 1), "0")
        return f"{whole}.{digits}{self.decimal}"

    def _plainest(self) -> str:
        """Name the unit that we count in, else the smallest: zero of anything is written in it."""
        named = [suffix for suffix in self.units if suffix]
        return next((suffix for suffix in named if self.units[suffix] == (1, 1)), named[0])

    def _wrong_unit(self, text: str, whole: str, fraction: str | None, suffix: str) -> UnitError:
        number = whole if fraction is None else f"{whole}.{fraction}"
        known = ", ".join(unit.strip() for unit in self.units if unit)
        if suffix == "":
            guess = next(
                unit for bound, unit in self.natural if int(whole.replace("_", "")) < bound
            )
            return UnitError(f"{text} is a bare number", f'write "{number}{guess}"')
        right = self.slips.get(suffix) or self.slips.get(suffix.lower())
        if right == ".0" and fraction is not None:
            right = ""  # cores that have their decimal point already
        if right is None:
            return UnitError(
                f'"{text}" has the unknown unit "{suffix}"',
                f'write "{self.example}" (units: {known})',
            )
        return UnitError(
            f'"{text}" has the unknown unit "{suffix}"',
            f'write "{number}{right}" (units: {known})',
        )


_ANY = 1 << 256  # above every text of TEXT_MAX digits: the last guess catches all

# Powers of 1,024 only. "MB" is refused rather than read one way or the other.
SIZE = Quantity(
    noun="size",
    counted_in="bytes",
    units={
        "B": (1, 1),
        "KiB": (1 << 10, 1),
        "MiB": (1 << 20, 1),
        "GiB": (1 << 30, 1),
        "TiB": (1 << 40, 1),
    },
    example="512MiB",
    maximum=SIZE_MAX_BYTES,
    natural=((65_536, "MiB"), (_ANY, "B")),
    slips={
        "b": "B", "bytes": "B", "k": "KiB", "kb": "KiB", "kib": "KiB", "ki": "KiB", "m": "MiB",
        "mb": "MiB", "mib": "MiB", "mi": "MiB", "g": "GiB", "gb": "GiB", "gib": "GiB", "gi": "GiB",
        "t": "TiB", "tb": "TiB", "tib": "TiB", "ti": "TiB",
    },
)  # fmt: skip

# "m" is refused: minutes to systemd, milliseconds to many others.
TIME = Quantity(
    noun="time",
    counted_in="microseconds",
    units={
        "us": (1, 1),
        "ms": (1_000, 1),
        "s": (1_000_000, 1),
        "min": (60 * 1_000_000, 1),
        "h": (3_600 * 1_000_000, 1),
        "d": (86_400 * 1_000_000, 1),
    },
    example="30s",
    maximum=TIME_MAX_USEC,
    natural=((1_000, "s"), (_ANY, "ms")),
    slips={
        "usec": "us", "µs": "us", "msec": "ms", "sec": "s", "secs": "s", "second": "s",
        "seconds": "s", "m": "min", "mins": "min", "minute": "min", "minutes": "min",
        "hour": "h", "hours": "h", "hr": "h", "day": "d", "days": "d",
    },
)  # fmt: skip

# Whole days, for what is kept rather than waited for.
DAYS = Quantity(
    noun="number of days",
    counted_in="days",
    units={"d": (1, 1)},
    example="400d",
    maximum=TIME_MAX_USEC // (86_400 * 1_000_000),
    natural=((_ANY, "d"),),
    slips={"day": "d", "days": "d"},
)

# CPU time per second of wall time: a share of one core, or cores with a decimal point. "50" is
# neither (half a core? fifty cores?), hence a bare number.
CPU = Quantity(
    noun="CPU quota",
    counted_in="microseconds a second",
    units={"": (1_000_000, 1), "%": (10_000, 1)},
    example='50%" of one core, or "1.5',  # stands between quotes in messages: two examples
    maximum=CPU_MAX_USEC,
    natural=((16, ".0"), (_ANY, "%")),
    slips={"cpu": ".0", "cpus": ".0", "core": ".0", "cores": ".0", "percent": "%"},
    places=6,
)

RATE = Quantity(
    noun="rate",
    counted_in="events a second",
    units={"/h": (1, 3_600), "/min": (1, 60), "/s": (1, 1)},
    example="1000/s",
    maximum=RATE_MAX,
    natural=((_ANY, "/s"),),
    slips={"/sec": "/s", "/second": "/s", "ps": "/s", "hz": "/s", "/m": "/min"},
)

BYTE_RATE = Quantity(
    noun="byte rate",
    counted_in="bytes a second",
    units={f"{unit}/s": factor for unit, factor in SIZE.units.items()},
    example="10MiB/s",
    maximum=SIZE_MAX_BYTES,
    natural=((65_536, "MiB/s"), (_ANY, "B/s")),
    slips={
        "mb/s": "MiB/s", "kb/s": "KiB/s", "gb/s": "GiB/s", "mib": "MiB/s", "mb": "MiB/s",
        "m/s": "MiB/s", "k/s": "KiB/s", "g/s": "GiB/s", "mbps": "MiB/s",
    },
)  # fmt: skip

SHARE = Quantity(
    noun="share",
    counted_in="tenths of a percent",
    units={"%": (10, 1)},
    example="25%",
    maximum=SHARE_MAX_PERMILLE,
    natural=((_ANY, "%"),),
    slips={"percent": "%"},
    decimal="%",
    places=1,
)

MONEY = Quantity(
    noun="sum of money",
    counted_in="nano-USD",
    units={"USD": (10**9, 1)},
    example="2.50 USD",
    maximum=MONEY_MAX_NANO_USD,
    natural=((_ANY, " USD"),),
    slips={"usd": " USD", "$": " USD", "dollar": " USD", "dollars": " USD"},
    decimal=" USD",
    places=9,
    places_min=2,
)

# Nano-USD for a million tokens: what the price lists of all providers print.
PRICE = Quantity(
    noun="price",
    counted_in="nano-USD for a million tokens",
    units={"USD/Mtok": (10**9, 1)},
    example="3.00 USD/Mtok",
    maximum=MONEY_MAX_NANO_USD,
    natural=((_ANY, " USD/Mtok"),),
    slips={"usd/mtok": " USD/Mtok", "usd": " USD/Mtok", "/mtok": " USD/Mtok", "$": " USD/Mtok"},
    decimal=" USD/Mtok",
    places=9,
    places_min=2,
)

CREDITS = Quantity(
    noun="number of credits",
    counted_in="thousandths of a credit",
    units={"credits": (1_000, 1)},
    example="50 credits",
    maximum=CREDITS_MAX_MILLIS,
    natural=((_ANY, " credits"),),
    slips={"credit": " credits", "cr": " credits"},
    decimal=" credits",
    places=3,
    places_min=1,
)
