"""One limit as people read it: its name, its value with the unit, and how it is enforced."""

from supervisord_asm.core.snapshot import LIMIT_MECHANISMS, AgentView
from supervisord_asm.view.escape import escaped

# The guide's words and units (asmpolicy, "Resource Limits"); what it lacks is ours.
_NAMES = {
    "cpu_quota_us": ("CPU Quota", " μs"),
    "memory_limit_bytes": ("Memory Limit", " bytes"),
    "pids_max": ("Process Limit", ""),
    "syscall_rate_limit": ("Syscall Rate", "/sec"),
    "watchdog_timeout_us": ("Watchdog", " μs"),
    "wall_timeout_us": ("Wall Time", " μs"),
}

assert _NAMES.keys() == LIMIT_MECHANISMS.keys()


def limit_rows(view: AgentView) -> list[tuple[str, str, str]]:
    """Return (name, value, mechanism) of every limit; "none" where the agent has no such limit.

    A limit whose mechanism the daemon did not name is "unknown", never silently enforced.
    """
    rows = []
    for key, (name, unit) in _NAMES.items():
        value = view.limits.get(key)
        if value is None:
            rows.append((name, "none", ""))
        else:
            mechanism = view.mechanisms.get(LIMIT_MECHANISMS[key], "unknown")
            rows.append((name, f"{value}{unit}", escaped(mechanism)))
    return rows
