"""An event as a stored row, and a stored row as an event.

Sealing an event means giving it its number and its place in the chain; then it never changes.
"""

import json
from collections.abc import Mapping
from typing import Any

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.store.chain import Head, Row, record_hash

# The columns of `event`, in the order of Row.
COLUMNS = ", ".join(Row._fields)


class UnreadableRow(ValueError):
    """A stored row that is no event of ours; the message says why."""


def seal(head: Head, event: Event, data: str) -> Row:
    """Return the row that follows `head`. `data` is core.events.data_text(event)."""
    seq = head.seq + 1
    word = event.type.value
    digest = record_hash(
        head.hash, seq, event.boot_id, event.timestamp_us, event.realtime_ns, event.agent_id,
        word, data,
    )  # fmt: skip
    return Row(
        seq, event.boot_id, event.timestamp_us, event.realtime_ns, event.agent_id, word, data,
        head.hash, digest,
    )  # fmt: skip


def open_row(row: Row) -> Event:
    """Return the event of a row. Raises UnreadableRow."""
    try:
        word = EventType(row.type)
    except ValueError as error:
        raise UnreadableRow(f"event {row.seq} is of the unknown type {row.type!r}") from error
    return Event(
        word, row.agent_id, row.timestamp_us, row.realtime_ns, parse_data(row), row.boot_id
    )


def parse_data(row: Row) -> Mapping[str, Any]:
    """Return the data of a row. Raises UnreadableRow."""
    try:
        data = json.loads(row.data)
    except ValueError as error:
        raise UnreadableRow(f"the data of event {row.seq} is no JSON") from error
    if not isinstance(data, dict):
        raise UnreadableRow(f"the data of event {row.seq} is no object")
    return data
