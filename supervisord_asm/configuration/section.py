"""One mapping of a file, read key by key: the schema is what is asked for.

A reader takes each key that it knows, with its type, and calls `done`; what was not asked for is
unknown and gets a did-you-mean among what was. So the schema stands in one place, the code that
uses it. Every method notes an error and returns the default instead of raising: one bad value
does not hide the next.
"""

import enum
from collections.abc import Callable, Iterator
from typing import TypeVar

from supervisord_asm.configuration.document import (
    Mapping,
    Mark,
    Node,
    Scalar,
    Sequence,
    is_nothing,
)
from supervisord_asm.configuration.errors import Refusal, Report
from supervisord_asm.configuration.scalars import choose, plain_text, truth, whole_number
from supervisord_asm.configuration.suggestion import suggest
from supervisord_asm.core.units import Quantity, UnitError

T = TypeVar("T")
D = TypeVar("D")
E = TypeVar("E", bound=enum.Enum)

UNLIMITED = "unlimited"
TEXT_MAX_CHARACTERS = 131_071  # MAX_ARG_STRLEN without its NUL: no exec takes a longer string
LIST_MAX = 4_096


class Section:
    """A mapping with a name for messages ("limits", "" at the top of an agent)."""

    __slots__ = ("_known", "_pairs", "mark", "path", "report")

    def __init__(self, report: Report, node: Mapping, path: str = "") -> None:
        self.report = report
        self.path = path
        self.mark = node.mark
        self._known: list[str] = []
        self._pairs: dict[str, tuple[Mark, Node]] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar) or key.is_nothing():
                report.add(key.mark, f"{self._where()} has a key that is no word", "key: value")
            elif key.text in self._pairs:
                first = self._pairs[key.text][0]
                report.add(
                    key.mark,
                    f"{self.name(key.text)} is given twice",
                    f"once; the first stands in line {first.line}",
                )
            else:
                self._pairs[key.text] = (key.mark, value)

    def name(self, key: str) -> str:
        """Spell a key with its section: `limits.memory`."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> Node | None:
        """Take a key's value; None when it is absent or empty (which is noted)."""
        self._known.append(key)
        found = self._pairs.get(key)
        if found is None:
            return None
        if is_nothing(found[1]):
            self.report.add(found[0], f"{self.name(key)} has no value", "give one, or drop the key")
            return None
        return found[1]

    def has(self, key: str) -> bool:
        """Tell whether the key is there, with or without a value."""
        return key in self._pairs

    @property
    def is_empty(self) -> bool:
        """Tell whether no key at all is there."""
        return not self._pairs

    def mark_of(self, key: str) -> Mark:
        """Say where a key stands; the section's own place when it is absent."""
        found = self._pairs.get(key)
        return found[0] if found else self.mark

    def refuse(self, key: str, message: str, hint: str) -> None:
        """Note that a key's value is wrong, at the key."""
        self.report.add(self.mark_of(key), message, hint)

    def done(self) -> None:
        """Note every key that nobody asked for."""
        for key, (mark, _) in self._pairs.items():
            if key not in self._known:
                hint = suggest(key, (known for known in self._known if known not in self._pairs))
                if key == "<<":
                    hint = "no merge keys; what agents share stands under defaults: in asm.yaml"
                self.report.add(mark, f'unknown key "{self.name(key)}"', hint)

    def require(self, key: str, example: str) -> bool:
        """Note a missing key; tell whether it is there."""
        if key not in self._pairs:
            self.report.add(self.mark, f"{self._where()} has no {key}", f"add {example}")
            return False
        return True

    # Scalars.

    def read(self, key: str, convert: Callable[[str], T], default: D) -> T | D:
        """Take a scalar through `convert`, which raises Refusal or UnitError."""
        node = self.take(key)
        return default if node is None else self.convert(node, self.name(key), convert, default)

    def convert(self, node: Node, name: str, convert: Callable[[str], T], default: D) -> T | D:
        """Turn one node into a value; note what is wrong with it."""
        if is_nothing(node):
            self.report.add(node.mark, f"{name} has an empty entry", 'write "" for an empty text')
            return default
        if not isinstance(node, Scalar):
            self.report.add(node.mark, f"{name}: {_kind(node)}", "one value belongs here")
            return default
        try:
            if len(node.text) > TEXT_MAX_CHARACTERS:
                raise Refusal(f"has {len(node.text)} characters", f"at most {TEXT_MAX_CHARACTERS}")
            return convert(node.text)
        except (Refusal, UnitError) as error:
            self.report.add(node.mark, f"{name}: {error.message}", error.hint)
            return default

    def text(self, key: str, default: D) -> str | D:
        """Take any text that a C string can hold."""
        return self.read(key, plain_text, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """Take `true` or `false`."""
        return self.read(key, truth, default)

    def choice(self, key: str, choices: type[E], default: E) -> E:
        """Take one of an enumeration's values."""
        return self.read(key, lambda text: choose(text, choices), default)

    def count(self, key: str, default: D, minimum: int, maximum: int) -> int | D:
        """Take a whole number of things: the one kind of value without a unit."""
        return self.read(key, lambda text: whole_number(text, minimum, maximum), default)

    def quantity(
        self, key: str, kind: Quantity, default: D, minimum: int = 0, maximum: int | None = None
    ) -> int | D:
        """Take a value with its unit."""
        return self.read(key, lambda text: kind.parse(text, minimum, maximum), default)

    def limit(self, key: str, kind: Quantity, default: int | None, minimum: int = 0) -> int | None:
        """Take a value with its unit, or `unlimited` (None)."""

        def parse(text: str) -> int | None:
            return None if text == UNLIMITED else kind.parse(text, minimum)

        return self.read(key, parse, default)

    # Collections.

    def section(self, key: str) -> "Section | None":
        """Take a mapping."""
        node = self.take(key)
        return None if node is None else self.open(node, self.name(key))

    def absent(self, key: str) -> "Section":
        """Stand in for a mapping that is not there: every key of it keeps its default."""
        return Section(self.report, Mapping([], self.mark), self.name(key))

    def open(self, node: Node, name: str) -> "Section | None":
        """Read a node as a mapping called `name`."""
        if isinstance(node, Mapping):
            return Section(self.report, node, name)
        self.report.add(node.mark, f"{name}: {_kind(node)}", "`key: value` lines belong here")
        return None

    def list(self, key: str, single: bool = False) -> list[Node]:
        """Take a list; with `single` one value stands for a list of one."""
        node = self.take(key)
        if node is None:
            return []
        if not isinstance(node, Sequence):
            if single:
                return [node]
            self.report.add(
                node.mark, f"{self.name(key)}: {_kind(node)}", "a list belongs here: [a, b]"
            )
            return []
        if len(node.items) > LIST_MAX:
            self.refuse(
                key, f"{self.name(key)} has {len(node.items)} entries", f"at most {LIST_MAX}"
            )
            return []
        return node.items

    def values(
        self,
        key: str,
        convert: Callable[[str], T],
        default: tuple[T, ...] = (),
        *,
        single: bool = False,
        repeats: bool = False,
        least: int = 0,
    ) -> tuple[T, ...]:
        """Take a list of scalars through `convert`; a value given twice is noted."""
        if key not in self._pairs:
            self._known.append(key)
            return default
        values: list[T] = []
        nodes = self.list(key, single)
        given = self._pairs[key][1]
        if isinstance(given, Sequence) and len(given.items) < least:
            self.refuse(key, f"{self.name(key)} is empty", "at least one entry")
        for node in nodes:
            value = self.convert(node, self.name(key), convert, None)
            if value is None:
                continue
            if not repeats and value in values:
                assert isinstance(node, Scalar)  # a value came out of it
                self.report.add(
                    node.mark, f'{self.name(key)} names "{node.text}" twice', "name it once"
                )
            else:
                values.append(value)
        return tuple(values)

    def entries(self) -> Iterator[tuple[str, Mark, Node]]:
        """Yield all keys and values of a mapping whose keys are free (names of things)."""
        for key, (mark, node) in self._pairs.items():
            self._known.append(key)
            if is_nothing(node):
                self.report.add(
                    mark, f"{self.name(key)} has no value", 'give one ("" for an empty text)'
                )
            else:
                yield key, mark, node

    def _where(self) -> str:
        return self.path or "the entry"


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "a single value"  # not quoted: it may be a variable's, with a secret in it
    return "a list" if isinstance(node, Sequence) else "a mapping"
