"""Did you mean: the known word nearest to an unknown one.

difflib is imported on the first mistake only: a configuration without one never pays for it.
"""

from collections.abc import Iterable

# A distance that finds "memry" and "capabilites" but does not offer "user" for "uid".
_CUTOFF = 0.6
# A longer list of all known words helps nobody on a terminal.
_LISTED_MAX = 14
_WORD_MAX = 80
# Words that other supervisors, or the guide's own records, use for what we call differently; no
# distance would find them. The value is text for the hint.
_ELSEWHERE = {
    "api_key": "key_file",
    "args": "command",
    "argv": "command",
    "auto_restart": "restart: {kind: on-failure, max: N}",
    "caps": "capabilities",
    "cmd": "command",
    "cpu": "limits: {cpu: …}",
    "cpu_quota": "cpu",
    "cwd": "working_directory",
    "depends_on": "dependencies",
    "directory": "working_directory",
    "env": "environment",
    "exec": "command",
    "exec_start": "command",
    "gid": "group",
    "key": "key_file",
    "max_memory": "memory",
    "max_ops_per_sec": "max_ops",
    "max_restarts": "max",
    "memory": "limits: {memory: …}",
    "memory_limit": "memory",
    "memory_max": "memory",
    "nofile": "limits: {nofile: …}",
    "on_failure": "restart",
    "pids": "limits: {pids: …}",
    "pids_max": "pids",
    "syscall_rate": "syscalls",
    "syscalls": "limits: {syscalls: …}",
    "tasks_max": "pids",
    "timeout": "grace",
    "uid": "user",
    "workdir": "working_directory",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """Say what would be right in the place of an unknown `word`."""
    candidates = sorted(known)
    folded = word.replace("-", "_").lower()
    elsewhere = _ELSEWHERE.get(folded)
    if elsewhere is not None and elsewhere.partition(":")[0] in candidates:
        return f"write {elsewhere}"
    for candidate in candidates:
        if candidate.replace("-", "_").lower() == folded:
            return f"write {candidate}"
    near = nearest(word, candidates)
    if near:
        return near
    if len(candidates) > _LISTED_MAX:
        return "nothing like it belongs here; docs/configuration.md lists what does"
    return f"one of {', '.join(candidates)}" if candidates else "nothing belongs here"


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known words was meant; "" when none is near."""
    from difflib import get_close_matches  # 3 ms, needed on mistakes only

    # Longer than any word of ours: comparing costs the product of the lengths.
    near = get_close_matches(word[:_WORD_MAX], sorted(known), n=1, cutoff=_CUTOFF)
    return f"did you mean {near[0]}?" if near else ""
