"""What is left of agents that came and went: nothing that grows with their number.

bench/churn.py does the same with 100,000 and looks at the memory.
"""

import asyncio
from pathlib import Path

from supervisord_asm.core.events import EventType
from supervisord_asm.core.history import RECENT_MAX, RETIRED_MAX
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.store.journal import Journal, verify

LIVES = 2 * RETIRED_MAX + 300
FIRST_ID = 1_000
GROUP = 50


async def durably(recorder: Recorder) -> None:
    """Wait until all that was recorded is durable."""
    durable = asyncio.Event()
    recorder.after_durable(lambda error: durable.set())
    await durable.wait()


async def live(path: Path) -> Recorder:
    """Record many short lives; return when all is durable."""
    journal = Journal.open(path, clock=lambda: 0, queue_max=65_536)
    recorder = Recorder(journal, asyncio.get_running_loop(), "boot")
    for number in range(LIVES):
        agent_id, name = FIRST_ID + number, f"job-{number}"
        recorder.record(EventType.REGISTER, agent_id, {"name": name, "transient": True})
        recorder.record(EventType.SPAWN, agent_id, {"run": 1})
        recorder.record(EventType.EXIT, agent_id, {"code": 0, "run": 1})
        recorder.record(EventType.STOPPED, agent_id, {"syscall_count": 10})
        recorder.record(EventType.RETIRE, agent_id, {"name": name})
        if number % GROUP == 0 or number == LIVES - 1:
            await durably(recorder)
    journal.close()
    return recorder


def test_nothing_of_the_recorder_or_the_journals_rows_grows_with_lives(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    history = asyncio.run(live(path)).history
    assert len(history.agents) <= RETIRED_MAX
    assert not history.changed
    assert not history.ids_by_name
    assert len(history.recent) == RECENT_MAX
    assert history.total_spawns == LIVES
    assert history.syscalls_beside(()) == 10 * LIVES
    assert verify(path).is_sound
    again = Journal.open(path, clock=lambda: 0, queue_max=64)
    assert again.history.agents == history.agents
    assert again.history.syscalls_forgotten == history.syscalls_forgotten
    again.close()
