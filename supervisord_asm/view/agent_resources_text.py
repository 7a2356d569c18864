"""The file `agents/<id>/resources`: what one agent uses and has used. Cacheable by view."""

from supervisord_asm.core.snapshot import AgentView
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
    )
    lines = ["", title, "=" * len(title), *(f"{name + ':':<16} {text}" for name, text in rows), ""]
    return "\n".join(lines)


def _figure(value: int | None) -> str:
    return "unknown" if value is None else str(value)
