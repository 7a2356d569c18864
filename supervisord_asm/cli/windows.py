"""An agent's last minute as asmd tells it: the windows of verb RESOURCES, read into values."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from supervisord_asm.api.client import Client
from supervisord_asm.api.numbers import Control
from supervisord_asm.core.resources import Window

_FIELDS = frozenset(item.name for item in fields(Window))


def fetch_windows(client: Client, agent: str) -> list[Window]:
    """Ask for an agent's closed windows, oldest first. Raises ClientError (Refused ESRCH)."""
    return read_windows(client.control(Control.RESOURCES, agent=agent))


def read_windows(answer: Mapping[str, Any]) -> list[Window]:
    """Return the answer's windows, oldest first; members that a newer asmd has are left out."""
    return [
        Window(**{name: figure for name, figure in record.items() if name in _FIELDS})
        for record in answer["windows"]
    ]
