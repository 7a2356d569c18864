"""One event as one line of text. What happened is core.events.describe's sentence."""

from supervisord_asm.core.events import Event, describe
from supervisord_asm.view.escape import escaped


def event_line(event: Event) -> str:
    """Return "[12345678] Agent 102 spawned": microseconds since boot, then the sentence."""
    return f"[{event.timestamp_us}] {escaped(describe(event))}"
