"""What agents say through NOTIFY_SOCKET, acted on: readiness, signs of life, a line of status.

Everybody may write to the socket; only a process inside an agent's cgroup is heard, as that agent
(../shared/spec/CONTRACT.md, "Who is who"). Finding out who it is costs more than sending, so a
flood is answered by hearing nobody for a moment: the senders wait, and asmd does not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from supervisord_asm.api.server import TokenBucket
from supervisord_asm.core.lifecycle import LIVING, Extended, Ready
from supervisord_asm.core.notification import (
    DATAGRAM_BYTES_MAX,
    Notification,
    NotificationError,
    parse_notification,
)
from supervisord_asm.daemon.agent import Agent, Notified
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.kernel.notify_socket import NotifySocket

TURN_DATAGRAMS_MAX = 16
# An agent that says more than this makes all of them wait: 16 in 20 ms are what is heard then.
RATE_PER_SEC, RATE_BURST = 50, 100
FLOOD_PAUSE_S = 0.02


class Notices:
    """Reads the socket and moves the agents."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        socket: NotifySocket,
        fleet: Fleet,
        beat: Callable[[Agent], bool],
    ) -> None:
        """`beat` counts a sign of life, or says that it cannot. Reading begins at once."""
        self._loop = loop
        self._socket = socket
        self._fleet = fleet
        self._beat = beat
        self._buckets: dict[int, TokenBucket] = {}
        self._pause: asyncio.TimerHandle | None = None
        self.counters: Counter[str] = Counter()
        loop.add_reader(socket.fileno(), self._read)

    def close(self) -> None:
        """Stop reading, and close the socket."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def forget(self, agent_id: int) -> None:
        """Drop the rate of an agent that is gone."""
        self._buckets.pop(agent_id, None)

    def _read(self) -> None:
        for _ in range(TURN_DATAGRAMS_MAX):
            datagram = self._socket.receive(DATAGRAM_BYTES_MAX)
            if datagram is None:
                return
            agent = None if datagram.agent_id is None else self._fleet.get(datagram.agent_id)
            if agent is None or agent.life.state not in LIVING:
                self.counters["notices_of_nobody"] += 1
                continue
            if not self._is_within_rate(agent.agent_id):
                self.counters["notices_over_rate"] += 1
                self._be_deaf()
                return
            try:
                if not datagram.is_whole:
                    raise NotificationError("too long")
                self._take(agent, parse_notification(datagram.data))
            except NotificationError:
                self.counters["notices_malformed"] += 1

    def _take(self, agent: Agent, said: Notification) -> None:
        if agent.notified.run != agent.life.run:
            agent.notified = Notified(agent.life.run)
        if said.status is not None:
            agent.notified.status = said.status or None
        if said.is_ready or said.is_stopping:
            agent.notified.state = "stopping" if said.is_stopping else "ready"
        agent.view = None
        if said.is_alive and not self._beat(agent):
            self.counters["heartbeats_not_counted"] += 1
        if said.extend_usec is not None:
            self._fleet.dispatch(agent, Extended(said.extend_usec))
        if said.is_ready:
            self._fleet.dispatch(agent, Ready())

    def _is_within_rate(self, agent_id: int) -> bool:
        now_ns = int(self._loop.time() * 1e9)
        bucket = self._buckets.get(agent_id)
        if bucket is None:
            bucket = self._buckets[agent_id] = TokenBucket(RATE_PER_SEC, RATE_BURST, now_ns)
        return bucket.take(now_ns)

    def _be_deaf(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(
            FLOOD_PAUSE_S, self._loop.add_reader, self._socket.fileno(), self._read
        )
