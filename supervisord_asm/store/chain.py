"""The hash chain over the events: what is hashed, and how each record holds on to the one before.

Pure. The hash of a record is SHA-256 over the hash of its predecessor (32 bytes) followed by the
UTF-8 of the record's canonical JSON (core/canonical.py):

    {"agent_id":…,"boot_id":…,"data":{…},"realtime_ns":…,"seq":…,"timestamp_us":…,"type":…}

The first record's predecessor is GENESIS. Since `seq` and the data are inside, no record can be
changed, moved, inserted or left out without breaking its own hash or the next one's link.

What that proves and what not: anybody who can write the file can compute all hashes anew. The chain
shows accidents and clumsy edits; against a determined root only a head kept elsewhere helps
(docs/journal.md).

Sources: reading/supervision.md C.3; RFC 8785.
"""

import hashlib
from json import JSONEncoder
from typing import NamedTuple

GENESIS = bytes(32)
HASH_BYTES = 32

# The words come from closed alphabets, but a verifier meets what others wrote there.
_quoted = JSONEncoder(ensure_ascii=False).encode


class Row(NamedTuple):
    """One event as it is stored: the columns of the table `event`, in their order."""

    seq: int
    boot_id: str
    timestamp_us: int
    realtime_ns: int
    agent_id: int
    type: str
    data: str
    prev_hash: bytes
    hash: bytes


class Head(NamedTuple):
    """The end of a chain: the last event's number and hash; (0, GENESIS) before the first."""

    seq: int
    hash: bytes


EMPTY = Head(0, GENESIS)


def record_hash(
    prev_hash: bytes,
    seq: int,
    boot_id: str,
    timestamp_us: int,
    realtime_ns: int,
    agent_id: int,
    type_word: str,
    data: str,
) -> bytes:
    """Return the hash of a record; `data` is already canonical JSON."""
    text = (
        f'{{"agent_id":{agent_id},"boot_id":{_quoted(boot_id)},"data":{data},'
        f'"realtime_ns":{realtime_ns},"seq":{seq},"timestamp_us":{timestamp_us},'
        f'"type":{_quoted(type_word)}}}'
    )
    return hashlib.sha256(prev_hash + text.encode("utf-8", "surrogatepass")).digest()


def row_hash(row: Row) -> bytes:
    """Return the hash that the row's content and its own prev_hash should have."""
    return record_hash(
        row.prev_hash, row.seq, row.boot_id, row.timestamp_us, row.realtime_ns, row.agent_id,
        row.type, row.data,
    )  # fmt: skip
