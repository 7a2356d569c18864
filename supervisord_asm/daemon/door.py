"""What agents (and strangers) may ask: calls 500 to 511, whichever door they came through.

The form of each call, and who may make it, is the table's (api/calls.py). Numbers whose subsystem
is not built yet answer EOPNOTSUPP. Counters of all agents are readable by everybody, as the guide
has it; agents see no events of another (../shared/spec/CONTRACT.md, "Who is who").
"""

import errno
from collections.abc import Callable

from supervisord_asm.api.calls import (
    AGENT_INFO_BYTES_MAX,
    AMOUNT_MAX,
    ANSWER_BYTES_MIN,
    BY_NUMBER,
    TOOL_BYTES_MAX,
    Action,
    Call,
    Door,
    may_call,
)
from supervisord_asm.api.numbers import CONTROL_FIRST
from supervisord_asm.api.server import refusal
from supervisord_asm.api.wire import PAYLOAD_BYTES_MAX, Frame, WireError, decode_arguments
from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.profiling import OwnOperationRefused, Profiling
from supervisord_asm.daemon.publish import Texts
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.identity import Kind, Principal
from supervisord_asm.store.tallies import Tallies
from supervisord_asm.view.agent_info_json import agent_info_json

Words = tuple[int, int, int, int]
Answer = Callable[[Principal, Frame, Words, bytes], Frame]


class DoorRefusal(Exception):
    """A call is refused with this errno."""

    def __init__(self, errno_: int) -> None:
        super().__init__(errno_)
        self.errno = errno_


class AgentDoor:
    """The handler of the agent socket."""

    def __init__(
        self, fleet: Fleet, snapshots: Snapshots, texts: Texts, tallies: Tallies,
        profiling: Profiling,
    ) -> None:  # fmt: skip
        self._fleet = fleet
        self._profiling = profiling
        self._snapshots = snapshots
        self._texts = texts
        self._tallies = tallies
        self._answers: dict[Door, Answer] = {
            Door.TELEMETRY: self._telemetry,
            Door.AGENT_INFO: self._agent_info,
            Door.HEARTBEAT: self._heartbeat,
            Door.TRACK_TOOL_CALL: self._track_tool_call,
            Door.PROFILE_SAMPLE: self._profile_sample,
        }
        built = {call.number for call in BY_NUMBER.values() if call.is_built}
        assert built == self._answers.keys(), "the table says which calls are built"

    def answer(self, principal: Principal, frame: Frame) -> Frame:
        """Answer one call; every refusal is an errno."""
        try:
            call = self._admitted(principal, frame.number)
            words, data = decode_arguments(frame.payload)
            return self._answers[call.number](principal, frame, words, data)
        except DoorRefusal as error:
            return refusal(frame, error.errno)
        except WireError:
            return refusal(frame, errno.EINVAL)

    def beat(self, agent: Agent) -> bool:
        """Count a sign of life, through whichever door it came. False: there is no room for it."""
        agent.view = None
        return self._tallies.beat(agent.agent_id, boottime_us())

    def _admitted(self, principal: Principal, number: int) -> Call:
        """Return the call if this caller may make it. Raises DoorRefusal."""
        if number >= CONTROL_FIRST:
            raise DoorRefusal(errno.EPERM)  # operators have a socket of their own
        call = BY_NUMBER.get(number)
        if call is None:
            raise DoorRefusal(errno.EINVAL)
        is_operator = principal.kind is Kind.OPERATOR
        is_agent = principal.kind is Kind.AGENT
        is_allowed = may_call(call, is_agent=is_agent, is_operator=is_operator)
        # Strangers learn nothing of what is built; the others learn that first.
        if not is_allowed and not (is_agent or is_operator):
            raise DoorRefusal(errno.EPERM)
        if not call.is_built:
            raise DoorRefusal(errno.EOPNOTSUPP)
        if not is_allowed:
            raise DoorRefusal(errno.EPERM)
        return call

    def _telemetry(self, principal: Principal, frame: Frame, words: Words, data: bytes) -> Frame:
        size_bytes = _room(words[0])
        body = self._texts.telemetry(principal, min(size_bytes, PAYLOAD_BYTES_MAX))
        return Frame(frame.number, frame.request_id, body, len(body))

    def _agent_info(self, principal: Principal, frame: Frame, words: Words, data: bytes) -> Frame:
        agent_id, size_bytes = words[0], _room(words[1])
        agent = self._fleet.get(agent_id)
        if agent is None:
            raise DoorRefusal(errno.ESRCH)
        size = min(size_bytes, AGENT_INFO_BYTES_MAX)
        body = agent_info_json(self._snapshots.view(agent), size)
        return Frame(frame.number, frame.request_id, body, len(body))

    def _heartbeat(self, principal: Principal, frame: Frame, words: Words, data: bytes) -> Frame:
        if not self.beat(self._caller(principal)):
            raise DoorRefusal(errno.EAGAIN)
        return Frame(frame.number, frame.request_id)

    def _track_tool_call(
        self, principal: Principal, frame: Frame, words: Words, data: bytes
    ) -> Frame:
        agent = self._caller(principal)
        credits_milli, tokens = words[0], words[1]
        if not 0 <= credits_milli <= AMOUNT_MAX or not 0 <= tokens <= AMOUNT_MAX:
            raise DoorRefusal(errno.EINVAL)
        if not 0 < len(data) <= TOOL_BYTES_MAX or not _is_text(data):
            raise DoorRefusal(errno.EINVAL)
        if not self._tallies.count_tool_call(agent.agent_id, credits_milli, tokens):
            raise DoorRefusal(errno.EAGAIN)
        agent.view = None
        # There is no sentinel yet that could want anything else.
        return Frame(frame.number, frame.request_id, b"", Action.ALLOW)

    def _profile_sample(
        self, principal: Principal, frame: Frame, words: Words, data: bytes
    ) -> Frame:
        agent = self._caller(principal)
        duration_us, success, *reserved = words
        if duration_us < 0 or success not in (0, 1) or any(reserved):
            raise DoorRefusal(errno.EINVAL)
        try:
            operation = data.decode("ascii")
            self._profiling.report(agent.agent_id, operation, duration_us, bool(success))
        except ValueError as error:  # also what is not ASCII
            raise DoorRefusal(errno.EINVAL) from error
        except OwnOperationRefused as error:
            raise DoorRefusal(error.errno) from error
        return Frame(frame.number, frame.request_id)

    def _caller(self, principal: Principal) -> Agent:
        """Return the agent that the caller is part of. Raises DoorRefusal."""
        agent = None if principal.agent_id is None else self._fleet.get(principal.agent_id)
        if agent is None:  # its cgroup outlived its place in the fleet
            raise DoorRefusal(errno.ESRCH)
        return agent


def _room(size_bytes: int) -> int:
    """Return the size of the caller's room. Raises DoorRefusal when no answer fits."""
    if size_bytes < ANSWER_BYTES_MIN:
        raise DoorRefusal(errno.ENOSPC if size_bytes >= 0 else errno.EINVAL)
    return size_bytes


def _is_text(data: bytes) -> bool:
    try:
        return data.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False
