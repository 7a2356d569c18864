"""What `asmctl doctor` prints: the source of each figure and limit, and why one is off.

The checks arrive as the daemon's JSON (control call DOCTOR): name, state ok | fallback | off,
source, why, meaning. The sentence in `why` is last in its row, so it may be long and hold spaces.
Below the table stands what each figure means here.
"""

from collections.abc import Mapping, Sequence

from supervisord_asm.view.escape import escaped
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import Paint, cell, plain

_COLUMNS = (Column("Check", 16), Column("State", 8), Column("Source", 20), Column("Why", 3))
_MEANINGS = {"ok": "good", "fallback": "warn", "off": "bad"}


def doctor_text(checks: Sequence[Mapping[str, object]], paint: Paint = plain) -> str:
    """Return the table, a line with the counts of each state, and the figures' meanings."""
    rows = []
    states = []
    for check in checks:
        state = str(check.get("state", "unknown"))
        states.append(state)
        rows.append(
            tuple(
                escaped(cell(str(check.get(key) or "")))
                for key in ("name", "state", "source", "why")
            )
        )
    meanings = [("", _MEANINGS.get(state, "warn"), "", "") for state in states]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _MEANINGS)
    lines = ["", *table_lines(_COLUMNS, rows, paint, meanings), "", f"{counts}.", ""]
    return "\n".join([*lines, *_meaning_lines(checks, paint)])


def _meaning_lines(checks: Sequence[Mapping[str, object]], paint: Paint) -> list[str]:
    told = [(str(check["name"]), str(check["meaning"])) for check in checks if check.get("meaning")]
    if not told:
        return []
    width = max(len(name) for name, _ in told) + 1
    lines = [f"  {escaped(name) + ':':<{width}} {escaped(meaning)}" for name, meaning in told]
    return [paint("What the figures mean:", "title"), *lines, ""]
