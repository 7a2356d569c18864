"""Reads structs, enums and numbers of our C headers, so that tests can compare them with Python.

For the plain headers that two programs share (native/keeper/protocol.h, native/exec/spec.h): fixed
width integers, no padding that is not a field, one declaration a line. Anything else is an error,
not a guess.
"""

import re
from pathlib import Path

from tests.sources import ROOT

LETTERS = {
    "uint16_t": "H", "uint32_t": "I", "int32_t": "i", "uint64_t": "Q", "int64_t": "q",
}  # fmt: skip
SIZES = {"H": 2, "I": 4, "i": 4, "Q": 8, "q": 8}


class Header:
    """One header's text, without its comments."""

    def __init__(self, path: str) -> None:
        text = (ROOT / Path(path)).read_text()
        self.text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)

    def fields(self, struct_name: str) -> list[tuple[str, str, int]]:
        """Return (name, letter of the struct module, count) of each field."""
        body = self._body("struct", struct_name)
        found = []
        for line in filter(None, (part.strip() for part in body.split(";"))):
            match = re.fullmatch(r"(\w+) (\w+)(?:\[(\d+)\])?", line)
            if match is None or match[1] not in LETTERS:
                raise ValueError(f"struct {struct_name}: cannot read {line!r}")
            found.append((match[2], LETTERS[match[1]], int(match[3] or 1)))
        return found

    def layout(self, struct_name: str, unused: tuple[str, ...] = ()) -> str:
        """Return the struct module's format; `unused` fields become padding. Refuses C's own."""
        form, offset = "<", 0
        for name, letter, count in self.fields(struct_name):
            size = SIZES[letter]
            if offset % size:
                raise ValueError(f"struct {struct_name}: padding before {name}")
            offset += size * count
            form += f"{size * count}x" if name in unused else letter * count
        if offset % max(SIZES[letter] for _, letter, _ in self.fields(struct_name)):
            raise ValueError(f"struct {struct_name}: padding at its end")
        return form

    def enum(self, name: str) -> dict[str, int]:
        """Return the names of an enum and their numbers."""
        found: dict[str, int] = {}
        following = 0
        for line in filter(None, (part.strip() for part in self._body("enum", name).split(","))):
            match = re.fullmatch(r"(\w+)(?: = (\d+))?", line)
            if match is None:
                raise ValueError(f"enum {name}: cannot read {line!r}")
            found[match[1]] = int(match[2]) if match[2] else following
            following = found[match[1]] + 1
        return found

    def number(self, name: str) -> int:
        """Return a #define that is a number, perhaps shifted."""
        match = re.search(rf"^#define {name} \(?(0x[0-9a-f]+|\d+)u?(?: << (\d+))?", self.text, re.M)
        if match is None:
            raise ValueError(f"no number {name}")
        return int(match[1], 0) << int(match[2] or 0)

    def _body(self, what: str, name: str) -> str:
        match = re.search(rf"^{what} {name} \{{(.*?)^\}};", self.text, re.DOTALL | re.MULTILINE)
        if match is None:
            raise ValueError(f"no {what} {name}")
        return match[1]
