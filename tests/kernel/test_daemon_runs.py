"""asmctl run and asmctl logs with the real daemon: output, exit codes, names, Ctrl-C."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisord_asm
from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import DEADLINE_S, Host, Part, eventually, hosted, sh

TALKER = sh("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; exec sleep 1000")
# Every byte value, lines of every kind, no newline at the end; on each stream its own.
BINARY = """
import os, sys
def all_of(stream, data):
    while data:
        data = data[os.write(stream, data):]
everything = bytes(range(256))
for number in range(300):
    all_of(1, everything * 7 + b"\\n" * (number % 3))
    all_of(2, everything[::-1] + b"\\0\\n\\r\\n")
all_of(1, b"\\xffthe end")
"""

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("talker", TALKER, agent_id=100)
        host.write_agent("filed", sh("exec sleep 1000"), agent_id=101, start="manual")
        host.start()
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def run(host: Host, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """asmctl run --wait, with bytes."""
    return subprocess.run(
        host.command("asmctl", "run", "--wait", *arguments), cwd="/", env=host.environment,
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=DEADLINE_S,
    )  # fmt: skip


# -- Logs.


def test_logs_are_shown_whole_and_by_stream(host: Host) -> None:
    eventually(lambda: len(host.said("talker")) == 10, "ten lines")
    out = [f"out {number}" for number in range(1, 6)]
    err = [f"err {number}" for number in range(1, 6)]
    assert host.ctl("logs", "--stdout", "talker").stdout.splitlines() == out
    assert host.ctl("logs", "--stderr", "talker").stdout.splitlines() == err
    said = host.said("talker")
    assert [line for line in said if line.startswith("out")] == out
    assert [line for line in said if line.startswith("err")] == err
    assert host.ctl("logs", "-n", "2", "--stdout", "100").stdout.splitlines() == out[-2:]
    assert host.ctl("logs", "-n", "0", "talker").stdout == ""
    stamped = host.ctl("logs", "-t", "--stdout", "talker").stdout.splitlines()
    assert all(line[10] == "T" and line.endswith(f"out {n}") for n, line in enumerate(stamped, 1))
    assert host.ctl("logs", "no-such").returncode == 1


def test_logs_are_followed(host: Host) -> None:
    script = "echo first; until [ -e go ]; do sleep 0.02; done; echo second; exec sleep 1000"
    host.ctl("run", "--name", "writer", "--", "/bin/sh", "-c", script)
    with subprocess.Popen(
        host.command("asmctl", "logs", "-f", "writer"), env=host.environment, cwd="/",
        stdout=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n"
        (host.paths.agent_state("writer") / "go").touch()
        assert follower.stdout.readline() == "second\n"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE_S) == 130
    host.act(Control.STOP, "writer")


def test_the_log_file_is_for_the_group_and_rotates(host: Host) -> None:
    path = host.paths.agent_log("talker")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == 0o750
    # Of a guest with 3 MiB of output nothing is lost: the files are 10 MiB and two.
    done = run(
        host, "--", "/bin/sh", "-c", "yes line of some length | head -c 3000000 | tail -c 20"
    )
    assert done.returncode == 0


# -- run --wait.


def test_output_comes_byte_for_byte_each_stream_apart(host: Host) -> None:
    done = run(host, "--", "/usr/bin/python3", "-c", BINARY)
    alone = subprocess.run(
        [sys.executable, "-c", BINARY], capture_output=True, check=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(alone.stdout).digest()
    assert hashlib.sha256(done.stderr).digest() == hashlib.sha256(alone.stderr).digest()


def test_much_output_comes_whole(host: Host) -> None:
    done = run(host, "--", "/bin/sh", "-c", "seq 1 200000; echo done >&2")
    assert done.returncode == 0
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 200_001)).encode()
    assert done.stderr == b"done\n"


def test_a_silent_command_says_nothing(host: Host) -> None:
    done = run(host, "--", "/bin/true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("code", [0, 1, 2, 42, 78, 255])
def test_the_exit_code_is_the_commands(host: Host, code: int) -> None:
    assert run(host, "--", "/bin/sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL])
def test_a_death_by_signal_is_128_and_the_signal(host: Host, number: signal.Signals) -> None:
    done = run(host, "--", "/bin/sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == 128 + number


def test_what_a_command_leaves_behind_is_ended_and_its_output_is_not_waited_for(host: Host) -> None:
    script = "(setsid sleep 1000 &); echo main; exit 3"
    done = run(host, "--name", "parent", "--", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, b"main\n")
    assert host.info("parent")["process_count"] == 0


def test_the_environment_is_ours_and_what_is_given(host: Host) -> None:
    done = run(host, "--name", "printer", "--env", "COLOUR=blue", "--", "/usr/bin/env")
    found = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    agent_id = host.info("printer")["agent_id"]
    home = str(host.paths.agent_state("printer"))
    assert found == {
        "PATH": found["PATH"], "HOME": home, "USER": f"asm-{agent_id}", "LANG": "C.UTF-8",
        "ASM_AGENT_ID": str(agent_id), "ASM_SOCKET": str(host.paths.agent_socket),
        "NOTIFY_SOCKET": str(host.paths.notify_socket), "COLOUR": "blue",
    }  # fmt: skip


def test_it_runs_as_a_user_of_its_own_or_as_the_one_that_is_named(host: Host) -> None:
    done = run(host, "--name", "self", "--", "/usr/bin/id", "-u")
    assert int(done.stdout) == 1879048192 + host.info("self")["agent_id"]
    assert run(host, "--user", "nobody", "--", "/usr/bin/id", "-un").stdout == b"nobody\n"
    done = run(host, "--user", "no-such-user", "--", "/usr/bin/id")
    assert done.returncode == 1
    assert b"no-such-user" in done.stderr


def test_it_starts_in_its_home_or_in_the_callers_folder_if_that_is_in_scope(host: Host) -> None:
    done = run(host, "--name", "walker", "--", "/bin/pwd")
    assert done.stdout.decode().strip() == str(host.paths.agent_state("walker"))
    command = host.command("asmctl", "run", "--wait", "--scope", "/usr", "--", "/bin/pwd")
    done = subprocess.run(
        command, cwd="/usr/share", env=host.environment, capture_output=True, check=False,
        timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.stdout == b"/usr/share\n"


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["/no/such"], 1, b"No such file"),
        (["no-such-command-anywhere"], 1, b"No such file"),
        (["/usr"], 4, b"Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed_is_said(
    host: Host, command: list[str], status: int, words: bytes
) -> None:
    done = run(host, "--", *command)
    assert (done.returncode, done.stdout) == (status, b"")
    assert words in done.stderr


def test_a_run_survives_a_new_asmd(host: Host) -> None:
    script = "echo before; until [ -e go ]; do sleep 0.02; done; echo after; exit 6"
    with subprocess.Popen(
        host.command("asmctl", "run", "--wait", "--name", "rider", "--", "/bin/sh", "-c", script),
        env=host.environment, cwd="/", stdout=subprocess.PIPE, text=True,
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == "before\n"
        host.kill_asmd()
        (host.paths.agent_state("rider") / "go").touch()
        assert client.stdout.read() == "after\n"
        assert client.wait(DEADLINE_S) == 6


# -- Ctrl-C.


@contextlib.contextmanager
def attached(host: Host, name: str, script: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has said its first line."""
    with subprocess.Popen(
        host.command("asmctl", "run", "--wait", "--name", name, "--", "/bin/sh", "-c", script),
        env=host.environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == "up\n"
        try:
            yield client
        finally:
            client.kill()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_the_agent(host: Host, number: signal.Signals, status: int) -> None:
    name = f"stopped-{status}"
    with attached(host, name, "echo up; exec sleep 1000") as client:
        agent = Part(host.info(name)["pid"])
        client.send_signal(number)
        assert client.wait(DEADLINE_S) == status
        agent.wait_gone()
    view = host.info(name)
    assert (view["state"], view["last_exit_cause"]) == ("stopped", "operator")


def test_a_second_ctrl_c_kills_it(host: Host) -> None:
    script = "trap 'echo heard' TERM; echo up; while :; do sleep 0.05; done"
    with attached(host, "deaf", script) as client:
        assert client.stdout is not None
        client.send_signal(signal.SIGINT)
        assert client.stdout.readline() == "heard\n"
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE_S) == 130
    assert host.info("deaf")["last_exit_signal"] == signal.SIGKILL


