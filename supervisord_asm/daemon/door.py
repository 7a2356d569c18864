"""What agents (and strangers) may ask: calls 500 to 511, whichever door they came through.

500, 502 and 508 are served; the other numbers belong to subsystems that are not built yet and
answer EOPNOTSUPP. Counters of all agents are readable by everybody, as the guide has it; agents of
another see no events but their own (../shared/spec/CONTRACT.md, "Who is who").
"""

import errno

from supervisord_asm.api.numbers import (
    AGENT_INFO_BYTES_MAX,
    ANSWER_BYTES_MIN,
    CONTROL_FIRST,
    DOOR_FIRST,
    DOOR_LAST,
    Door,
)
from supervisord_asm.api.server import refusal
from supervisord_asm.api.wire import PAYLOAD_BYTES_MAX, Frame, WireError, decode_arguments
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.profiling import OwnOperationRefused, Profiling
from supervisord_asm.daemon.publish import Texts
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.kernel.identity import Kind, Principal
from supervisord_asm.view.agent_info_json import agent_info_json


class AgentDoor:
    """The handler of the agent socket."""

    def __init__(
        self, fleet: Fleet, snapshots: Snapshots, texts: Texts, profiling: Profiling
    ) -> None:
        self._fleet = fleet
        self._profiling = profiling
        self._snapshots = snapshots
        self._texts = texts

    def answer(self, principal: Principal, frame: Frame) -> Frame:
        """Answer one call; every refusal is an errno."""
        if frame.number >= CONTROL_FIRST:
            return refusal(frame, errno.EPERM)  # operators have a socket of their own
        if not DOOR_FIRST <= frame.number <= DOOR_LAST:
            return refusal(frame, errno.EINVAL)
        try:
            arguments, data = decode_arguments(frame.payload)
        except WireError:
            return refusal(frame, errno.EINVAL)
        match frame.number:
            case Door.TELEMETRY:
                return self._telemetry(principal, frame, arguments[0])
            case Door.AGENT_INFO if principal.kind is Kind.STRANGER:
                return refusal(frame, errno.EPERM)
            case Door.AGENT_INFO:
                return self._agent_info(frame, arguments[0], arguments[1])
            case Door.PROFILE_SAMPLE:
                return self._profile_sample(principal, frame, arguments, data)
            case _:
                return refusal(frame, errno.EOPNOTSUPP)

    def _telemetry(self, principal: Principal, frame: Frame, size_bytes: int) -> Frame:
        if size_bytes < ANSWER_BYTES_MIN:
            return refusal(frame, errno.ENOSPC if size_bytes >= 0 else errno.EINVAL)
        body = self._texts.telemetry(principal, min(size_bytes, PAYLOAD_BYTES_MAX))
        return Frame(frame.number, frame.request_id, body, len(body))

    def _agent_info(self, frame: Frame, agent_id: int, size_bytes: int) -> Frame:
        if size_bytes < ANSWER_BYTES_MIN:
            return refusal(frame, errno.ENOSPC if size_bytes >= 0 else errno.EINVAL)
        agent = self._fleet.get(agent_id)
        if agent is None:
            return refusal(frame, errno.ESRCH)
        size = min(size_bytes, AGENT_INFO_BYTES_MAX)
        body = agent_info_json(self._snapshots.view(agent), size)
        return Frame(frame.number, frame.request_id, body, len(body))

    def _profile_sample(
        self, principal: Principal, frame: Frame, arguments: tuple[int, ...], name: bytes
    ) -> Frame:
        """Take (microseconds, 1 success or 0 failure, 0, 0) and the operation's name."""
        if principal.agent_id is None or self._fleet.get(principal.agent_id) is None:
            return refusal(frame, errno.EPERM)  # agents report of themselves, and nobody else
        duration_us, success, *reserved = arguments
        if duration_us < 0 or success not in (0, 1) or any(reserved):
            return refusal(frame, errno.EINVAL)
        try:
            operation = name.decode("ascii")
            self._profiling.report(principal.agent_id, operation, duration_us, bool(success))
        except ValueError:  # also what is not ASCII
            return refusal(frame, errno.EINVAL)
        except OwnOperationRefused as error:
            return refusal(frame, error.errno)
        return Frame(frame.number, frame.request_id, b"", 0)
