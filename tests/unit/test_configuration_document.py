"""Text to nodes: words stay as written, and nothing in a file can exhaust us."""

import time

import pytest
import yaml

from supervisord_asm.configuration.document import (
    DEPTH_MAX,
    TEXT_MAX_BYTES,
    Mapping,
    Mark,
    Scalar,
    Sequence,
    YamlRefused,
    parse_document,
)


def refused(data: bytes) -> str:
    with pytest.raises(YamlRefused) as caught:
        parse_document(data)
    error = caught.value
    return f"{error.mark.line}:{error.mark.column}: {error.message}: {error.hint}"


def test_scalars_keep_their_text_and_their_place() -> None:
    node = parse_document(b"a: no\nb: [1.10, '~', 0x1F]\n")
    assert isinstance(node, Mapping)
    (a, no), (_, listed) = node.pairs
    assert a == Scalar("a", True, Mark(1, 1))
    assert no == Scalar("no", True, Mark(1, 4))
    assert isinstance(listed, Sequence)
    assert [item.text for item in listed.items if isinstance(item, Scalar)] == ["1.10", "~", "0x1F"]
    assert listed.items[1] == Scalar("~", False, Mark(2, 11))
    assert not listed.items[1].is_nothing()


@pytest.mark.parametrize("data", [b"", b"# only a comment\n", b"---\n", b"~\n", b"\xef\xbb\xbf"])
def test_a_file_without_content_is_nothing(data: bytes) -> None:
    assert parse_document(data) is None


def test_an_alias_stands_for_its_anchor() -> None:
    node = parse_document(b"a: &x [1]\nb: *x\n")
    assert isinstance(node, Mapping)
    assert node.pairs[0][1] is node.pairs[1][1]


def test_an_alias_of_an_open_node_is_refused() -> None:
    assert refused(b"a: &x [*x]\n") == "1:8: *x names no anchor: an anchor that stands above it"


def test_nesting_is_bounded_before_anything_recurses() -> None:
    # 400,000 brackets end the interpreter inside yaml.compose.
    for opening in (b"[", b"{a: ", b"- "):
        assert "more than 32 levels deep" in refused(opening * 400_000)
    assert parse_document(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX) is not None


def test_a_billion_laughs_cost_nothing() -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 30):
        nine = b", ".join([b"*a%d" % (level - 1)] * 9)
        lines += [b"a%d: &a%d [%s]" % (level, level, nine)]
    begin = time.monotonic()
    assert "values once aliases are expanded: use fewer aliases" in refused(b"\n".join(lines))
    assert time.monotonic() - begin < 1


def test_a_file_that_is_too_large_is_refused_by_its_size() -> None:
    assert refused(b"#" * (TEXT_MAX_BYTES + 1)) == (
        "1:1: the file has 4194305 bytes: at most 4194304: spread the agents over several files"
    )


def test_bytes_that_are_no_utf8_are_shown_by_place() -> None:
    assert refused("ä: b\nc: é\xff".encode("latin-1")) == (
        "1:1: a byte that is not UTF-8: save the file as UTF-8"
    )
    assert refused("a: ü".encode() + b"\n\xc3\xbcb\xff") == (
        "2:3: a byte that is not UTF-8: save the file as UTF-8"
    )


def test_the_loader_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a: [&x 1, *x, 'no']\nb: {c: ~}\n"
    tree = parse_document(data)
    monkeypatch.setattr("supervisord_asm.configuration.document._LOADER", yaml.SafeLoader)
    assert parse_document(data) == tree
    assert refused(b'"\\UFFFFFFFF"') == "1:1: an escape of no character: remove it"
    assert "more than 32 levels deep" in refused(b"[" * 400_000)


def test_characters_that_yaml_forbids_are_refused() -> None:
    assert refused(b"name: a\x07\n") == (
        "1:1: a character that YAML does not allow (control characters are not allowed): remove it"
    )
