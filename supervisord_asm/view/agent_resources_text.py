"""The file `agents/<id>/resources`: what one agent uses and has used. Cacheable by view.

Counters are of the agent's lifetime; below them are those of its present run, or of its last one.
"""

from supervisord_asm.core.snapshot import AgentView
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.value import core_percent, quantity


def agent_resources_text(view: AgentView) -> str:
    """Return the file. Rates are those of the last closed one-second window."""
    title = f"Resources of Agent {view.agent_id}:"
    usage = "unknown" if view.cpu_percent_milli is None else core_percent(view.cpu_percent_milli)
    rows = (
        ("CPU Time", quantity(view.cpu_time_us, "μs")),
        ("CPU Usage", usage),
        ("Memory", quantity(view.memory_bytes, "bytes")),
        ("Peak Memory", quantity(view.peak_memory_bytes, "bytes")),
        ("Syscalls", _figure(view.syscall_count)),
        ("Syscall Rate", "unknown" if view.syscall_rate is None else f"{view.syscall_rate}/sec"),
        ("Processes", _figure(view.process_count)),
        ("Forks", _figure(view.fork_count)),
        ("Execs", _figure(view.exec_count)),
        ("Process Exits", _figure(view.process_exit_count)),
        ("Anonymous", quantity(view.memory_anon_bytes, "bytes")),
        ("Shmem", quantity(view.memory_shmem_bytes, "bytes")),
        ("File Pages", quantity(view.memory_file_bytes, "bytes")),
        ("Threads", _figure(view.thread_count)),
        ("Sockets", _figure(view.socket_count)),
        *((name, _counter(getattr(view, key), unit)) for name, key, unit in _FURTHER),
    )
    lines = ["", title, "=" * len(title), *(f"{name + ':':<16} {text}" for name, text in rows)]
    return "\n".join([*lines, *_run_lines(view), *drop_lines(view.drops, is_agents=True), ""])


# Names, fields of core/figures.py's COUNTERS, units.
_FURTHER = (
    ("IO Calls", "io_ops", ""),
    ("Block Read", "block_read_bytes", "bytes"),
    ("Block Written", "block_write_bytes", "bytes"),
    ("Net Received", "network_receive_bytes", "bytes"),
    ("Net Sent", "network_transmit_bytes", "bytes"),
    ("Page Faults", "page_fault_count", ""),
    ("Major Faults", "major_fault_count", ""),
    ("Switches", "context_switch_count", ""),
    ("CPU Pressure", "cpu_pressure_us", "μs"),
    ("Memory Pressure", "memory_pressure_us", "μs"),
    ("IO Pressure", "io_pressure_us", "μs"),
)
_OF_A_RUN = (
    ("CPU Time", "cpu_time_us", "μs"),
    ("Syscalls", "syscall_count", ""),
    ("Forks", "fork_count", ""),
    ("Execs", "exec_count", ""),
    ("Process Exits", "process_exit_count", ""),
    *_FURTHER,
)


def _run_lines(view: AgentView) -> list[str]:
    """Return the counters since the run began; nothing of an agent that was never started."""
    if not view.run or not view.spawn_count:
        return []
    title = "Last Run:" if view.started_us is None else "Present Run:"
    rows = ((name, _counter(view.run.get(key), unit)) for name, key, unit in _OF_A_RUN)
    # Each name is in the file once, for those who look for it with grep.
    return ["", title, *(f"  Run {name + ':':<16} {text}" for name, text in rows)]


def _counter(value: int | None, unit: str) -> str:
    return quantity(value, unit) if unit else _figure(value)


def _figure(value: int | None) -> str:
    return "unknown" if value is None else str(value)
