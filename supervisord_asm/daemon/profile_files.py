"""The files `profiling` and `agents/<id>/profiling`: rendered when samples came, within a budget.

After a storm of restarts a thousand agents have new samples in one second. Then their files follow
one hundred a second: somebody may be waiting for a restart meanwhile. The system's file is made of
sums that are kept in order (core/profiler.py), and follows each second.
"""

from collections.abc import Iterable

from supervisord_asm.core.profiler import SystemProfiler
from supervisord_asm.kernel.procfs_channel import ProcfsChannel
from supervisord_asm.view.profile_text import SYSTEM_TITLE, agent_title, profile_text

AGENTS_PER_TICK = 100


class ProfileFiles:
    """Keeps the files equal to the profiler, a tick or a few later."""

    def __init__(self, profiler: SystemProfiler) -> None:
        self._profiler = profiler
        # By agent, the text and the count of changes that it shows; -1: it never had a sample.
        self._texts: dict[int, tuple[int, str]] = {}
        self._last_agent = 0

    def put_all(self, channel: ProcfsChannel, agent_ids: Iterable[int]) -> None:
        """Send every file, for a new connection."""
        for agent_id in agent_ids:
            channel.put_text(_path(agent_id), self._text(agent_id))
        self._put_system(channel)

    def put_changed(self, channel: ProcfsChannel, agent_ids: Iterable[int]) -> None:
        """Send what changed, as far as the budget goes."""
        changed = [agent_id for agent_id in agent_ids if self._is_stale(agent_id)]
        # Those after the last one first, so that busy low ids do not keep the others waiting.
        changed.sort(key=lambda agent_id: (agent_id <= self._last_agent, agent_id))
        for agent_id in changed[:AGENTS_PER_TICK]:
            channel.put_text(_path(agent_id), self._text(agent_id))
            self._last_agent = agent_id
        self._put_system(channel)

    def forget(self, agent_id: int) -> None:
        """The agent is gone, and its folder with it."""
        self._texts.pop(agent_id, None)

    def _put_system(self, channel: ProcfsChannel) -> None:
        stats = self._profiler.aggregate_all()
        channel.put_text(
            "profiling", profile_text(SYSTEM_TITLE, stats, self._profiler.refused_count)
        )

    def _is_stale(self, agent_id: int) -> bool:
        known = self._texts.get(agent_id)
        return known is None or known[0] != self._changes(agent_id)

    def _changes(self, agent_id: int) -> int:
        agent = self._profiler.get_agent(agent_id)
        return -1 if agent is None else agent.changes

    def _text(self, agent_id: int) -> str:
        if self._is_stale(agent_id):
            agent = self._profiler.get_agent(agent_id)
            stats = [] if agent is None else agent.get_all_stats()
            refused_count = 0 if agent is None else agent.refused_count
            text = profile_text(agent_title(agent_id), stats, refused_count)
            self._texts[agent_id] = self._changes(agent_id), text
        return self._texts[agent_id][1]


def _path(agent_id: int) -> str:
    return f"agents/{agent_id}/profiling"
