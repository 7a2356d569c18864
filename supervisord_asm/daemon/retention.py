"""Forgets what is older than the journal keeps: once a day, beside everything else.

Planning reads the database and may take seconds, so it runs in a thread; the removal is one event
of the journal's own writer, between other work (store/compaction.py).
"""

import asyncio
import logging
from functools import partial

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.kernel.clock import boottime_us, realtime_ns
from supervisord_asm.store.errors import JournalError
from supervisord_asm.store.journal import Compaction, Journal

# The first look is soon after a start, because a host that reboots daily must forget as well.
FIRST_S = 600.0
INTERVAL_S = 24 * 3600.0
DAY_NS = 24 * 3600 * 1_000_000_000

logger = logging.getLogger(__name__)


async def keep_retention(journal: Journal, recorder: Recorder, days: int, boot_id: str) -> None:
    """Run until cancelled."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            before = realtime_ns() - days * DAY_NS
            plan = await loop.run_in_executor(None, journal.plan_compaction, before)
            if plan is not None:
                recorder.append_behind(partial(_compact, journal, plan, boot_id))
                logger.info("the journal forgets what is older than %d days", days)
        except JournalError as error:
            logger.error("unable to compact the journal: %s, retrying in a day", error)
        await asyncio.sleep(INTERVAL_S)


def _compact(journal: Journal, plan: Compaction, boot_id: str) -> Event:
    event = Event(EventType.COMPACTION, 0, boottime_us(), realtime_ns(), plan.data, boot_id)
    journal.compact(plan, event)
    return event
