"""Ends what a lost keeper, or a removed agent, left behind, before anything is started beside it.

Runs once at a start, blocking: nobody is served yet, and a cgroup that was killed may not be born
into again (docs/decisions/0010), so it must be gone before its agent's next run begins.
"""

import contextlib
import logging
import time
from collections.abc import Mapping

from supervisord_asm.daemon.births import Births
from supervisord_asm.daemon.emptiness import wait_until_empty
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.kernel.cgroupfs import Cgroup, CgroupError

# Killed processes are gone within milliseconds; what takes longer hangs in the kernel.
EMPTY_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


def clear_leftovers(
    agents: Cgroup,
    adopted: set[int],
    slot_of_cgroup: Mapping[int, int],
    fleet: Fleet,
    births: Births,
) -> None:
    """Kill and remove the agents' cgroups that nobody took over.

    Args:
        agents: the cgroup that holds them.
        adopted: ids of the agents whose cgroup is in use.
        slot_of_cgroup: which slots an earlier asmd bound and still count.
        fleet: whose agents get what the cgroups counted.
        births: owns the slots.
    """
    leftovers = []
    for path in agents.children():
        if path.name.isdigit() and int(path.name) in adopted:
            continue
        with contextlib.suppress(CgroupError):
            cgroup = Cgroup(path)
            leftovers.append(cgroup)
            if cgroup.is_populated():
                logger.warning("killing what is left in %s", path)
                cgroup.kill()
    deadline_s = time.monotonic() + EMPTY_TIMEOUT_S
    for cgroup in leftovers:
        try:
            if not wait_until_empty(cgroup, deadline_s):
                logger.error("what was killed in %s is still there", cgroup.path)
            _take_away(cgroup, slot_of_cgroup.get(cgroup.id), fleet, births)
        except CgroupError as error:
            logger.error("%s", error)
        finally:
            cgroup.close()


def _take_away(cgroup: Cgroup, slot: int | None, fleet: Fleet, births: Births) -> None:
    agent = fleet.get(int(cgroup.path.name)) if cgroup.path.name.isdigit() else None
    if agent is None or slot is None or agent.cgroup is not None:
        cgroup.remove_tree()
        return
    # What it counted since its last record is the agent's.
    births.adopt_slot(agent, slot)
    births.release(agent)
