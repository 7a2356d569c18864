"""asmctl journal, on journals that the store has written."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from supervisord_asm.cli.asmctl import dispatch
from supervisord_asm.core.events import Event, EventType
from supervisord_asm.store.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal of three events, one of them with hostile text."""
    path = tmp_path / "journal.db"
    journal = Journal.open(path, clock=time.monotonic_ns)
    journal.append(
        [
            Event(EventType.REGISTER, 100, 1, 1_795_259_628_000_000_000, {"name": "fs_monitor"}),
            Event(EventType.SPAWN, 100, 2, 1_795_259_628_000_000_001, {"run": 1}),
            Event(EventType.NOTE, 100, 3, 1_795_259_628_000_000_002, {"text": "\x1b[2Jx"}),
        ]
    )
    journal.close()
    return path


def test_a_sound_journal_is_called_sound_and_its_head_holds(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["journal", "verify", "--path", str(path)]) == 0
    first, head = capfd.readouterr().out.splitlines()
    assert first == f"{path}: sound, 3 events checked"
    line = ["journal", "verify", f"--path={path}", "--expect", head.removeprefix("head ")]
    assert dispatch(line) == 0
    assert dispatch([*line[:-1], f"3:{'0' * 64}"]) == 1


def test_a_changed_record_is_named(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE event SET timestamp_us = 7 WHERE seq = 2")
    connection.close()
    assert dispatch(["journal", "verify", "--path", str(path), "--json"]) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["is_sound"] is False
    assert any(finding["seq"] == 2 for finding in report["findings"])


def test_show_prints_numbers_times_and_harmless_sentences(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["journal", "show", "--path", str(path), "--since", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "2 2026-11-21T11:13:48.000000001Z Agent 100 spawned"
    assert lines[1].endswith("\\x1b[2Jx")
    assert dispatch(["journal", "show", "--path", str(path), "-n", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["seq"] == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [(["verify"], 1), (["show"], 1), (["destroy"], 2), ([], 2), (["verify", "--expect", "x"], 2)],
)
def test_what_cannot_be_read_is_a_line(
    arguments: list[str], exit_code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["journal", *arguments, "--path", str(tmp_path / "nothing.db")]
    assert dispatch(line) == exit_code
    assert capfd.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