def test_a_closed_stdout_stops_it(host: Host) -> None:
    with attached(host, "yes", "echo up; while :; do echo yes; sleep 0.01; done") as client:
        assert client.stdout is not None
        client.stdout.close()
        assert client.wait(DEADLINE_S) == 141
    host.wait_state("yes", "stopped")


# -- Names, and what has ended.


def test_without_wait_it_returns_the_id_of_what_runs(host: Host) -> None:
    done = host.ctl("run", "--name", "stayer", "--", "/bin/sleep", "1000")
    assert done.returncode == 0, done.stderr
    view = host.info(done.stdout.strip())
    assert (view["name"], view["state"]) == ("stayer", "active")
    assert view["agent_id"] >= 1000
    # No restart by default.
    host.ctl("kill", "stayer")
    assert host.wait_state("stayer", "failed")["spawn_count"] == 1


def test_a_live_name_is_refused_and_an_ended_one_replaced(host: Host) -> None:
    first = int(host.ctl("run", "--name", "twin", "--", "/bin/sleep", "1000").stdout)
    done = host.ctl("run", "--name", "twin", "--", "/bin/true")
    assert done.returncode == 1
    assert "twin" in done.stderr
    assert "stop it first" in done.stderr
    assert host.info("twin")["state"] == "active"
    host.act(Control.STOP, "twin")
    second = int(host.ctl("run", "--name", "twin", "--", "/bin/sleep", "1000").stdout)
    assert second > first, "ids are not used again"
    assert host.info("twin")["agent_id"] == second
    assert host.info(first)["state"] == "stopped"
    host.act(Control.STOP, "twin")
    done = host.ctl("run", "--name", "filed", "--", "/bin/true")
    assert done.returncode == 1
    assert "filed.yaml" in done.stderr


