"""What `asmctl doctor --cost` prints: what our own programs cost, and what that leaves out.

The record arrives as the daemon's JSON (control call COST), with the names of core/cost.py's Cost.
"""

from collections.abc import Mapping
from typing import Any

from supervisord_asm.view.escape import escaped
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import Paint, cell, core_percent, plain

_PROGRAMS = (
    Column("BPF program", 18), Column("Runs/s", 9), Column("ns/run", 7), Column("CPU", 8),
    Column("Host", 8), Column("Misses", 6), Column("Code(B)", 7),
)  # fmt: skip
_PROCESSES = (Column("Process", 18), Column("CPU", 8), Column("PSS(B)", 6))
_MAPS = (Column("BPF map", 18), Column("Entries", 9), Column("Memory(B)", 9))
_NOTES = (
    "CPU: of one core. Host: of all cores together. Misses: since the program was loaded.",
    "The statistics were on while this was measured: two clock reads per run, of which ns/run",
    "holds a part. What a hook costs every task before a program runs is not in it: some 70 ns per",
    "syscall (make bench BENCH=syscall_cost measures it here).",
)


def cost_text(cost: Mapping[str, Any], paint: Paint = plain) -> str:
    """Return the three tables and what is to be known about the figures."""
    trouble = cost["statistics_trouble"]
    seconds, cpus = cost["interval_ns"] / 1e9, cost["cpus"]
    title = f"Cost of Supervision over {seconds:.1f} s, {cpus} CPU{'' if cpus == 1 else 's'}"
    programs = [*cost["programs"], cost["programs_sum"]]
    maps = [*cost["maps"], {"name": "all", "memory_bytes": cost["maps_memory_bytes"]}]
    lines = [
        "",
        paint(title, "title"),
        paint("=" * len(title), "rule"),
        "",
        *table_lines(_PROGRAMS, list(map(_program, programs)), paint),
        "",
        *table_lines(_PROCESSES, list(map(_process, cost["processes"])), paint),
        "",
        *table_lines(_MAPS, list(map(_map, maps)), paint),
        "",
        *(_NOTES if trouble is None else [paint(f"No times: {escaped(trouble)}", "warn")]),
        "",
    ]
    return "\n".join(lines)


def _program(program: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        escaped(program["name"]),
        cell(program["runs_per_second"]),
        _one_decimal(program["ns_per_run_milli"]),
        core_percent(program["cpu_percent_milli"]),
        core_percent(program["host_percent_milli"]),
        cell(program["recursion_misses"]),
        cell(program["memory_bytes"]),
    )


def _one_decimal(milli: int | None) -> str:
    return cell(None) if milli is None else f"{milli // 1000}.{milli % 1000 // 100}"


def _process(process: Mapping[str, Any]) -> tuple[str, ...]:
    share = core_percent(process["cpu_percent_milli"])
    return process["name"], share, cell(process["pss_bytes"])


def _map(item: Mapping[str, Any]) -> tuple[str, ...]:
    return escaped(item["name"]), cell(item.get("entries_max")), cell(item["memory_bytes"])
