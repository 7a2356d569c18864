"""What `asmctl resources` prints: one agent over time, its windows, or all agents side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from supervisord_asm.core.resources import Rates, Window
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.rates_text import rates_lines
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import Paint, cell, core_percent, plain, quantity

_WINDOW_TITLES = ("Time(us)", "CPU", "CPU(us)", "Mem(B)", "Syscalls", "IO calls", "Network(B)")
_WINDOW_WIDTHS = (16, 10, 8, 14, 12, 12, 14)


@dataclass(frozen=True, slots=True)
class AgentUsage:
    """One agent's figures as the daemon answers them. None: not known."""

    agent_id: int
    name: str
    memory_bytes: int | None
    peak_memory_bytes: int | None
    rates: tuple[Rates, ...]
    drops: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What an agent used in all its runs. None: not known."""

    cpu_time_us: int | None
    syscall_count: int | None
    io_ops: int | None


def agent_usage_text(agent: AgentUsage, lifetime: Lifetime, paint: Paint = plain) -> str:
    """Return one agent's figures: lifetime, memory, and its rates, one row per span."""
    title = f"Resources of Agent {agent.agent_id} ({agent.name}):"
    rows = (
        ("CPU Time", quantity(lifetime.cpu_time_us, "μs")),
        ("Memory", quantity(agent.memory_bytes, "bytes")),
        ("Peak Memory", quantity(agent.peak_memory_bytes, "bytes")),
        ("Syscalls", _count(lifetime.syscall_count)),
        ("IO Calls", _count(lifetime.io_ops)),
    )
    lines = ["", paint(title, "title"), "=" * len(title)]
    lines += [f"{name + ':':<16} {text}" for name, text in rows]
    lines += ["", *rates_lines("Rates", agent.rates, paint)]
    return "\n".join([*lines, *drop_lines(agent.drops, is_agents=True), ""])


def windows_text(agent: AgentUsage, windows: Sequence[Window], paint: Paint = plain) -> str:
    """Return the closed windows as a table, oldest first, each one second from its time on."""
    title = f"Windows of Agent {agent.agent_id} ({agent.name}):"
    lines = [
        "",
        paint(title, "title"),
        "=" * len(title),
        paint(_right(_WINDOW_TITLES), "title"),
        paint(_right(["-" * width for width in _WINDOW_WIDTHS]), "rule"),
    ]
    lines += map(_window_row, windows)
    return "\n".join([*lines, *drop_lines(agent.drops, is_agents=True), ""])


def system_usage_text(
    memory_bytes: int | None,
    rates: Sequence[Rates],
    agents: Sequence[AgentUsage],
    drops: Mapping[str, int],
    paint: Paint = plain,
) -> str:
    """Return the sums over all agents, a row per agent with a column per span, and the losses."""
    title = "Agent Supervision Module - Resource Monitor"
    lines = [
        "",
        paint(title, "title"),
        "=" * len(title),
        f"Memory: {quantity(memory_bytes, 'bytes')}",
    ]
    lines += ["", *rates_lines("System Rates", rates, paint), "", "Per-Agent Usage:"]
    spans = [one.seconds for one in rates]
    columns = [
        Column("ID", 4), Column("Name", 18), Column("Mem(B)", 12), Column("Peak(B)", 12),
        *(Column(f"CPU/{seconds}s", 8) for seconds in spans),
        *(Column(f"Sys/s/{seconds}s", 8) for seconds in spans),
    ]  # fmt: skip
    rows = [
        [
            str(agent.agent_id), agent.name, cell(agent.memory_bytes),
            cell(agent.peak_memory_bytes),
            *(core_percent(one.cpu_percent_milli) for one in agent.rates),
            *(cell(one.syscall_rate) for one in agent.rates),
        ]
        for agent in agents
    ]  # fmt: skip
    return "\n".join([*lines, *table_lines(columns, rows, paint), *drop_lines(drops), ""])


def _window_row(window: Window) -> str:
    return _right(
        (
            str(window.timestamp_us),
            core_percent(window.cpu_time_us // 10),
            str(window.cpu_time_us),
            cell(window.memory_bytes),
            cell(window.syscall_count),
            cell(window.io_ops),
            cell(window.network_bytes),
        )
    )


def _right(cells: Sequence[str]) -> str:
    padded = (f"{text:>{width}}" for text, width in zip(cells, _WINDOW_WIDTHS, strict=True))
    return "  " + "  ".join(padded)


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)
