"""What `asmctl doctor` prints: the source of each figure and limit, and why one is off.

The checks arrive as the daemon's JSON (control call DOCTOR): name, state ok | fallback | off,
source, why. The sentence in `why` is last in its row, so it may be long and hold spaces.
"""

from collections.abc import Mapping, Sequence

from supervisord_asm.view.escape import escaped
from supervisord_asm.view.table import Column, table_lines
from supervisord_asm.view.value import Paint, cell, plain

_COLUMNS = (Column("Check", 16), Column("State", 8), Column("Source", 20), Column("Why", 3))
_MEANINGS = {"ok": "good", "fallback": "warn", "off": "bad"}


def doctor_text(checks: Sequence[Mapping[str, object]], paint: Paint = plain) -> str:
    """Return the table and one line with the counts of each state."""
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
    return "\n".join(lines)
