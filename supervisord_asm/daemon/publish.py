"""Renders what is shown, once for everybody, and pushes it to asm-procfs.

`Texts` caches each agent's pieces by its view: a piece is rendered again only when the view was
built again. `Publisher` queues what changed, and a tick every second as proof of life; a new
connection gets everything between BEGIN_SYNC and END_SYNC. Sending is `procfs.py`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisord_asm.core.events import Event
from supervisord_asm.core.history import History
from supervisord_asm.core.resources import Rates
from supervisord_asm.core.snapshot import AgentView, SystemView
from supervisord_asm.daemon.measuring import Measuring
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.kernel.identity import Kind, Principal
from supervisord_asm.kernel.procfs_channel import ProcfsChannel
from supervisord_asm.view import telemetry_json as telemetry
from supervisord_asm.view.agent_limits_text import agent_limits_text
from supervisord_asm.view.agent_resources_text import agent_resources_text
from supervisord_asm.view.agent_status_text import agent_status_text
from supervisord_asm.view.rates_text import rates_lines
from supervisord_asm.view.resources_text import agent_resources_row, join_resources
from supervisord_asm.view.status_text import agent_row, agent_tally, join_status, row_widths


@dataclass(slots=True)
class Pieces:
    """One agent's parts of the files that hold all agents."""

    view: AgentView
    widths: tuple[int, int, int, int, int]
    row: str
    tally: str
    member: str
    resources_row: str


class Texts:
    """Everything as text, from cached pieces."""

    def __init__(
        self, snapshots: Snapshots, history: History, system: Callable[[], SystemView]
    ) -> None:
        self._snapshots = snapshots
        self._history = history
        self._system = system
        self._pieces: dict[int, Pieces] = {}

    def pieces(self) -> list[Pieces]:
        """Return every agent's pieces, by rising id; renders only what changed."""
        views = self._snapshots.agents()
        widths = row_widths(views)
        fresh: dict[int, Pieces] = {}
        for view in views:
            known = self._pieces.get(view.agent_id)
            if known is None or known.view is not view or known.widths != widths:
                known = Pieces(
                    view, widths, agent_row(view, widths), agent_tally(view),
                    telemetry.agent_member(view), agent_resources_row(view),
                )  # fmt: skip
            fresh[view.agent_id] = known
        self._pieces = fresh
        return list(fresh.values())

    def status(self, pieces: list[Pieces], system: SystemView) -> str:
        """Return the file `status`."""
        widths = pieces[0].widths if pieces else row_widths([])
        rows, tallies = [p.row for p in pieces], [p.tally for p in pieces]
        return join_status(system, rows, tallies, widths)

    def resources(self, pieces: list[Pieces], system: SystemView, rates: list[Rates]) -> str:
        """Return the file `resources`, with the sums of all agents' rates."""
        views, rows = [p.view for p in pieces], [p.resources_row for p in pieces]
        return join_resources(system, views, rows, rates)

    def telemetry(self, principal: Principal | None, size_bytes: int | None) -> bytes:
        """Return 500's answer for this caller; agents are shown no events but their own.

        None is the file `telemetry`, which everybody may read.
        """
        return self.telemetry_of(self.pieces(), self._system(), principal, size_bytes)

    def telemetry_of(
        self,
        pieces: list[Pieces],
        system: SystemView,
        principal: Principal | None,
        size_bytes: int | None,
    ) -> bytes:
        """Return the same from what is at hand."""
        members = [piece.member for piece in pieces]
        events = [telemetry.event_member(event) for event in self._events_for(principal)]
        return telemetry.join_telemetry(system, members, events, size_bytes)

    def _events_for(self, principal: Principal | None) -> list[Event]:
        newest: list[Event] = []
        for event in reversed(self._history.recent):
            if len(newest) == telemetry.EVENTS_MAX:
                break
            if principal is None:
                newest.append(_public(event))
            elif _may_see(principal, event):
                newest.append(event)
        return newest


