"""Any bytes, in any cuts, through the decoder: frames or WireError, in bounded memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.api.wire import (
    HEADER,
    MAGIC,
    PAYLOAD_BYTES_MAX,
    VERSION,
    Decoder,
    Frame,
    WireError,
    encode_frame,
)

FRAMES = st.builds(
    Frame,
    number=st.integers(0, 0xFFFF),
    request_id=st.integers(0, 2**64 - 1),
    payload=st.binary(max_size=200),
    result=st.integers(-(2**63), 2**63 - 1),
)
HEADERS = st.builds(
    HEADER.pack,
    st.sampled_from([MAGIC, MAGIC, MAGIC, 0]),
    st.sampled_from([VERSION, VERSION, 2]),
    st.integers(0, 0xFFFF),
    st.sampled_from([0, 0, 1]),
    st.integers(0, 2**64 - 1),
    st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1)),
    st.integers(-(2**63), 2**63 - 1),
)
PIECES = st.lists(
    st.one_of(FRAMES.map(encode_frame), HEADERS, st.binary(max_size=80)), max_size=8
).map(b"".join)
CUTS = st.lists(st.integers(1, 400), min_size=1, max_size=20)


def fed(data: bytes, cuts: list[int]) -> tuple[list[Frame], str]:
    """Feed data in pieces of these lengths, again and again; return frames and the error's text."""
    decoder, frames = Decoder(), list[Frame]()
    position = turn = 0
    try:
        while position < len(data):
            length = cuts[turn % len(cuts)]
            for frame in decoder.feed(data[position : position + length]):
                frames.append(frame)  # what came before an error counts too
            position, turn = position + length, turn + 1
            assert decoder.pending_bytes < HEADER.size + PAYLOAD_BYTES_MAX
    except WireError as error:
        return frames, str(error)
    return frames, ""


@given(st.lists(FRAMES, max_size=10), CUTS)
def test_frames_come_back_as_they_were_however_they_are_cut(
    frames: list[Frame], cuts: list[int]
) -> None:
    assert fed(b"".join(map(encode_frame, frames)), cuts) == (frames, "")


@given(PIECES, CUTS)
def test_any_bytes_give_frames_or_a_wire_error_and_the_cuts_change_nothing(
    data: bytes, cuts: list[int]
) -> None:
    frames, error = fed(data, cuts)
    whole_frames, whole_error = fed(data, [max(1, len(data))])
    assert frames == whole_frames
    assert bool(error) == bool(whole_error)
    # What was taken as frames is, byte for byte, what stood there.
    assert data.startswith(b"".join(map(encode_frame, frames)))


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_a_changed_byte_never_changes_the_frames_before_it(
    frames: list[Frame], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(map(encode_frame, frames)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    intact, end = 0, 0
    for frame in frames:
        end += len(encode_frame(frame))
        if end > place:
            break
        intact += 1
    found, _ = fed(bytes(whole), [64])
    assert found[:intact] == frames[:intact]


def test_a_stream_of_large_frames_needs_the_memory_of_one() -> None:
    decoder = Decoder()
    frame = encode_frame(Frame(1, 1, bytes(PAYLOAD_BYTES_MAX)))
    piece = 1 << 16
    tracemalloc.start()
    count = 0
    for start in range(0, 20 * len(frame), piece):
        place = start % len(frame)
        data = (frame + frame)[place : place + piece]
        count += len(list(decoder.feed(data)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 19
    assert peak < 8 * PAYLOAD_BYTES_MAX
