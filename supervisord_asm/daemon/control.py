"""What operators may ask on the control socket: numbers from 1024, one JSON object each way.

Finds the verb and turns refusals into replies; the verbs that change agents are commands.py's and
reloading.py's. A caller who is not an operator, by the kernel's word, gets EPERM for everything.
"""

import asyncio
import errno
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from supervisord_asm.api.numbers import Control
from supervisord_asm.api.server import refusal
from supervisord_asm.api.wire import PAYLOAD_BYTES_MAX, Frame
from supervisord_asm.core.history import History
from supervisord_asm.core.snapshot import AgentView, SystemView, agent_to_json, system_to_json
from supervisord_asm.core.support import Check
from supervisord_asm.daemon.activity import Activity
from supervisord_asm.daemon.commands import Commands
from supervisord_asm.daemon.cost import CostMeter
from supervisord_asm.daemon.fleet import Fleet, NoSuchAgent
from supervisord_asm.daemon.readings import Readings
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.reloading import Reloading
from supervisord_asm.daemon.request import Request, flag, text, whole
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.identity import Kind, Principal
from supervisord_asm.kernel.sampler import Sampler
from supervisord_asm.store.errors import JournalError
from supervisord_asm.store.journal import Journal

Answer = dict[str, Any]
RECENT_EVENTS = 10
EVENTS_LIMIT = 1024
# A listed agent takes under 700 bytes: a page stays within one frame.
LIST_PAGE = 1000
# What a list leaves out: long, and shown for one agent at a time.
LISTED_NOT = frozenset(
    {
        "mechanisms", "limits", "log_path", "cgroup", "run", "tool_credits_milli",
        "tool_tokens", "last_heartbeat_us", "notify_state", "notify_status",
    }
)  # fmt: skip
logger = logging.getLogger(__name__)


