"""A processor goes and comes back while agents run: only a machine of our own may be treated so.

Not named test_…, so that nobody collects it on a machine that is no guest.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.counting_rig import bind, difference, make_rig, open_probes

pytestmark = pytest.mark.kernel

THREADS = 4
CALLS = 250_000
SLOT = 3
# The first one cannot be unplugged on x86.
SECOND = Path("/sys/devices/system/cpu/cpu1/online")


@pytest.fixture
def plugged() -> Iterator[None]:
    """Have the second processor in again whatever happens."""
    yield
    SECOND.write_text("1")


@pytest.mark.usefixtures("plugged")
def test_nothing_is_lost_when_a_processor_is_unplugged_and_comes_back() -> None:
    with make_rig() as rig, open_probes(rig) as probes:
        agent = rig.agent()
        bind(probes, SLOT, agent)
        load = rig.load(agent)
        load.order("pool", THREADS)
        load.order("run", 1)
        rises = []
        for calls in (0, CALLS):
            before = probes.counts(SLOT)
            load.begin("run", calls)
            for is_online in "01" * 3:  # in the midst of it, if there is anything to do
                SECOND.write_text(is_online)
            load.finish()
            rises.append(difference(probes.counts(SLOT), before)["syscalls"])
        load.order("pool", 0)
        assert rises[1] - rises[0] == THREADS * CALLS
        assert not any(probes.drops().values())
