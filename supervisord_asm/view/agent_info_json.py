"""Call 502's answer: the guide's JSON about one agent, plus a few lifetime counters.

The members of the guide come first and in its order. The answer fits 4,096 bytes, the guide's
buffer, whatever the agent is called and may do; a smaller buffer gets the members that fit, from
the front, with `truncated`, so that what arrives is always whole, valid JSON.

`asminfo --json` is the same object plus what only operators are shown (`operator_info`).
"""

import json
from typing import Any

from supervisord_asm.core.snapshot import AgentView

# The guide's buffer. An answer with every capability, the longest name and all counters at 2^63
# has less than a quarter of it.
SIZE_BYTES_MAX = 4096

_COMPACT = (",", ":")


def agent_info(view: AgentView) -> dict[str, Any]:
    """Return the answer as an object: the guide's members, then ours."""
    return {
        "agent_id": view.agent_id,
        "pid": view.pid,
        "name": view.name,
        "capabilities": list(view.capabilities),
        "auto_restart": view.auto_restart,
        "max_restarts": view.max_restarts,
        "restart_count": view.restart_count,
        "spawn_count": view.spawn_count,
        "fault_count": view.fault_count,
        "exit_count": view.exit_count,
        "crash_count": view.crash_count,
        "total_restarts": view.total_restarts,
        "heartbeat_count": view.heartbeat_count,
        "tool_call_count": view.tool_call_count,
        "tool_credits_milli": view.tool_credits_milli,
        "tool_tokens": view.tool_tokens,
    }


def agent_info_json(view: AgentView, size_bytes: int = SIZE_BYTES_MAX) -> bytes:
    """Return the answer in at most `size_bytes`, of which there are at least 512."""
    answer = _encoded(agent_info(view))
    if len(answer) <= size_bytes:
        return answer
    kept: dict[str, Any] = {}
    for key, value in agent_info(view).items():
        if len(_encoded({**kept, key: value, "truncated": True})) <= size_bytes:
            kept[key] = value
    return _encoded({**kept, "truncated": True})


def operator_info(view: AgentView) -> dict[str, Any]:
    """Return what `asminfo --json` prints: 502's answer and what operators may see beside it."""
    return {
        **agent_info(view),
        "state": view.state,
        "cgroup": view.cgroup,
        "user": view.user,
        "uid": view.uid,
        "log_path": view.log_path,
        "cpu_time_us": view.cpu_time_us,
        "cpu_percent_milli": view.cpu_percent_milli,
        "memory_bytes": view.memory_bytes,
        "peak_memory_bytes": view.peak_memory_bytes,
        "syscall_count": view.syscall_count,
        "syscall_rate": view.syscall_rate,
        "io_ops": view.io_ops,
        "process_count": view.process_count,
        "fork_count": view.fork_count,
        "exec_count": view.exec_count,
        "process_exit_count": view.process_exit_count,
        "memory_anon_bytes": view.memory_anon_bytes,
        "memory_shmem_bytes": view.memory_shmem_bytes,
        "memory_file_bytes": view.memory_file_bytes,
        "thread_count": view.thread_count,
        "block_read_bytes": view.block_read_bytes,
        "block_write_bytes": view.block_write_bytes,
        "network_receive_bytes": view.network_receive_bytes,
        "network_transmit_bytes": view.network_transmit_bytes,
        "page_fault_count": view.page_fault_count,
        "major_fault_count": view.major_fault_count,
        "context_switch_count": view.context_switch_count,
        "socket_count": view.socket_count,
        "cpu_pressure_us": view.cpu_pressure_us,
        "memory_pressure_us": view.memory_pressure_us,
        "io_pressure_us": view.io_pressure_us,
        "run": dict(view.run),
        "started_us": view.started_us,
        "last_activity_us": view.last_activity_us,
        "last_heartbeat_us": view.last_heartbeat_us,
        "notify_state": view.notify_state,
        "notify_status": view.notify_status,
        "last_exit_code": view.last_exit_code,
        "last_exit_signal": view.last_exit_signal,
        "last_exit_cause": view.last_exit_cause,
        "drops": dict(view.drops),
        "limits": dict(view.limits),
        "mechanisms": dict(view.mechanisms),
    }


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=_COMPACT).encode("ascii")
