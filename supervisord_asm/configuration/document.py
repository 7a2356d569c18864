"""YAML text as a tree of three kinds of nodes, each with its line and column.

Only the shape is made here; what a scalar means is decided by whoever reads it, from the text as it
was written. So `restart: no` is a word and not YAML 1.1's false, `[sleep, 10]` are two arguments,
`1.10` keeps its zero, and nothing in a file can choose a Python type: explicit tags are refused.

The tree is built from libyaml's events, not with yaml.compose: that one recurses in C, and 400,000
brackets end the process (PyYAML 6.0.3; measured). Here depth is counted before anything recurses.
Aliases are allowed and share their node; what they would expand to is bounded, which defuses the
"billion laughs".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

# A file for 1,000 agents in block style takes 400 KiB.
TEXT_MAX_BYTES = 4 * 1024 * 1024
# The deepest legal path (agents, gateway, providers, entry) takes 6.
DEPTH_MAX = 32
# Nodes after the expansion of aliases; 1,000 agents with every key take 150,000.
NODES_MAX = 500_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


class YamlRefused(Exception):
    """Text that is no YAML, or more of it than is read."""

    def __init__(self, mark: "Mark", message: str, hint: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class Mark:
    """A place, counted from 1; (0, 0) = not from a text."""

    line: int
    column: int


NOWHERE = Mark(0, 0)


@dataclass(slots=True)
class Scalar:
    """One value, as written. `plain` = without quotes."""

    text: str
    plain: bool
    mark: Mark

    def is_nothing(self) -> bool:
        """Tell whether the value was left out (`key:`) or spelled null."""
        return self.plain and self.text in _NOTHING


@dataclass(slots=True)
class Sequence:
    """A list."""

    items: "list[Node]"
    mark: Mark


@dataclass(slots=True)
class Mapping:
    """Keys and values as written: in order, duplicates included."""

    pairs: "list[tuple[Node, Node]]"
    mark: Mark


Node = Scalar | Sequence | Mapping


def is_nothing(node: Node) -> bool:
    """Tell whether there is no value in the place of one."""
    return isinstance(node, Scalar) and node.is_nothing()


def parse_document(data: bytes) -> Node | None:
    """Turn one YAML document into its tree; None when it holds nothing but comments."""
    text = _decode(data)
    try:
        return _Builder().build(_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not YAML"
        raise YamlRefused(
            Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1),
            what,
            "mend the YAML here or in the line above",
        ) from error
    except OverflowError as error:
        # Where PyYAML has no libyaml, its scanner hands "\UFFFFFFFF" to chr().
        raise YamlRefused(Mark(1, 1), "an escape of no character", "remove it") from error
    except yaml.reader.ReaderError as error:
        # libyaml's position counts bytes or characters by the kind of fault: not worth printing.
        raise YamlRefused(
            Mark(1, 1), f"a character that YAML does not allow ({error.reason})", "remove it"
        ) from error


def _decode(data: bytes) -> str:
    if len(data) > TEXT_MAX_BYTES:
        raise YamlRefused(
            Mark(1, 1),
            f"the file has {len(data)} bytes",
            f"at most {TEXT_MAX_BYTES}: spread the agents over several files",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(
            before.count(b"\n") + 1,
            len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1,
        )
        raise YamlRefused(mark, "a byte that is not UTF-8", "save the file as UTF-8") from error


@dataclass(slots=True)
class _Frame:
    """A collection that is not closed yet: a mapping's keys and values lie in it by turns."""

    node: Sequence | Mapping
    anchor: str | None
    items: "list[Node]"
    weight: int  # of all in it, aliases expanded


class _Builder:
    """Builds the tree from events, with a stack of its own."""

    def __init__(self) -> None:
        self._top = _Frame(Sequence([], NOWHERE), None, [], 0)  # the document
        self._below: list[_Frame] = []
        self._named: dict[str, tuple[Node, int]] = {}

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                self._start(Mapping([], _mark(event)), event)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._start(Sequence([], _mark(event)), event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise YamlRefused(
                        _mark(event), "a second document in one file", "one list, without ---"
                    )
        # `---` alone comes as one empty scalar, only comments as no document.
        root = self._top.items
        return root[0] if root and not is_nothing(root[0]) else None

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if event.tag is not None and event.tag != "!":
            raise _tagged(event)
        node = Scalar(event.value, event.implicit[0] and event.tag is None, _mark(event))
        if event.anchor is not None:
            self._named[event.anchor] = (node, 1)
        self._place(node, 1, node.mark)

    def _start(self, node: Sequence | Mapping, event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            raise _tagged(event)
        if len(self._below) >= DEPTH_MAX:
            raise YamlRefused(node.mark, f"more than {DEPTH_MAX} levels deep", "nest less")
        self._below.append(self._top)
        self._top = _Frame(node, event.anchor, [], 1)

    def _end(self) -> None:
        frame, self._top = self._top, self._below.pop()
        node = frame.node
        if isinstance(node, Mapping):
            node.pairs = list(zip(frame.items[::2], frame.items[1::2], strict=True))
        else:
            node.items = frame.items
        if frame.anchor is not None:
            # Named only now: an alias to a node that is still open would make a ring.
            self._named[frame.anchor] = (node, frame.weight)
        self._place(node, frame.weight, node.mark)

    def _alias(self, event: yaml.AliasEvent) -> None:
        mark = _mark(event)
        found = self._named.get(str(event.anchor))
        if found is None:
            raise YamlRefused(
                mark, f"*{event.anchor} names no anchor", "an anchor that stands above it"
            )
        self._place(*found, mark)

    def _place(self, node: Node, weight: int, mark: Mark) -> None:
        top = self._top
        top.items.append(node)
        top.weight += weight
        if top.weight > NODES_MAX:
            raise YamlRefused(
                mark,
                f"more than {NODES_MAX} values once aliases are expanded",
                "use fewer aliases",
            )


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield what yaml.parse would, without asking before each event whether there is one."""
    loader = _LOADER(text)
    try:
        while True:
            event = loader.get_event()
            yield event
            if isinstance(event, yaml.StreamEndEvent):
                return
    finally:
        loader.dispose()


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    assert start is not None  # only events made by hand have none
    return Mark(start.line + 1, start.column + 1)


def _tagged(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> YamlRefused:
    return YamlRefused(
        _mark(event), f"the tag {event.tag}", "no tags: write the value, in quotes if it is text"
    )
