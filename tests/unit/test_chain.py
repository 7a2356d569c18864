"""What is hashed: known answers, and every part of a record counted in."""

import hashlib
import json

import pytest

from supervisord_asm.core.canonical import canonical_json
from supervisord_asm.core.events import Event, EventType, data_text
from supervisord_asm.store.chain import EMPTY, GENESIS, Head, Row, row_hash
from supervisord_asm.store.errors import UnreadableRow
from supervisord_asm.store.record import open_row, seal

EVENT = Event(
    EventType.EXIT,
    1003,
    12_345_678,
    1_795_000_000_123_456_789,
    {"signal": None, "code": 0, "cause": "cläan", "crashed": False},
    "0d6f2c0e-9d5c-4b8a-8a3f-6a2b9b1f0c11",
)
# The bytes that are hashed, written out: whoever checks a journal without our code needs only this.
FIRST_RECORD = (
    '{"agent_id":1003,"boot_id":"0d6f2c0e-9d5c-4b8a-8a3f-6a2b9b1f0c11",'
    '"data":{"cause":"cläan","code":0,"crashed":false,"signal":null},'
    '"realtime_ns":1795000000123456789,"seq":1,"timestamp_us":12345678,"type":"exit"}'
)


def sealed(event: Event, head: Head = EMPTY) -> Row:
    return seal(head, event, data_text(event))


def test_the_first_record_is_hashed_as_documented() -> None:
    row = sealed(EVENT)
    assert row.prev_hash == GENESIS == b"\0" * 32
    assert row.hash == hashlib.sha256(bytes(32) + FIRST_RECORD.encode()).digest()


def test_the_hashed_text_is_the_records_canonical_json() -> None:
    assert canonical_json(json.loads(FIRST_RECORD)) == FIRST_RECORD


def test_the_next_record_holds_on_to_the_one_before() -> None:
    first = sealed(EVENT)
    second = sealed(EVENT, Head(first.seq, first.hash))
    assert (second.seq, second.prev_hash) == (2, first.hash)
    assert second.hash != first.hash


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 2}, {"boot_id": ""}, {"timestamp_us": 12_345_679}, {"realtime_ns": 1},
        {"agent_id": 0}, {"type": "note"}, {"data": "{}"}, {"prev_hash": b"\1" * 32},
        {"type": 'exit","x":"'}, {"boot_id": "\ud800"},
    ],
)  # fmt: skip
def test_every_part_of_a_record_is_in_its_hash(change: dict[str, object]) -> None:
    row = sealed(EVENT)
    assert row_hash(row) == row.hash
    assert row_hash(row._replace(**change)) != row.hash  # type: ignore[arg-type]  # any column


def test_a_row_opens_as_the_event_that_was_sealed() -> None:
    assert open_row(sealed(EVENT)) == EVENT


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"type": "hibernate"}, "unknown type"),
        ({"data": "{"}, "no JSON"),
        ({"data": "[]"}, "no object"),
    ],
)
def test_a_row_that_is_no_event_says_so(change: dict[str, object], text: str) -> None:
    with pytest.raises(UnreadableRow, match=text):
        open_row(sealed(EVENT)._replace(**change))  # type: ignore[arg-type]  # any column
