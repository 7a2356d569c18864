"""An event as a stored row, and a stored row as an event.

Sealing an event means giving it its number and its place in the chain; then it never changes.
"""

import json
from typing import Any

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.store.chain import Head, Row, record_hash
from supervisord_asm.store.errors import UnreadableRow

# The columns of `event`, in the order of Row, and those of them that are not hashes.
COLUMNS = ", ".join(Row._fields)
CONTENT = ", ".join(Row._fields[:7])

_KINDS = {kind.value: kind for kind in EventType}
_ROW_TYPES = (int, str, int, int, int, str, str, bytes, bytes)
_CONTENT_TYPES = _ROW_TYPES[:7]
_decode = json.JSONDecoder().decode


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


def parse_row(values: tuple[Any, ...]) -> Row:
    """Return what was selected as COLUMNS. Raises UnreadableRow."""
    if tuple(map(type, values)) != _ROW_TYPES:
        raise UnreadableRow(f"event {values[0]} holds values of other types than were written")
    return Row(*values)


def open_row(row: Row) -> Event:
    """Return the event of a row. Raises UnreadableRow."""
    return open_content(row[:7])


def open_content(values: tuple[Any, ...]) -> Event:
    """Return the event of what was selected as CONTENT. Raises UnreadableRow."""
    if tuple(map(type, values)) != _CONTENT_TYPES:
        raise UnreadableRow(f"event {values[0]} holds values of other types than were written")
    seq, boot_id, timestamp_us, realtime_ns, agent_id, word, text = values
    kind = _KINDS.get(word)
    if kind is None:
        raise UnreadableRow(f"event {seq} is of the unknown type {word!r}")
    try:
        data = _decode(text)
    except ValueError as error:
        raise UnreadableRow(f"the data of event {seq} is no JSON") from error
    if not isinstance(data, dict):
        raise UnreadableRow(f"the data of event {seq} is no object")
    return Event(kind, agent_id, timestamp_us, realtime_ns, data, boot_id)
