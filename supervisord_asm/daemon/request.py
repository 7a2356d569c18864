"""Reads the members of a control request: JSON that an operator's program sent, of any kind.

A member that is absent or null has its default; one of the wrong kind is the caller's mistake and
is refused by name. So what a verb is given is what it can work with.
"""

import errno
from collections.abc import Mapping
from typing import Any

from supervisord_asm.daemon.refusal import ControlRefusal

Request = Mapping[str, Any]


def whole(request: Request, name: str, default: int) -> int:
    """Return a member that is a whole number of at least 0. Raises ControlRefusal."""
    value = request.get(name)
    if value is None:
        return default
    if type(value) is not int or value < 0:  # True is an int to isinstance
        raise ControlRefusal(errno.EINVAL, f'"{name}" is no whole number')
    return value


def text(request: Request, name: str) -> str:
    """Return a member that is a text, "" by default. Raises ControlRefusal."""
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ControlRefusal(errno.EINVAL, f'"{name}" is no text')
    return value


def flag(request: Request, name: str) -> bool:
    """Return a member that is true or false, false by default. Raises ControlRefusal."""
    value = request.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ControlRefusal(errno.EINVAL, f'"{name}" is neither true nor false')
    return value


def wholes(request: Request, name: str) -> list[int]:
    """Return a member that is a list of whole numbers from 0, empty by default.

    Raises ControlRefusal.
    """
    value = request.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or any(type(item) is not int or item < 0 for item in value):
        raise ControlRefusal(errno.EINVAL, f'"{name}" is no list of whole numbers')
    return value


def texts(request: Request, name: str) -> list[str]:
    """Return a member that is a list of texts, empty by default. Raises ControlRefusal."""
    value = request.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ControlRefusal(errno.EINVAL, f'"{name}" is no list of texts')
    return value
