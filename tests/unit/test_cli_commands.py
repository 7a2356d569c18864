"""What each command prints and returns, above all when the answer is no.

The daemon is played by tests/fake_asmd.py; how the commands fare with the real one is tested with
the real one (tests/clients).
"""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.client import Unreachable
from supervisord_asm.api.numbers import Control
from supervisord_asm.cli import asminfo, asmlist, asmstatus
from supervisord_asm.cli.asmctl import VERBS, dispatch, help_text, load_verb
from supervisord_asm.cli.command import Command, execute
from supervisord_asm.cli.options import Parsed
from supervisord_asm.cli.terminal import Terminal, choose_paint, painted
from supervisord_asm.core.snapshot import (
    AgentView,
    SystemView,
    agent_to_json,
    system_to_json,
)
from supervisord_asm.view.value import plain
from tests.fake_asmd import FakeAsmd

SEE_STOP = "; see asmctl stop --help"
VIEW = AgentView(
    100, "fs_monitor", "active", 42, ("FsBasic",), spawn_count=1, total_restarts=0,
    log_path="/nonexistent.log", cgroup="/asm.slice/agents/100",
)  # fmt: skip
STATUS = {
    "system": system_to_json(SystemView(total_spawns=15, version="0.1.0")),
    "recent_events": [],
    "timestamp_us": 5,
}


