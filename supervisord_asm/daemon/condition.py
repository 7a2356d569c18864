"""How the daemon itself stands: totals, drops, tiers and what is off, for every view and doctor."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisord_asm import __version__
from supervisord_asm.core.history import History
from supervisord_asm.core.lifecycle import LIVING
from supervisord_asm.core.snapshot import SystemView
from supervisord_asm.core.support import Backend, Check
from supervisord_asm.daemon.fleet import Fleet
from supervisord_asm.daemon.procfs import Procfs
from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.probes import Probes
from supervisord_asm.kernel.sampler import Sampler
from supervisord_asm.store.journal import Journal


@dataclass(slots=True)
class Condition:
    """Reads the parts when asked; keeps nothing but what does not change."""

    history: History
    fleet: Fleet
    sampler: Sampler
    probes: Probes | None
    probes_trouble: str | None
    journal: Journal
    support_checks: list[Check]
    controllers: frozenset[str]
    boot_id: str
    counters: Callable[[], Mapping[str, int]]
    syscalls_total: Callable[[], int | None]
    keeper_pid: Callable[[], int]
    procfs: Procfs | None = None

    def system(self) -> SystemView:
        """Return the totals and the state of things as of now."""
        history = self.history
        return SystemView(
            total_spawns=history.total_spawns,
            total_exits=history.total_exits,
            total_crashes=history.total_crashes,
            total_faults=history.total_faults,
            total_restarts=history.total_restarts,
            active_agents=sum(agent.life.state in LIVING for agent in self.fleet),
            total_syscalls=self.syscalls_total(),
            events_total=history.events_total,
            agents_total=len(self.fleet),
            drops={name: count for name, count in self.drops().items() if count},
            tier=self.tier(),
            degraded=self.degraded(),
            version=__version__,
            boot_id=self.boot_id,
            uptime_us=boottime_us(),
        )

    def drops(self) -> dict[str, int]:
        """Return every kind of record that was lost, by where."""
        drops = dict(self.probes.drops()) if self.probes is not None else {}
        return drops | dict(self.counters())

    def tier(self) -> dict[str, str]:
        """Name the mechanism in force for each subject."""
        return {
            "counting": self._counting(),
            "controllers": ",".join(sorted(self.controllers)) or "none on cgroup2",
            "limits": "off",
            "capabilities": "off",
        }

    def _counting(self) -> str:
        if self.probes is None:
            return "cgroup files"
        return "bpf" if self.probes.backend is Backend.CORE else "bpf, compiled by BCC"

    def degraded(self) -> tuple[str, ...]:
        """Say in one sentence each what is worse than it should be."""
        found = []
        if self.probes_trouble is not None:
            found.append(f"BPF counting is off: {self.probes_trouble}")
        if self.journal.trouble is not None:
            found.append(f"the journal does not take events: {self.journal.trouble}")
        if self.procfs is not None and self.procfs.trouble is not None:
            found.append(f"the FUSE tree is not fed: {self.procfs.trouble}")
        return tuple(found)

    def checks(self) -> list[Check]:
        """Return everything that `asmctl doctor` prints."""
        checks = list(self.support_checks)
        for name, trouble, source in (
            ("bpf", self.probes_trouble, "loaded and attached"),
            ("journal", self.journal.trouble, "SQLite, WAL, synchronous=FULL"),
            ("fuse tree", self.procfs.trouble if self.procfs else "not started", "asm-procfs"),
        ):
            checks.append(Check(name, "ok" if trouble is None else "off", source, trouble or ""))
        checks += self._protection()
        limits = "limits are recorded and shown; their enforcement is not built yet"
        checks.append(Check("limits", "off", "", limits))
        floor = (
            "recorded and shown, not enforced yet; until then an agent with `user: root` can leave "
            "its cgroup and act as an operator"
        )
        checks.append(Check("capabilities", "off", "", floor))
        for name, count in sorted(self.drops().items()):
            checks.append(Check(f"drops: {name}", "ok" if not count else "off", str(count), ""))
        checks.append(Check("asmd", "ok", f"pid {os.getpid()}, version {__version__}", ""))
        return checks

    def _protection(self) -> list[Check]:
        """Whether the OOM killer spares us; containers take the right to ask for it away."""
        wanted = (("asm-keeper", self.keeper_pid(), -1000), ("asmd", os.getpid(), -900))
        checks = []
        for program, pid, score in wanted:
            try:
                found = int(Path(f"/proc/{pid}/oom_score_adj").read_text())
            except (OSError, ValueError):
                continue
            why = "" if found <= score else f"oom_score_adj is {found}: CAP_SYS_RESOURCE is missing"
            state = "off" if why else "ok"
            checks.append(Check(f"oom protection of {program}", state, f"{score} wanted", why))
        return checks
