"""What `asmctl history` and `asmctl syscalls` print: a table each, from asmd's answers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from supervisord_asm.view.drops import drop_lines
from supervisord_asm.view.escape import escaped
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import ABSENT, Paint, age, plain

_PROGRAMS = (
    Column("STARTED", 14), Column("PID", 7), Column("TOOK", 10), Column("END", 9),
    Column("PROGRAM", 7),
)  # fmt: skip
_SYSCALLS = (Column("NUMBER", 6), Column("NAME", 16), Column("COUNT", 12), Column("SHARE", 6))


def history_text(answer: Mapping[str, Any], now_us: int, paint: Paint = plain) -> str:
    """Return the programs of an agent, oldest first; `now_us` is CLOCK_BOOTTIME."""
    programs: Sequence[Mapping[str, Any]] = answer["programs"]
    rows, meanings = [], []
    for program in programs:
        end = _end(program)
        took_us = (now_us if program["ended_us"] is None else program["ended_us"]) - program[
            "started_us"
        ]
        rows.append(
            (age(now_us - program["started_us"]), str(program["pid"]), _span(took_us), end,
             _name(program))
        )  # fmt: skip
        is_bad = program["exit_signal"] is not None or bool(program["exit_code"])
        meanings.append(("", "", "", "bad" if is_bad else "", ""))
    lines = table_lines(_PROGRAMS, rows, paint, meanings)
    forgotten = answer["total"] - len(programs)
    if forgotten:
        lines += ["", f"{forgotten} earlier ones are not kept."]
    return "\n".join([*lines, *drop_lines(answer["drops"], is_agents=True), ""])


def syscalls_text(answer: Mapping[str, Any], most: int, paint: Paint = plain) -> str:
    """Return an agent's most frequent syscalls, at most `most` of them (0: all)."""
    found: Sequence[Mapping[str, Any]] = answer["syscalls"]
    total = answer["total"]
    shown = found[:most] if most else found
    rows = [
        (str(call["number"]), call["name"], str(call["count"]), _share(call["count"], total))
        for call in shown
    ]
    lines = table_lines(_SYSCALLS, rows, paint)
    lines += ["", f"{total} syscalls of {len(found)} kinds."]
    return "\n".join([*lines, *drop_lines(answer["drops"], is_agents=True), ""])


def _name(program: Mapping[str, Any]) -> str:
    """Return the path, and the short name where that tells more."""
    path, comm = program["program"], program["comm"]
    shown = escaped(path) or ABSENT
    # The kernel's name is the path's last part, cut to 15 characters, for an honest path.
    if path.rpartition("/")[2][:15] != comm:
        shown += f" ({escaped(comm)})"
    return shown


def _end(program: Mapping[str, Any]) -> str:
    if program["exit_signal"] is not None:
        return f"signal {program['exit_signal']}"
    if program["exit_code"] is not None:
        return f"code {program['exit_code']}"
    if program["replaced"]:
        return "replaced"
    return "runs" if program["ended_us"] is None else "unknown"


def _span(duration_us: int) -> str:
    """Return "812 us", "35 ms" or "12 s"; three digits say enough."""
    for unit_us, name in ((10_000_000, "s"), (10_000, "ms")):
        if duration_us >= unit_us:
            return f"{duration_us // (1_000_000 if name == 's' else 1000)} {name}"
    return f"{duration_us} us"


def _share(count: int, total: int) -> str:
    """Return "12.3%" by integer arithmetic."""
    mille = count * 1000 // total if total else 0
    return f"{mille // 10}.{mille % 10}%"