def answer(verb: int, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Answer as an asmd with one agent would."""
    match verb:
        case Control.STATUS:
            return 0, STATUS
        case Control.LIST:
            known = {key: value for key, value in agent_to_json(VIEW).items() if value is not None}
            over = {**known, "agent_id": 101, "ended": True}
            pages = {0: ([known, over], 101), 101: ([{**known, "agent_id": 102}], None)}
            agents, following = pages[request["after"]]
            return 0, {"agents": agents, "next": following}
        case Control.INFO if request["agent"] in ("100", "fs_monitor"):
            return 0, {"agent": agent_to_json(VIEW), "events": []}
        case Control.INFO:
            return -errno.ESRCH, {"error": "no such agent"}
        case Control.STOP | Control.START | Control.RESTART | Control.KILL | Control.RESET:
            return 0, {"results": [_result(name) for name in request["agents"]]}
        case Control.DOCTOR:
            check = {"name": "btf", "state": "ok", "source": "/sys/kernel/btf", "why": ""}
            return 0, {"checks": [check]}
        case Control.SHUTDOWN:
            return -errno.EPERM, {"error": "not you", "hint": "ask root"}
        case Control.RELOAD:
            mistake = {"file": "a.yaml", "line": 3, "column": 5, "message": "bad", "hint": "good"}
            return -errno.EINVAL, {"error": "1 mistake", "errors": [mistake]}
        case Control.RUN:
            return 0, {"agent_id": 1000, "name": "sh", "run": 1, "log_path": "", "log_offset": 0}
        case _:
            raise ConnectionError


def _result(name: str) -> dict[str, Any]:
    known = {"100": (0, "stopped"), "fs_monitor": (0, "stopped"), "guarded": (-errno.EPERM, "no")}
    result, message = known.get(name, (-errno.ESRCH, f"Agent {name} not found"))
    return {"agent_id": 100, "name": name, "result": result, "message": message}


def call(
    tmp_path: Path, *arguments: str, program: str = "asmctl"
) -> tuple[int, list[tuple[int, dict[str, Any]]]]:
    """Run one command line against the fake; return its exit code and the calls that it made."""
    with FakeAsmd(tmp_path / "control.sock", answer) as asmd:
        socket_option = f"--socket={asmd.path}"
        if program == "asmctl":
            exit_code = dispatch([arguments[0], socket_option, *arguments[1:]])
        else:
            command = {"asminfo": asminfo, "asmlist": asmlist, "asmstatus": asmstatus}[program]
            exit_code = execute(program, command.COMMAND, [socket_option, *arguments])
    return exit_code, asmd.calls


def test_asmstatus_prints_the_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, program="asmstatus")[0] == 0
    assert "  Total Spawns:     15\n" in capfd.readouterr().out


def test_asmstatus_json_is_the_answer_with_a_schema(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "--json", program="asmstatus")[0] == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["schema"] == 1
    assert printed["system"]["total_spawns"] == 15


def test_asmlist_asks_for_ended_agents_only_with_all(tmp_path: Path) -> None:
    for options, wanted in (([], False), (["--all"], True)):
        _, calls = call(tmp_path, *options, program="asmlist")
        assert [request["all"] for _, request in calls] == [wanted, wanted]


def test_asmlist_fetches_every_page_and_fills_in_nulls(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "--json", "--all", program="asmlist")[0] == 0
    agents = json.loads(capfd.readouterr().out)["agents"]
    assert [agent["agent_id"] for agent in agents] == [100, 101, 102]
    assert agents[0]["memory_bytes"] is None


def test_asmlist_shows_ended_agents_only_with_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, program="asmlist")[0] == 0
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines()[4:]] == ["100", "102"]


def test_asmctl_list_shows_the_state(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "list")[0] == 0
    assert capfd.readouterr().out.splitlines()[-1].split()[-1] == "active"


@pytest.mark.parametrize("operand", ["100", "fs_monitor"])
def test_asminfo_takes_id_or_name(
    operand: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, operand, program="asminfo")[0] == 0
    assert "Name:            fs_monitor\n" in capfd.readouterr().out


def test_asminfo_json_has_502s_members_and_the_operators(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "100", "--json", program="asminfo")[0] == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["agent_id"] == 100
    assert printed["cgroup"] == "/asm.slice/agents/100"
    assert printed["last_exit_code"] is None


@pytest.mark.parametrize(
    ("program", "arguments", "exit_code", "text"),
    [
        ("asminfo", ["999"], 1, "Error: Agent 999 not found"),
        ("asminfo", ["ID"], 2, "Invalid agent ID"),
        ("asminfo", ["----"], 2, "Invalid agent ID"),
        ("asminfo", [], 2, "asminfo: ID|NAME is missing; see asminfo --help"),
        ("asminfo", ["1", "2"], 2, 'asminfo: "2" is one operand too many; see asminfo --help'),
        ("asmctl", ["stop", "Bad Name"], 2, 'Error: Invalid agent ID "Bad Name"'),
        ("asmctl", ["stop"], 2, "asmctl stop: name the agents, or say --all" + SEE_STOP),
        ("asmctl", ["stop", "-a", "100"], 2, "asmctl stop: --all takes no names" + SEE_STOP),
        ("asmctl", ["stop", "ghost"], 1, "Error: Agent ghost not found"),
        (
            "asmctl",
            ["stop", "ghost", "guarded"],
            4,
            "Error: Agent ghost not found\nError: guarded: no",
        ),
        ("asmctl", ["kill", "-s", "NOPE", "100"], 2, None),
        ("asmctl", ["shutdown"], 4, "asmctl shutdown: not you (ask root)"),
        ("asmctl", ["reload"], 1, "a.yaml:3:5: bad: good\nasmctl reload: nothing was changed"),
        ("asmctl", ["frobnicate"], 2, 'asmctl: unknown verb "frobnicate"; see asmctl help'),
        ("asmctl", ["statsu"], 2, None),
        ("asmctl", ["status", "--timeout", "5 apples"], 2, None),
        ("asmctl", ["check-config", "/nonexistent"], 1, None),
    ],
)
def test_a_no_is_an_exit_code_and_a_line_that_says_why(
    program: str,
    arguments: Sequence[str],
    exit_code: int,
    text: str | None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call(tmp_path, *arguments, program=program)[0] == exit_code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == (captured.err if text is None else f"{text}\n")
    assert captured.err.count("\n") == 1 or "Error" in captured.err or "reload" in arguments
    assert "Traceback" not in captured.err


def test_a_daemon_that_does_not_run_is_said_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nobody.sock"
    assert dispatch(["status", f"--socket={path}"]) == 3
    line = capfd.readouterr().err
    assert line.startswith(
        f"asmctl status: unable to reach asmd at {path}: No such file or directory: is asmd "
        "running? start it with: "
    )
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "exit_code", "words"),
    [
        (errno.EACCES, 4, 'only root and members of the group "asm" may'),
        (errno.ECONNREFUSED, 3, "is asmd running? start it with: "),
        (errno.ETIMEDOUT, 3, "asmd runs but does not answer"),
    ],
)
def test_what_keeps_from_the_daemon_is_told_with_the_way_out(
    number: int, exit_code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(parsed: Parsed, terminal: Terminal) -> int:
        raise Unreachable("/run/asm/control.sock", number)

    assert execute("asmlist", Command("summary", run), []) == exit_code
    line = capfd.readouterr().err
    assert line.startswith("asmlist: unable to reach asmd at /run/asm/control.sock: ")
    assert words in line
    assert line.count("\n") == 1


def test_a_daemon_that_hangs_up_is_unreachable(tmp_path: Path) -> None:
    assert call(tmp_path, "events")[0] == 3


def test_actions_wait_by_default_and_not_with_no_wait(tmp_path: Path) -> None:
    assert call(tmp_path, "stop", "100")[1] == [
        (Control.STOP, {"agents": ["100"], "all": False, "wait": True})
    ]
    assert call(tmp_path, "start", "--all", "--no-wait")[1] == [
        (Control.START, {"agents": [], "all": True, "wait": False})
    ]


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("SIGHUP", 1), ("9", 9), ("usr1", 10)])
def test_kill_sends_the_named_signal(text: str, number: int, tmp_path: Path) -> None:
    assert call(tmp_path, "kill", "--signal", text, "100")[1][0][1]["signal"] == number


def test_run_sends_what_was_given_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_HERE", "a=b")
    line = ["--name", "job", "--env", "X=1=2", "-e", "FROM_HERE", "--limit", "cpu=50%",
            "--limit", "wall=30s", "--cap", "Exec", "--scope", "/srv", "--",
            "sh", "-c", "exit 3"]  # fmt: skip
    exit_code, calls = call(tmp_path, "run", *line)
    assert exit_code == 0
    assert capfd.readouterr().out == "1000\n"
    assert calls == [
        (
            Control.RUN,
            {
                "command": ["sh", "-c", "exit 3"],
                "environment": {"X": "1=2", "FROM_HERE": "a=b"},
                "limits": {"cpu": "50%", "wall": "30s"},
                "name": "job",
                "capabilities": ["Exec"],
                "scope": ["/srv"],
                "working_directory": os.getcwd(),
            },
        )
    ]


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["--limit", "disk=5", "true"],
        ["--limit", "cpu", "true"],
        ["--env", "=5", "true"],
        ["--env", "NOT_SET_HERE", "true"],
        ["--name", "5", "true"],
        ["--name", "Upper", "true"],
    ],
)
def test_run_refuses_a_wrong_line_before_it_asks(line: list[str], tmp_path: Path) -> None:
    assert call(tmp_path, "run", *line) == (2, [])


def test_version_is_known_without_a_daemon(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["version", f"--socket={tmp_path / 'x'}"]) == 0
    assert capfd.readouterr().out.splitlines()[1] == "asmd   - (no answer)"


def test_an_internal_error_is_a_line_and_not_a_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATUS, "system", None)
    assert call(tmp_path, program="asmstatus")[0] == 5
    assert "internal error" in capfd.readouterr().err


def test_the_verb_table_says_what_the_verbs_say() -> None:
    assert {verb: load_verb(verb).summary for verb in VERBS} == VERBS
    assert all(verb in help_text() for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert dispatch([verb, "--help"]) == 0
    assert capfd.readouterr().out.startswith(f"usage: asmctl {verb} [OPTIONS]")


@pytest.mark.parametrize(
    ("color", "is_terminal", "environment", "is_painted"),
    [
        ("auto", True, {"TERM": "xterm"}, True),
        ("auto", False, {"TERM": "xterm"}, False),
        ("auto", True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        ("auto", True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_colour_is_for_people_who_want_it(
    color: str, is_terminal: bool, environment: dict[str, str], is_painted: bool
) -> None:
    paint = choose_paint(color, is_terminal=is_terminal, environment=environment)
    assert paint is (painted if is_painted else plain)
