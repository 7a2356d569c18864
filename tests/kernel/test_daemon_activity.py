"""What agents run and call, asked of a whole daemon: by the commands, and over asmd's own death."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import Host, eventually, hosted, sh

# Waits for a line in its state directory's pipe before each further step.
STEPS = 'cd "$HOME"; mkfifo go; /bin/true; /bin/false; read x < go; /bin/echo; exec sleep 1000'


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("worker", sh(f"rm -f go; {STEPS}"), agent_id=100)
        host.write_agent("idle", ["/bin/sleep", "1000"], agent_id=101)
        host.start()
        host.wait_state("worker", "active")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def history(host: Host, agent: str) -> list[dict[str, Any]]:
    """Return the agent's programs, oldest first."""
    programs: list[dict[str, Any]] = host.control(Control.HISTORY, agent=agent)["programs"]
    return programs


def find(host: Host, agent: str, program: str) -> dict[str, Any] | None:
    """Return the last record of a program, once it has ended."""
    found = [p for p in history(host, agent) if p["program"].endswith(program)]
    return found[-1] if found and found[-1]["ended_us"] is not None else None


def test_what_ran_is_told_with_its_end(host: Host) -> None:
    false = eventually(lambda: find(host, "worker", "/bin/false"), "/bin/false ended")
    assert (false["exit_code"], false["exit_signal"], false["replaced"]) == (1, None, False)
    first, second, *rest = history(host, "worker")
    assert first["program"].startswith("/dev/fd/")  # asm-exec: the keeper holds it open
    assert first["replaced"]
    assert second["program"] == "/bin/sh"
    assert second["pid"] == first["pid"] == host.info("worker")["pid"]
    assert second["ended_us"] is None
    named = [(p["program"], p["exit_code"]) for p in rest if p["comm"] in ("true", "false")]
    assert named == [("/bin/true", 0), ("/bin/false", 1)]
    assert [p["program"] for p in history(host, "idle")][1:] == ["/bin/sleep"]


def test_syscalls_are_named_and_sum_up(host: Host) -> None:
    answer = host.control(Control.SYSCALLS, agent="idle")
    by_name = {call["name"]: call["count"] for call in answer["syscalls"]}
    assert by_name["execveat"] == by_name["execve"] == 1  # of asm-exec, and by it
    assert by_name["clock_nanosleep"] == 1
    assert answer["total"] == sum(by_name.values()) == host.info("idle")["syscall_count"]
    counts = [call["count"] for call in answer["syscalls"]]
    assert counts == sorted(counts, reverse=True)


def test_the_commands_print_both(host: Host) -> None:
    text = host.ctl("history", "idle")
    assert text.returncode == 0
    assert text.stdout.splitlines()[0].split() == ["STARTED", "PID", "TOOK", "END", "PROGRAM"]
    assert text.stdout.splitlines()[-1].endswith("/bin/sleep")
    record = json.loads(host.ctl("history", "idle", "--json").stdout)
    assert record["schema"] == 1
    assert record["programs"][-1]["program"] == "/bin/sleep"
    assert "clock_nanosleep" in host.ctl("syscalls", "101", "-n", "0").stdout
    assert json.loads(host.ctl("syscalls", "101", "--json").stdout)["syscalls"]
    for verb in ("history", "syscalls"):
        assert host.ctl(verb, "nobody").returncode == 1


def test_a_killed_agents_programs_have_ended(host: Host) -> None:
    host.act(Control.STOP, "idle")
    last = history(host, "idle")[-1]
    assert last["ended_us"] is not None
    assert last["exit_signal"] == 15
    assert host.control(Control.SYSCALLS, agent="idle")["syscalls"] == []


def test_what_ran_while_asmd_was_dead_is_told_by_the_next(host: Host) -> None:
    """The last test: what the dead one had in memory is gone."""
    eventually(lambda: find(host, "worker", "/bin/false"), "/bin/false ended")
    with host.asmd_kept_away():
        (host.paths.state / "agents" / "worker" / "go").write_text("\n")
    host.wait_ready()
    eventually(
        lambda: [p for p in history(host, "worker") if p["program"].endswith("sleep")],
        "the last program is known",
    )
    echo = eventually(lambda: find(host, "worker", "/bin/echo"), "/bin/echo is known")
    assert echo["exit_code"] == 0
