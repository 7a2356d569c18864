"""The frame codec: the layout of CONTRACT, every rule that a peer can break, and every cut."""

import pytest

from supervisord_asm.api.calls import Door
from supervisord_asm.api.numbers import CONTROL_FIRST, DOOR_FIRST, DOOR_LAST, Control
from supervisord_asm.api.wire import (
    ARGUMENTS,
    HEADER,
    MAGIC,
    PAYLOAD_BYTES_MAX,
    VERSION,
    Decoder,
    Frame,
    WireError,
    decode_arguments,
    encode_arguments,
    encode_frame,
)

FRAME = Frame(502, 0x1122334455667788, b"payload", -3)


def decode(data: bytes) -> list[Frame]:
    return list(Decoder().feed(data))


# -- The layout.


def test_a_frame_has_the_bytes_of_the_contract() -> None:
    assert encode_frame(FRAME) == (
        b"ASM1" b"\x01\x00" b"\xf6\x01" b"\x00\x00\x00\x00"
        b"\x88\x77\x66\x55\x44\x33\x22\x11" b"\x07\x00\x00\x00"
        b"\xfd\xff\xff\xff\xff\xff\xff\xff" b"payload"
    )  # fmt: skip


def test_arguments_are_four_signed_numbers_before_the_data() -> None:
    payload = encode_arguments((1, -1, 2**63 - 1, -(2**63)), b"text")
    assert payload[:16] == b"\x01" + bytes(7) + b"\xff" * 8
    assert decode_arguments(payload) == ((1, -1, 2**63 - 1, -(2**63)), b"text")


def test_arguments_that_are_cut_are_refused() -> None:
    with pytest.raises(WireError, match="32 bytes"):
        decode_arguments(bytes(ARGUMENTS.size - 1))


def test_numbers_are_those_of_the_guide_and_of_the_contract() -> None:
    assert (DOOR_FIRST, DOOR_LAST, CONTROL_FIRST) == (500, 511, 1024)
    assert sorted(Door) == list(range(500, 512))
    assert sorted(Control) == list(range(1024, 1024 + len(Control)))


# -- Decoding.


def test_a_frame_comes_back_as_it_was() -> None:
    assert decode(encode_frame(FRAME)) == [FRAME]
    largest = Frame(0xFFFF, 2**64 - 1, bytes(PAYLOAD_BYTES_MAX), 2**63 - 1)
    assert decode(encode_frame(largest)) == [largest]


def test_every_cut_of_two_frames_gives_both() -> None:
    data = encode_frame(FRAME) + encode_frame(Frame(1, 2))
    for cut in range(len(data) + 1):
        decoder = Decoder()
        frames = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]
        assert frames == [FRAME, Frame(1, 2)]
        assert decoder.pending_bytes == 0


def test_what_is_pending_is_counted() -> None:
    decoder = Decoder()
    data = encode_frame(FRAME)
    assert list(decoder.feed(data + data[:5])) == [FRAME]
    assert decoder.pending_bytes == 5


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "not the magic"),
        (b"A" + b"X", "not the magic"),
        (HEADER.pack(MAGIC + 1, VERSION, 1, 0, 1, 0, 0), "magic 0x314d5342"),
        (HEADER.pack(MAGIC, 2, 1, 0, 1, 0, 0), "version 2"),
        (HEADER.pack(MAGIC, VERSION, 1, 4, 1, 0, 0), "flags 0x4"),
        (HEADER.pack(MAGIC, VERSION, 1, 0, 1, PAYLOAD_BYTES_MAX + 1, 0), "over 1048576"),
        (HEADER.pack(MAGIC, VERSION, 1, 0, 1, 2**32 - 1, 0), "over 1048576"),
    ],
)
def test_each_violation_is_named(data: bytes, text: str) -> None:
    with pytest.raises(WireError, match=text):
        decode(data)


def test_frames_before_a_violation_are_still_given() -> None:
    decoder = Decoder()
    frames = decoder.feed(encode_frame(FRAME) + b"garbage")
    assert next(frames) == FRAME
    with pytest.raises(WireError):
        next(frames)


def test_a_wrong_start_is_refused_before_a_whole_header_came() -> None:
    for length in range(1, 5):
        with pytest.raises(WireError):
            decode(b"HTTP"[:length])
        assert decode(b"ASM1"[:length]) == []


def test_a_smaller_bound_may_be_set() -> None:
    frame = encode_frame(Frame(1, 1, bytes(11)))
    with pytest.raises(WireError, match="over 10"):
        list(Decoder(10).feed(frame))


# -- Encoding.


@pytest.mark.parametrize(
    "frame",
    [
        Frame(1, 1, bytes(PAYLOAD_BYTES_MAX + 1)),
        Frame(0x10000, 1),
        Frame(-1, 1),
        Frame(1, 2**64),
        Frame(1, 1, result=2**63),
        Frame(1, 1, flags=2**32),
    ],
    ids=["payload", "number", "negative", "id", "result", "flags"],
)
def test_a_field_out_of_its_range_is_refused(frame: Frame) -> None:
    with pytest.raises(WireError):
        encode_frame(frame)
