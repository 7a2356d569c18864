"""Canonical JSON: one value, one text, so that a hash of the text is a hash of the value. Pure.

What is hashed today must read the same in ten years and on any machine, so the text follows RFC
8785 (JCS) on the part of JSON that we use, with two differences, both refusals or widenings that
JCS leaves open:

- Numbers are integers of 64 bits, written in decimal. JCS rounds every number to a double; our
  nanoseconds and nano-dollars pass 2^53 and must not be rounded. A float is refused: it has no one
  spelling, and no amount or time of ours is one.
- Keys order by UTF-16 units in JCS and by code points here. The two agree below U+10000, so a key
  with a character above it is refused.

Refused, too: text with a lone surrogate, which has no UTF-8; keys that are no strings; nesting
deeper than DEPTH_MAX. All refusals are CanonicalError, so nothing unhashable is ever queued.

Sources: RFC 8785 sections 3.2.2 and 3.2.3, RFC 8259 section 7.
"""

import json
from typing import Any

INTEGER_MIN = -(1 << 63)  # SQLite's integers, and everybody else's int64
INTEGER_MAX = (1 << 63) - 1
DEPTH_MAX = 32  # no record of ours nests deeper than 4; keeps hostile JSON off the C stack

_LAST_BMP = "\uffff"
_ATOMS = (str, bool, type(None))

# json.dumps makes a new encoder for options like these at every call; this one is kept.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


class CanonicalError(ValueError):
    """A value that has no canonical text; the message says which part and why."""


def canonical_json(value: Any) -> str:
    """Return the canonical text of `value`: dict, list, tuple, str, int, bool, None."""
    _check(value, DEPTH_MAX)
    text = _encode(value)
    if not text.isascii():
        _check_encodable(text)
    return text


def _check(value: Any, depth: int) -> None:
    if isinstance(value, _ATOMS):
        return
    if isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise CanonicalError(f"integer {value:#x} does not fit 64 bits")
        return
    if depth == 0:
        raise CanonicalError(f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, list | tuple):
        for item in value:
            _check(item, depth - 1)
        return
    if not isinstance(value, dict):
        raise CanonicalError(f"{type(value).__name__} has no canonical form")
    for key, item in value.items():
        if not isinstance(key, str):
            raise CanonicalError(f"key {key!r} is no string")
        if not key.isascii() and max(key) > _LAST_BMP:
            raise CanonicalError(f"key {key!r} has a character above U+FFFF")
        _check(item, depth - 1)


def _check_encodable(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CanonicalError(f"text with a lone surrogate: {error.reason}") from error
