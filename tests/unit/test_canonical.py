"""One value, one text; what has no one text is refused."""

import enum

import pytest

from supervisord_asm.core.canonical import DEPTH_MAX, CanonicalError, canonical_json


class Word(enum.StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
        ({"z": True, "Z": False, "1": [1, "x", None]}, '{"1":[1,"x",null],"Z":false,"z":true}'),
        ((1, 2), "[1,2]"),
        (Word.A, '"a"'),
        (-(1 << 63), "-9223372036854775808"),
        ((1 << 63) - 1, "9223372036854775807"),
        # RFC 8785, 3.2.2.2: short escapes, lower-case hex, nothing else escaped.
        ('\u20ac$\u000f\nA\'B"\\\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
        ("\x7f\u2028", '"\x7f\u2028"'),
        # RFC 8785, 3.2.3, its own example without the emoji, which we refuse as a key.
        (
            {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u0080": 5, "\u00f6": 6},
            '{"\\r":2,"1":4,"\u0080":5,"\u00f6":6,"\u20ac":1,"\ufb33":3}',
        ),
    ],
)
def test_a_value_has_this_text(value: object, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    "value",
    [
        1.0, float("nan"), {"a": 0.5}, 1 << 63, -(1 << 63) - 1, b"bytes", {1: 2}, {None: 1},
        {"\U0001f602": 1}, "\ud800", {"a": ["\udfff"]}, {"\ud800": 1}, {1, 2}, object(),
    ],
)  # fmt: skip
def test_what_has_no_one_text_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical_json(value)


def test_nesting_is_bounded() -> None:
    value: list[object] = []
    for _ in range(DEPTH_MAX - 1):
        value = [value]
    canonical_json(value)
    with pytest.raises(CanonicalError, match="nested"):
        canonical_json([value])