class ControlDoor:
    """The handler of the control socket."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        snapshots: Snapshots,
        history: History,
        system: Callable[[], SystemView],
        commands: Commands,
        readings: Readings,
        reloading: Reloading,
        sampler: Sampler,
        journal: Journal,
        checks: Callable[[], list[Check]],
        cost: CostMeter,
        activity: Activity,
        shut_down: Callable[[str], Awaitable[object]],
    ) -> None:
        self._fleet = fleet
        self._snapshots = snapshots
        self._history = history
        self._system = system
        self._commands = commands
        self._reloading = reloading
        self._sampler = sampler
        self._journal = journal
        self._checks = checks
        self._cost = cost
        self._shut_down = shut_down
        self._reads: dict[Control, Callable[[Request], Answer]] = {
            Control.STATUS: self._status,
            Control.LIST: self._list,
            Control.INFO: self._info,
            Control.DOCTOR: self._doctor,
            Control.EVENTS: self._events,
            Control.HISTORY: activity.history,
            Control.SYSCALLS: activity.syscalls,
            Control.RESOURCES: readings.resources,
            Control.PROFILE: readings.profile,
        }

    def answer(self, principal: Principal, frame: Frame) -> Frame | Awaitable[Frame]:
        """Answer one verb, at once or later."""
        if principal.kind is not Kind.OPERATOR:
            return _refuse(frame, ControlRefusal(errno.EPERM, f"{principal} is no operator"))
        try:
            verb = Control(frame.number)
            request = json.loads(frame.payload) if frame.payload else {}
        except (ValueError, RecursionError):  # the second for JSON nested without end
            return _refuse(frame, ControlRefusal(errno.EINVAL, "no such verb, or no JSON"))
        if not isinstance(request, dict):
            return _refuse(frame, ControlRefusal(errno.EINVAL, "the request is no JSON object"))
        read = self._reads.get(verb)
        if read is None:
            return self._answer_later(principal, frame, verb, request)
        try:
            return _reply(frame, read(request))
        except ControlRefusal as error:
            return _refuse(frame, error)
        except Exception as error:  # a bug of ours must not cut the caller off
            return _fail(frame, verb, error)

    async def _answer_later(
        self, principal: Principal, frame: Frame, verb: Control, request: Request
    ) -> Frame:
        try:
            match verb:
                case Control.RUN:
                    answer = await self._commands.run(request, principal)
                case Control.WAIT:
                    answer = await self._commands.wait(request)
                case Control.RELOAD:
                    answer = self._reloading.reload(principal)
                case Control.COST:
                    answer = await self._cost.measure(request)
                case Control.BACKUP:
                    answer = await self._backup(request)
                case Control.SHUTDOWN:
                    answer = await self._shutdown(request)
                case Control.FREEZE | Control.THAW:
                    raise ControlRefusal(errno.EOPNOTSUPP, "freezing agents is not built yet")
                case _:
                    answer = await self._commands.act(verb, request, principal)
        except ControlRefusal as error:
            return _refuse(frame, error)
        except Exception as error:  # a bug of ours must not leave the caller waiting for ever
            return _fail(frame, verb, error)
        return _reply(frame, answer)

    def _measure(self) -> None:
        """An operator looks: show this instant, not the last whole second."""
        self._sampler.sample_now()
        self._snapshots.take_figures(self._sampler.changed())

    def _status(self, request: Request) -> Answer:
        self._measure()
        events = list(self._history.recent)[-RECENT_EVENTS:]
        return {
            "timestamp_us": boottime_us(),
            "system": system_to_json(self._system()),
            "recent_events": [event.to_json() for event in reversed(events)],
        }

    def _list(self, request: Request) -> Answer:
        """A page of agents by rising id; "next" is where the next page begins, null at the end."""
        self._measure()
        views = list(self._snapshots.agents())
        if flag(request, "all"):
            views += self._snapshots.ended(boottime_us())
            views.sort(key=lambda view: view.agent_id)
        after = whole(request, "after", 0)
        page = [view for view in views if view.agent_id > after][: LIST_PAGE + 1]
        has_more = len(page) > LIST_PAGE
        return {
            "agents": [_listed(view) for view in page[:LIST_PAGE]],
            "next": page[LIST_PAGE - 1].agent_id if has_more else None,
        }

    def _info(self, request: Request) -> Answer:
        what = text(request, "agent")
        try:
            agent = self._fleet.find(what)
        except NoSuchAgent as error:
            for view in self._snapshots.ended(boottime_us()):
                if what in (str(view.agent_id), view.name):
                    return {"agent": agent_to_json(view), "events": []}
            raise ControlRefusal(errno.ESRCH, str(error)) from error
        if agent.slot is not None:
            # Somebody looks at one agent: show this instant, not the last whole second.
            self._sampler.sample_now(agent.slot)
            self._snapshots.take_figures([self._sampler.row(agent.slot)])
        events = [e.to_json() for e in self._history.recent if e.agent_id == agent.agent_id]
        return {
            "agent": agent_to_json(self._snapshots.view(agent)),
            "events": list(reversed(events))[:RECENT_EVENTS],
        }

    def _doctor(self, request: Request) -> Answer:
        return {"checks": [asdict(check) for check in self._checks()]}

    def _events(self, request: Request) -> Answer:
        total = self._history.events_total
        recent = list(self._history.recent)
        limit = min(whole(request, "limit", EVENTS_LIMIT), EVENTS_LIMIT)
        # Event number n (from 1) is the n-th ever; the ring holds the last of them.
        first = total - len(recent) + 1
        since = max(whole(request, "since", 0), first - 1)
        chosen = recent[since - first + 1 :][:limit] if since < total else []
        return {"events": [event.to_json() for event in chosen], "next": since + len(chosen)}

    async def _backup(self, request: Request) -> Answer:
        path = Path(text(request, "path"))
        if not path.is_absolute():
            raise ControlRefusal(errno.EINVAL, f"{str(path)!r} is no absolute path")
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._journal.backup, path)
        except (JournalError, OSError) as error:
            raise ControlRefusal(errno.EIO, f"unable to back up to {path}: {error}") from error
        return {"path": str(path)}

    async def _shutdown(self, request: Request) -> Answer:
        """Answered when the agents are stopped; we leave a moment later."""
        agents = request.get("agents", "stop")
        if agents not in ("stop", "keep"):
            raise ControlRefusal(errno.EINVAL, '"agents" is "stop" or "keep"')
        await self._shut_down(agents)
        return {}


def _listed(view: AgentView) -> Answer:
    record = agent_to_json(view)
    return {
        key: value
        for key, value in record.items()
        if value is not None and value != {} and key not in LISTED_NOT
    }


def _reply(frame: Frame, answer: Answer) -> Frame:
    payload = json.dumps(answer, separators=(",", ":")).encode()
    if len(payload) > PAYLOAD_BYTES_MAX:
        return _refuse(frame, ControlRefusal(errno.EMSGSIZE, "the answer is over 1 MiB"))
    return Frame(frame.number, frame.request_id, payload, len(payload))


def _fail(frame: Frame, verb: Control, error: Exception) -> Frame:
    logger.exception("unable to answer %s", verb.name)
    return _refuse(frame, ControlRefusal(errno.EIO, f"asmd failed: {error}; see its log"))


def _refuse(frame: Frame, error: ControlRefusal) -> Frame:
    body = json.dumps({"error": error.text, **error.details}).encode()
    return refusal(frame, error.errno, body)
