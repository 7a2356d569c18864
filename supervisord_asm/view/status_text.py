"""The file `status`: the system's totals, a row per agent, and a line per agent to grep for.

The guide prints the totals and the table; its one-liners look for `Agent 100: spawns=…`, so those
lines end the file. Between them stands, only where there is something to say, which mechanism is in
force, what is off, and how many records were lost: a reader of this file alone must not believe in
a limit that is not enforced (ARCHITECTURE, "Laws").

The daemon renders this every second for up to 1,000 agents, most of which have not changed. So
`agent_row` and `agent_tally` depend on nothing but one agent's view (and the widths), hold no time
relative to now, and can be cached by view; `join_status` puts the lines together.
"""

from collections.abc import Iterable, Sequence

from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView
from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.value import cell

TITLE = "Agent Supervision Module - Telemetry Status"

# Widths and gaps as the guide prints them. The last column is never padded.
_TITLES = ("ID", "Spawns", "Exits", "Faults", "CPU(us)", "Mem(B)")
_GAPS = (2, 1, 2, 1, 2)
_RULE_WIDTH_LAST = 7
Widths = tuple[int, int, int, int, int]
GUIDE_WIDTHS: Widths = (4, 6, 5, 6, 8)


def row_widths(agents: Iterable[AgentView]) -> Widths:
    """Return column widths that hold every agent's figures, at least the guide's.

    They grow only when the largest figure gains a digit, so a cache of rows that is keyed by them
    is rebuilt a handful of times in a daemon's life.
    """
    ids = spawns = exits = faults = cpu = 0
    for view in agents:
        ids = max(ids, view.agent_id)
        spawns = max(spawns, view.spawn_count)
        exits = max(exits, view.exit_count)
        faults = max(faults, view.fault_count)
        cpu = max(cpu, view.cpu_time_us or 0)
    largest = (ids, spawns, exits, faults, cpu)
    w0, w1, w2, w3, w4 = (
        max(width, len(str(figure))) for width, figure in zip(GUIDE_WIDTHS, largest, strict=True)
    )
    return (w0, w1, w2, w3, w4)


def agent_row(view: AgentView, widths: Widths = GUIDE_WIDTHS) -> str:
    """Return one agent's line of the table, without a newline. Absent figures are dashes."""
    w0, w1, w2, w3, w4 = widths
    return (
        f"  {view.agent_id:<{w0}}  {view.spawn_count:<{w1}} {view.exit_count:<{w2}}  "
        f"{view.fault_count:<{w3}} {cell(view.cpu_time_us):<{w4}}  {cell(view.memory_bytes)}"
    )


def agent_tally(view: AgentView) -> str:
    """Return one agent's line for grep, without a newline."""
    return (
        f"Agent {view.agent_id}: spawns={view.spawn_count} exits={view.exit_count} "
        f"faults={view.fault_count}"
    )


def join_status(
    system: SystemView,
    rows: Sequence[str],
    tallies: Sequence[str],
    widths: Widths = GUIDE_WIDTHS,
) -> str:
    """Return the whole file from the totals and each agent's two lines, in the same order."""
    lines = [
        "",
        TITLE,
        "=" * len(TITLE),
        "",
        "System Metrics:",
        f"  Total Spawns:    {system.total_spawns}",
        f"  Total Exits:     {system.total_exits}",
        f"  Total Faults:    {system.total_faults}",
        f"  Total Restarts:  {system.total_restarts}",
        f"  Active Agents:   {system.active_agents}",
        f"  Total Syscalls:  {cell(system.total_syscalls)}",
        "",
        "Per-Agent Metrics:",
        _table_line(_TITLES, widths),
        _table_line(["-" * width for width in (*widths, _RULE_WIDTH_LAST)], widths),
        *rows,
        *condition_lines(system),
    ]
    if tallies:
        lines += ["", *tallies]
    lines.append("")
    return "\n".join(lines)


def status_text(snapshot: Snapshot) -> str:
    """Return the whole file from a snapshot, for callers that cache nothing."""
    widths = row_widths(snapshot.agents)
    rows = [agent_row(view, widths) for view in snapshot.agents]
    return join_status(snapshot.system, rows, list(map(agent_tally, snapshot.agents)), widths)


def condition_lines(system: SystemView) -> list[str]:
    """Return what a reader must know beside the figures; nothing when all is as it should be.

    Each section starts with an empty line. The words "Faults" and "Agent" followed by an id do not
    occur: the guide's one-liners search the file for them.
    """
    lines: list[str] = []
    if system.tier:
        lines += ["", "Mechanisms:"]
        lines += [f"  {escaped(key)}: {escaped(value)}" for key, value in system.tier.items()]
    if system.degraded:
        lines += ["", "Degraded:"]
        lines += [f"  {escaped(reason)}" for reason in system.degraded]
    return lines + drop_lines(system.drops)


def _table_line(cells: Sequence[str], widths: Widths) -> str:
    padded = (
        text.ljust(width) + " " * gap
        for text, width, gap in zip(cells[:-1], widths, _GAPS, strict=True)
    )
    return "  " + "".join(padded) + cells[-1]