def test_names_are_made_from_the_program(host: Host) -> None:
    first = json.loads(host.ctl("info", "--json", _run_id(host, "/bin/sleep", "1000")).stdout)
    second = json.loads(host.ctl("info", "--json", _run_id(host, "/bin/sleep", "1000")).stdout)
    assert (first["name"], second["name"]) == ("sleep", "sleep-2")
    host.act(Control.STOP, "sleep", "sleep-2")


def _run_id(host: Host, *command: str) -> str:
    return host.ctl("run", "--", *command).stdout.strip()


def test_what_has_ended_is_seen_with_all(host: Host) -> None:
    run(host, "--name", "ghost", "--", "/bin/sh", "-c", "echo boo; exit 9")
    rows = {
        view["name"]: view
        for view in json.loads(host.ctl("list", "--all", "--json").stdout)["agents"]
    }
    assert rows["ghost"]["last_exit_code"] == 9
    assert host.said("ghost") == ["boo"]
    host.kill_asmd()
    assert "ghost" in host.ctl("list", "--all").stdout
    assert host.said("ghost") == ["boo"]


def test_a_stranger_cannot_run_anything(host: Host) -> None:
    command = host.command("asmctl", "run", "--", "/bin/true")
    # A copy, because the checkout may lie where only root may go.
    place = Path(tempfile.mkdtemp(prefix=f"asm-test-{os.getpid()}-"))
    place.chmod(0o755)
    shutil.copytree(Path(supervisord_asm.__file__).parent, place / "supervisord_asm")
    done = subprocess.run(
        ["/usr/bin/python3", *command[1:]], user=64123, group=64123, extra_groups=[], cwd="/",
        capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(place)},
    )  # fmt: skip
    shutil.rmtree(place)
    assert done.returncode == 4, done
    assert 'members of the group "asm"' in done.stderr
    assert Path(host.paths.control_socket).exists()
