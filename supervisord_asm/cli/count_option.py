"""An option whose value counts something: decimal digits, no sign, no unit."""

from supervisord_asm.cli.options import Parsed, UsageError


def read_count(parsed: Parsed, name: str) -> int | None:
    """Return the option's number; None when it was not given. Raises UsageError."""
    text = parsed.text(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise UsageError(f'option --{name}: "{text}" is not a number')
    return int(text)
