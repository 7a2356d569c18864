"""How `asmctl top` looks at asmd: a picture at a time, over one connection that comes back.

A look is two calls and a page of the list for each thousand agents; two more for the one agent that
is looked at closely. It blocks, so the full-screen view makes it in a thread of its own.
"""

import errno
import time
from dataclasses import dataclass
from typing import Any

from supervisord_asm.api.client import Client, ClientError, Refused
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.asmlist import list_agents
from supervisord_asm.cli.windows import fetch_windows
from supervisord_asm.core.events import Event, event_from_json
from supervisord_asm.core.resources import Window
from supervisord_asm.core.snapshot import (
    AgentView,
    SystemView,
    agent_from_json,
    system_from_json,
)


@dataclass(frozen=True, slots=True)
class Detail:
    """One agent closely: the whole view, its last minute, its last events (newest first)."""

    view: AgentView
    windows: tuple[Window, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What one look has shown. `detail` is None when none was asked for, or it is gone."""

    at_us: int
    """CLOCK_BOOTTIME when the agents were told."""
    system: SystemView
    agents: tuple[AgentView, ...]
    detail: Detail | None = None


class Watch:
    """Looks at asmd again and again. Not thread-safe: one thread looks."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Remember where asmd is; connects at the first look."""
        self._path = path
        self._timeout_s = timeout_s
        self._client: Client | None = None

    def look(self, agent_id: int | None = None) -> Picture:
        """Ask for everything, and closely for one agent. Raises ClientError.

        After a failure the next look connects anew.
        """
        try:
            if self._client is None:
                self._client = Client(self._path, self._timeout_s)
            return self._look(self._client, agent_id)
        except ClientError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one; the next look connects again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _look(self, client: Client, agent_id: int | None) -> Picture:
        system = system_from_json(client.control(Control.STATUS)["system"])
        agents = tuple(map(agent_from_json, list_agents(client, with_ended=False)))
        at_us = boottime_us()
        detail = None if agent_id is None else _look_closely(client, agent_id)
        return Picture(at_us, system, agents, detail)


def order(path: str, timeout_s: float, verb: Control, agent_id: int, **request: Any) -> str:
    """Give one order about one agent; return what became of it, in a few words.

    Returns when asmd has accepted it and not when it is done: the table shows that.
    """
    try:
        with Client(path, timeout_s) as client:
            answer = client.control(verb, agents=[str(agent_id)], all=False, wait=False, **request)
    except ClientError as error:
        return str(error)
    result = answer["results"][0]
    return result.get("message") or "accepted"


def boottime_us() -> int:
    """Return the clock of every time in a view."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


def _look_closely(client: Client, agent_id: int) -> Detail | None:
    try:
        answer = client.control(Control.INFO, agent=str(agent_id))
        windows = fetch_windows(client, str(agent_id))
    except Refused as error:
        if error.errno == errno.ESRCH:
            return None
        raise
    events = tuple(map(event_from_json, answer.get("events", ())))
    return Detail(agent_from_json(answer["agent"]), tuple(windows), events)
