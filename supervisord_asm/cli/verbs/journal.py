"""asmctl journal verify|show: the durable record, read where it lies, with asmd and without.

Reads the database itself: a record that an auditor is to trust must not need the word of the daemon
that wrote it, nor that it still runs.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisord_asm.cli import exit as code
from supervisord_asm.cli.command import JSON, Command
from supervisord_asm.cli.count_option import read_count
from supervisord_asm.cli.json_output import write_json
from supervisord_asm.cli.options import Option, Parsed, UsageError
from supervisord_asm.cli.terminal import Terminal

if TYPE_CHECKING:  # SQLite and the store's modules are 20 ms: only a run of this verb pays them
    from supervisord_asm.store.chain import Head
    from supervisord_asm.store.verify import VerifyReport

PATH_DEFAULT = "/var/lib/asm/journal.db"
LINES_DEFAULT = 1000


def run(parsed: Parsed, terminal: Terminal) -> int:
    """Do what the first operand says."""
    from supervisord_asm.store.errors import JournalError

    actions: dict[str, Callable[[Path, Parsed, Terminal], int]] = {"verify": verify, "show": show}
    action = actions.get(parsed.operands[0])
    if action is None:
        raise UsageError(f'"{parsed.operands[0]}" is neither verify nor show')
    path = Path(parsed.text("path") or PATH_DEFAULT)
    try:
        return action(path, parsed, terminal)
    except JournalError as error:
        terminal.complain(str(error))
        return code.REFUSED if isinstance(error.__cause__, PermissionError) else code.NO


def verify(path: Path, parsed: Parsed, terminal: Terminal) -> int:
    """Check everything that can be checked; print each finding, and the head to keep elsewhere."""
    from supervisord_asm.store.verify import verify as verify_journal

    expected = parsed.text("expect")
    report = verify_journal(path, None if expected is None else read_head(expected))
    if parsed.has("json"):
        write_json(terminal, **_report_members(report))
    else:
        for finding in report.findings:
            terminal.say(finding.text)
        hidden = report.findings_total - len(report.findings)
        if hidden:
            terminal.say(f"and {hidden} more")
        word = "sound" if report.is_sound else "NOT SOUND"
        terminal.write(
            f"{path}: {word}, {report.events_checked} events checked\n"
            f"head {report.head.seq}:{report.head.hash.hex()}\n"
        )
    return code.OK if report.is_sound else code.NO


def show(path: Path, parsed: Parsed, terminal: Terminal) -> int:
    """Print records, oldest first, with the sequence number that --since takes."""
    from supervisord_asm.core.events import describe, rfc3339
    from supervisord_asm.store.reader import read
    from supervisord_asm.view.escape import escaped

    count = read_count(parsed, "lines")
    limit = LINES_DEFAULT if count is None else count
    for seq, event in read(path, read_count(parsed, "since") or 0, limit):
        if parsed.has("json"):
            line = json.dumps({"seq": seq, **event.to_json()})
        else:
            line = f"{seq} {rfc3339(event.realtime_ns)} {escaped(describe(event))}"
        terminal.write(f"{line}\n")
    return code.OK


def read_head(text: str) -> "Head":
    """Return the head that an earlier verify printed. Raises UsageError."""
    from supervisord_asm.store.chain import Head

    seq, _, digest = text.removeprefix("head ").partition(":")
    try:
        return Head(int(seq), bytes.fromhex(digest))
    except ValueError as error:
        raise UsageError(
            f'option --expect: "{text}" is no head; write SEQ:HASH as verify prints it'
        ) from error


def _report_members(report: "VerifyReport") -> dict[str, object]:
    return {
        "path": str(report.path),
        "is_sound": report.is_sound,
        "events_checked": report.events_checked,
        "anchor_seq": report.anchor_seq,
        "head": {"seq": report.head.seq, "hash": report.head.hash.hex()},
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "findings_total": report.findings_total,
    }


COMMAND = Command(
    summary="Verify the journal's chain of hashes, or show its records.",
    run=run,
    operands="verify|show",
    least=1,
    most=1,
    options=(
        Option("path", f"the journal or a backup of it (default {PATH_DEFAULT})", metavar="FILE"),
        Option("expect", "verify: the head that an earlier verify printed", metavar="SEQ:HASH"),
        Option("since", "show: only records after this sequence number", metavar="N"),
        Option("lines", f"show: at most N (default {LINES_DEFAULT})", short="n", metavar="N"),
        JSON,
    ),
)
