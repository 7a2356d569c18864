"""A figure in at most six characters or so, for columns where many stand side by side. Pure.

Digits that do not fit are cut off and not rounded: 999,999 is "999k" and never "1000k". None is the
dash of every table. The exact figures are in `asminfo --json`.
"""

from supervisord_asm.view.value import ABSENT

_BINARY = ("B", "K", "M", "G", "T", "P", "E")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def short_bytes(value: int | None) -> str:
    """Return "512B", "1.5K", "23.4M" or "120G", in powers of 1,024."""
    return ABSENT if value is None else _scaled(value, 1024, _BINARY)


def short_count(value: int | None) -> str:
    """Return "512", "1.5k", "23.4M" or "120G", in powers of 1,000."""
    return ABSENT if value is None else _scaled(value, 1000, _DECIMAL)


def short_percent(cpu_percent_milli: int | None) -> str:
    """Return "12.3" for 12345 thousandths of a percent."""
    if cpu_percent_milli is None:
        return ABSENT
    return f"{cpu_percent_milli // 1000}.{cpu_percent_milli % 1000 // 100}"


def short_duration(elapsed_us: int | None) -> str:
    """Return "59s", "12m05s", "3h07m", "12d03h" or "123d". A negative time is "0s"."""
    if elapsed_us is None:
        return ABSENT
    seconds = max(elapsed_us, 0) // 1_000_000
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m{seconds % _MINUTE:02d}s"
    if seconds < _DAY:
        return f"{seconds // _HOUR}h{seconds % _HOUR // _MINUTE:02d}m"
    if seconds < 100 * _DAY:
        return f"{seconds // _DAY}d{seconds % _DAY // _HOUR:02d}h"
    return f"{seconds // _DAY}d"


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` characters; an ellipsis says that some were cut off."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"[:width]


def _scaled(value: int, base: int, suffixes: tuple[str, ...]) -> str:
    unit, suffix = 1, suffixes[0]
    for larger in suffixes[1:]:
        if value < unit * base:
            break
        unit, suffix = unit * base, larger
    tenths = value * 10 // unit
    if unit == 1 or tenths >= 1000:
        return f"{tenths // 10}{suffix}"
    return f"{tenths // 10}.{tenths % 10}{suffix}"
