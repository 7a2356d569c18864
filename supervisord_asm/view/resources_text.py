"""The file `resources`: what every agent uses now and has used, one row each, and the sums.

Like `status` it is rendered every second from rows that depend on one view each; unlike there the
widths are fixed and generous, since no example of the guide binds them, so rows never need to be
rendered again because another agent's figure grew.
"""

from collections.abc import Iterable, Sequence

from supervisord_asm.core.resources import Rates
from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.rates_text import rates_lines
from supervisord_asm.view.value import cell, core_percent

_WIDTHS = (10, 10, 16, 16, 16, 16, 10, 7, 7, 7, 16, 16, 16, 16, 12, 14)
_FORMAT = "  {:<10}" + "".join(f"  {{:>{width}}}" for width in _WIDTHS[1:])
_TITLES = (
    "ID", "CPU", "CPU(us)", "Mem(B)", "Peak(B)", "Syscalls", "Sys/s", "Procs", "Threads", "Sockets",
    "Read(B)", "Written(B)", "Recv(B)", "Sent(B)", "Faults", "Switches",
)  # fmt: skip
_RULE = tuple("-" * width for width in _WIDTHS)


def agent_resources_row(view: AgentView) -> str:
    """Return one agent's line, without a newline. Absent figures are dashes."""
    return _FORMAT.format(
        view.agent_id,
        core_percent(view.cpu_percent_milli),
        cell(view.cpu_time_us),
        cell(view.memory_bytes),
        cell(view.peak_memory_bytes),
        cell(view.syscall_count),
        cell(view.syscall_rate),
        cell(view.process_count),
        cell(view.thread_count),
        cell(view.socket_count),
        cell(view.block_read_bytes),
        cell(view.block_write_bytes),
        cell(view.network_receive_bytes),
        cell(view.network_transmit_bytes),
        cell(view.page_fault_count),
        cell(view.context_switch_count),
    )


def join_resources(
    system: SystemView,
    agents: Sequence[AgentView],
    rows: Sequence[str],
    rates: Sequence[Rates] = (),
) -> str:
    """Return the whole file from the agents and their rows, in the same order.

    `rates` are the sums over all agents over longer spans; they have a section where there are any.
    """
    usage = _sum(view.cpu_percent_milli for view in agents)
    memory = _sum(view.memory_bytes for view in agents)
    rate = _sum(view.syscall_rate for view in agents)
    title = "Agent Supervision Module - Resource Usage"
    lines = [
        "",
        title,
        "=" * len(title),
        "",
        "System Usage:",
        f"  CPU:             {core_percent(usage)}",
        f"  Memory (bytes):  {cell(memory)}",
        f"  Syscalls/sec:    {cell(rate)}",
        "",
        *([*rates_lines("System Rates", rates), ""] if rates else ()),
        "Per-Agent Usage:",
        _FORMAT.format(*_TITLES),
        _FORMAT.format(*_RULE),
        *rows,
        *drop_lines(system.drops),
        "",
    ]
    return "\n".join(lines)


def resources_text(snapshot: Snapshot) -> str:
    """Return the whole file from a snapshot, for callers that cache nothing."""
    rows = list(map(agent_resources_row, snapshot.agents))
    return join_resources(snapshot.system, snapshot.agents, rows)


def _sum(figures: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None when nothing is, for no figure is not the figure 0."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None
