"""Where our cgroups stand: one for agents, one for each program of ours.

Without systemd: <cgroup2>/<paths.cgroup>/{agents,system/…}. With systemd the keeper's unit is the
delegated subtree (Delegate=yes): agents and the keeper live below it, asmd stays in its own unit.
systemd's rules: Delegate docs, "CGROUP_DELEGATION.md": never create below a slice, keep processes
in leaves, one writer for each cgroup.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from supervisord_asm.kernel.cgroupfs import (
    Cgroup,
    CgroupError,
    find_cgroup2_root,
    own_cgroup_path,
)

KEEPER_UNIT, ASMD_UNIT = "asm-keeper.service", "asmd.service"


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """Open cgroups. `agents_path` is how /proc/PID/cgroup spells the agents' parent."""

    root: Path
    base: Path
    agents: Cgroup
    procfs: Cgroup
    agents_path: PurePosixPath
    controllers: frozenset[str]
    is_delegated: bool

    def remove(self, keeper_pid: int) -> None:
        """Remove what is ours and empty; what still holds a process stays.

        Nobody comes after us who could remove our own cgroup and the keeper's, so without systemd
        both step out first, into the root. systemd removes its units' itself.
        """
        for cgroup in (self.procfs, self.agents):
            with contextlib.suppress(CgroupError):
                cgroup.remove_tree()
        if self.is_delegated:
            return
        # EBUSY where the root is a container's with controllers: then the empty groups stay.
        with contextlib.suppress(CgroupError):
            _move(self.root, str(keeper_pid))
            _move(self.root, "self")
        with contextlib.suppress(CgroupError):
            base = Cgroup(self.base)
            try:
                base.remove_tree()
            finally:
                base.close()


def is_systemds() -> bool:
    """Whether systemd started this asmd as its unit. One that a keeper started may run there too.

    Raises NoCgroup2.
    """
    return own_cgroup_path(find_cgroup2_root()).name == ASMD_UNIT


def open_layout(slice_path: str, keeper_pid: int) -> CgroupLayout:
    """Make and open our cgroups, and move the keeper and ourselves where we belong.

    Raises NoCgroup2, CgroupError.
    """
    root = find_cgroup2_root()
    keeper_at = own_cgroup_path(root, str(keeper_pid))
    unit = next((p for p in (keeper_at, *keeper_at.parents) if p.name == KEEPER_UNIT), None)
    if unit is not None:
        # asmd stays in its own unit; the rest lies as it does without systemd.
        base, system = unit, unit / "system"
        Cgroup.make(system).close()
    else:
        base = root / slice_path
        system = base / "system"
        _make_parents(base)
        Cgroup.make(system).close()
        _move(system / "asmd", "self")
    _move(system / "keeper", str(keeper_pid))
    procfs = Cgroup.make(system / "procfs")
    parent = Cgroup(base)
    controllers = parent.enable_controllers()
    parent.close()
    agents = Cgroup.make(base / "agents")
    if controllers:
        agents.enable_controllers()
    below = PurePosixPath("/") / agents.path.relative_to(root)
    return CgroupLayout(root, base, agents, procfs, below, controllers, unit is not None)


def _make_parents(base: Path) -> None:
    missing = []
    path = base
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        Cgroup.make(path).close()


def _move(path: Path, pid: str) -> None:
    cgroup = Cgroup.make(path)
    try:
        # "0" is the writer itself (cgroups(7)).
        cgroup.move_here(0 if pid == "self" else int(pid))
    finally:
        cgroup.close()