def _public(event: Event) -> Event:
    """What everybody may know of an event: no more than the public counters tell by moving."""
    return replace(event, data={}, boot_id="")


def _may_see(principal: Principal, event: Event) -> bool:
    if principal.kind is Kind.OPERATOR:
        return True
    return principal.kind is Kind.AGENT and event.agent_id == principal.agent_id


class Publisher:
    """Keeps asm-procfs's files equal to what stands here."""

    def __init__(
        self,
        texts: Texts,
        history: History,
        system: Callable[[], SystemView],
        measuring: Measuring,
    ) -> None:
        self._texts = texts
        self._history = history
        self._system = system
        self._usage = measuring.usage
        self._profiles = measuring.profile_files
        self._channel: ProcfsChannel | None = None
        self._sent_views: dict[int, AgentView] = {}
        self._sent_rates: dict[int, tuple[Rates, ...]] = {}
        self._events: list[Event] = []  # happened since the last tick

    def attach(self, channel: ProcfsChannel) -> None:
        """Take a new connection and give it everything."""
        self._channel = channel
        self._sent_views.clear()
        self._sent_rates.clear()
        self._events.clear()  # the history has them
        channel.begin_sync()
        self._put_all()
        self._profiles.put_all(channel, self._sent_views)
        channel.end_sync()
        for event in self._history.recent:
            channel.event(telemetry.event_member(event))
        channel.tick()

    def detach(self) -> None:
        """The connection is gone; keep nothing of what was sent."""
        self._channel = None
        self._events.clear()

    def event(self, event: Event) -> None:
        """Append to the stream `events`, with the next tick.

        Rendered then: now somebody waits for what follows from the event, a restart perhaps.
        """
        if self._channel is not None:
            self._events.append(event)

    def tick(self) -> None:
        """Send what changed since the last tick, and the tick."""
        if self._channel is not None:
            for event in self._events:
                self._channel.event(telemetry.event_member(event))
            self._events.clear()
            self._put_all()
            self._profiles.put_changed(self._channel, self._sent_views)
            self._channel.tick()

    def _put_all(self) -> None:
        assert self._channel is not None
        pieces = self._texts.pieces()
        for piece in pieces:
            self._put_agent(piece.view)
        for agent_id in self._sent_views.keys() - {piece.view.agent_id for piece in pieces}:
            self._remove_agent(self._sent_views.pop(agent_id))
        # The channel leaves out what equals the last body sent under a name.
        system = self._system()
        self._channel.put_text("status", self._texts.status(pieces, system))
        rates = self._usage.system_rates()
        self._channel.put_text("resources", self._texts.resources(pieces, system, rates))
        telemetry_text = self._texts.telemetry_of(pieces, system, None, None).decode()
        self._channel.put_json("telemetry", telemetry_text)

    def _put_agent(self, view: AgentView) -> None:
        assert self._channel is not None
        known = self._sent_views.get(view.agent_id)
        rates = self._usage.rates_shown(view.agent_id)
        folder = f"agents/{view.agent_id}"
        if known is not view or self._sent_rates.get(view.agent_id) is not rates:
            # An agent that rests is the same as before, and its rates still fall for a minute.
            self._sent_rates[view.agent_id] = rates
            text = agent_resources_text(view) + "\n".join(["", *rates_lines("Rates", rates), ""])
            self._channel.put_text(f"{folder}/resources", text)
        if known is view:
            return
        self._sent_views[view.agent_id] = view
        self._channel.put_text(f"{folder}/status", agent_status_text(view))
        if known is None or known.limits != view.limits or known.mechanisms != view.mechanisms:
            self._channel.put_text(f"{folder}/limits", agent_limits_text(view))
        if known is None:
            self._channel.put_link(f"agents/{view.name}", str(view.agent_id))

    def _remove_agent(self, view: AgentView) -> None:
        assert self._channel is not None
        self._sent_rates.pop(view.agent_id, None)
        self._profiles.forget(view.agent_id)
        self._channel.remove(f"agents/{view.agent_id}")
        self._channel.remove(f"agents/{view.name}")
