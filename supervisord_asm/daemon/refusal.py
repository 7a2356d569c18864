"""How a control call is refused: an errno, words for people, and what else helps them."""

from collections.abc import Mapping
from typing import Any


class ControlRefusal(Exception):
    """The answer is no. Sent as the negative errno with {"error": text, **details}."""

    def __init__(self, errno_: int, text: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.errno = errno_
        self.text = text
        self.details = dict(details or {})
