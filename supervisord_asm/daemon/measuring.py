"""Wires what measures the agents over time: the resource monitor and the profiler.

A part of wiring.py in a file of its own: constructs both, feeds them once a second, and hands out
what the publisher, the doors and the verbs need of them.
"""

from collections.abc import Callable

from supervisord_asm.daemon.agent import Agent
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.profile_files import ProfileFiles
from supervisord_asm.daemon.profiling import Profiling
from supervisord_asm.daemon.readings import Readings
from supervisord_asm.daemon.recorder import Recorder
from supervisord_asm.daemon.snapshots import Snapshots
from supervisord_asm.daemon.usage import LiveMonitor
from supervisord_asm.kernel.sampler import Sampler


class Measuring:
    """Monitor, profiler and the verbs that read them."""

    def __init__(
        self, fleet: Fleet, recorder: Recorder, sampler: Sampler, snapshots: Snapshots
    ) -> None:
        self.usage = LiveMonitor(fleet, snapshots.view, sampler)
        self.profiling = Profiling(fleet, recorder, sampler)
        self.profile_files = ProfileFiles(self.profiling.profiler)
        self.readings = Readings(fleet, self.usage, self.profiling.profiler, snapshots)
        self._sampler = sampler
        self._snapshots = snapshots

    def pass_over(self, publish: Callable[[], None]) -> None:
        """The sampler has made a pass: take its figures, then have them published."""
        rows = self._sampler.changed()
        self._snapshots.take_figures(rows)
        if self._sampler.probes is not None:
            self._snapshots.take_drops(self._sampler.probes.drops())
        self.usage.take(rows)
        self.profiling.pass_over()
        with self.profiling.guard("publish"):
            publish()

    def forget(self, agent: Agent) -> None:
        """An agent has left the fleet."""
        self.profiling.forget(agent.agent_id)
