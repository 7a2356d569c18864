"""What people see: the commands, the FUSE tree and the calls show the same, fresh or marked stale.

The agents rest or only sleep, so that two looks at different times can be compared.
"""

import errno
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import DEADLINE_S, Host, Part, eventually, hosted, sh

SLEEPS = sh("exec sleep 1000")
ANSWER_S = 0.5  # with asmd stopped or killed (issue 2)
STALE = re.compile(r"^Stale: last update \d+\.\d s ago$")
FILES = (
    "status", "telemetry", "resources", "agents/100/status", "agents/100/resources",
    "agents/100/limits", "agents/crasher/status", "profiling", "agents/101/profiling",
)  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent(
            "sleeper", SLEEPS, agent_id=100, restart={"kind": "on-failure", "max": 5},
            limits={"memory": "64MiB", "cpu": "50%"}, capabilities=["FsBasic", "NetClient"],
        )  # fmt: skip
        host.write_agent(
            "crasher", sh("kill -SEGV $$"), agent_id=101,
            restart={"kind": "on-failure", "max": 3, "backoff": "10ms"},
        )  # fmt: skip
        host.write_agent("manual", SLEEPS, agent_id=102, start="manual")
        host.start()
        host.wait_state("crasher", "failed")
        host.wait_state("sleeper", "active")
        host.wait_tree()
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def read(host: Host, name: str) -> str:
    """Read a file of the tree."""
    return (host.paths.fuse / name).read_text()


def settled(host: Host, look: Callable[[], tuple[object, object]], what: str) -> object:
    """Look until both are equal: the tree follows the daemon by a second."""
    found: list[object] = []

    def is_equal() -> bool:
        found[:] = look()
        return found[0] == found[1]

    try:
        eventually(is_equal, what)
    except AssertionError:
        assert found[0] == found[1], what
        raise
    return found[0]


def fields(text: str) -> dict[str, str]:
    """Read "Name:   value" lines; of two with a name the first, which is the lifetime's."""
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    return {name.strip(): value.strip() for name, _, value in reversed(pairs)}


# -- The commands.


def test_asmstatus_shows_the_totals_and_the_last_events(host: Host) -> None:
    done = host.ctl(name="asmstatus")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["", "Agent Supervision Module - System Status", "=" * 40]
    shown, system = fields(done.stdout), host.system()
    for name, key in (
        ("Total Spawns", "total_spawns"), ("Total Exits", "total_exits"),
        ("Total Crashes", "total_crashes"), ("Total Faults", "total_faults"),
        ("Total Restarts", "total_restarts"), ("Active Agents", "active_agents"),
    ):  # fmt: skip
        assert shown[name] == str(system[key]), name
    assert system["total_crashes"] == 4
    events = [line for line in lines if re.match(r"  \[\d+\] ", line)]
    assert len(events) == 10
    assert any("Agent 101 failed: restart limit reached" in line for line in events)
    assert host.ctl("status").stdout.splitlines()[:3] == lines[:3]
    status = json.loads(host.ctl("--json", name="asmstatus").stdout)
    assert status["system"]["total_crashes"] == 4
    assert len(status["recent_events"]) == 10


def test_asmlist_shows_a_row_for_each_agent(host: Host) -> None:
    done = host.ctl(name="asmlist")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["", "Active Agents:"]
    assert lines[2].split() == ["ID", "PID", "Name", "Capabilities", "Restarts"]
    rows = [line.split() for line in lines[4:]]
    assert rows == [
        ["100", str(host.info(100)["pid"]), "sleeper", "FsBasic,NetClient", "0"],
        ["101", "-", "crasher", "FsBasic,Exec", "3"],
        ["102", "-", "manual", "FsBasic,Exec", "0"],
    ]
    states = [line.split()[5] for line in host.ctl("list").stdout.splitlines()[4:]]
    assert states == ["active", "failed", "stopped"]
    listed = json.loads(host.ctl("--json", name="asmlist").stdout)["agents"]
    assert [view["name"] for view in listed] == ["sleeper", "crasher", "manual"]
    assert listed[1]["last_exit_signal"] == signal.SIGSEGV
    assert listed[1]["pid"] is None


def test_asminfo_takes_an_id_or_a_name(host: Host) -> None:
    done = host.ctl("100", name="asminfo")
    assert done.returncode == 0, done.stderr
    shown, view = fields(done.stdout), host.info(100)
    assert shown["Agent ID"] == "100"
    assert shown["PID"] == str(view["pid"])
    assert shown["State"] == "Active"
    assert shown["Capabilities"] == "FsBasic, NetClient"
    assert shown["Auto-Restart"] == "Yes (max 5)"
    assert shown["Spawn Count"] == "1"
    assert "off" in done.stdout, "a limit that is not enforced is not shown as if it were"
    by_name = fields(host.ctl("sleeper", name="asminfo").stdout)
    assert {**by_name, "Last Activity": "", "CPU Time": ""} == {
        **shown, "Last Activity": "", "CPU Time": "",
    }  # fmt: skip
    answer = json.loads(host.ctl("--json", "crasher", name="asminfo").stdout)
    assert answer["agent_id"] == 101
    for key in (
        "state", "cgroup", "syscall_count", "cpu_time_us", "memory_bytes", "peak_memory_bytes",
        "process_count", "last_exit_code", "last_exit_signal", "last_exit_cause",
    ):  # fmt: skip
        assert key in answer, key
    assert answer["syscall_count"] > 0


@pytest.mark.parametrize(
    ("operand", "status", "words"),
    [
        ("4711", 1, "Error: Agent 4711 not found"),
        ("nobody", 1, "Error: Agent nobody not found"),
        ("----", 2, ""),
        ("1x", 2, "Invalid agent ID"),
        ("99999999999", 2, "Invalid agent ID"),
    ],
)
def test_asminfo_says_what_it_does_not_find(
    host: Host, operand: str, status: int, words: str
) -> None:
    done = host.ctl(operand, name="asminfo")
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_events_and_doctor_are_shown(host: Host) -> None:
    done = host.ctl("events")
    assert done.returncode == 0, done.stderr
    assert "Agent 101 failed: restart limit reached" in done.stdout
    done = host.ctl("doctor")
    assert "asmd" in done.stdout
    assert "limits" in done.stdout


def test_a_colour_is_shown_on_a_terminal_only(host: Host) -> None:
    assert "\x1b[" not in host.ctl(name="asmlist").stdout
    assert "\x1b[" in host.ctl("--color=always", name="asmlist").stdout


def test_without_a_daemon_a_command_says_so_and_how_to_start_it(host: Host) -> None:
    command = [*host.command("asmlist")[:3], "--socket", str(host.folder / "none")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        env=host.environment,
    )  # fmt: skip
    assert done.returncode == 3
    assert "is asmd running?" in done.stderr


# -- The tree.


def test_the_tree_holds_what_it_should(host: Host) -> None:
    tree = host.paths.fuse
    assert set(os.listdir(tree)) == {
        "status", "telemetry", "resources", "profiling", "events", "agents",
    }  # fmt: skip
    assert set(os.listdir(tree / "agents")) == {
        "100", "101", "102", "sleeper", "crasher", "manual",
    }  # fmt: skip
    assert set(os.listdir(tree / "agents" / "100")) == {
        "status", "resources", "profiling", "limits",
    }  # fmt: skip
    assert os.readlink(tree / "agents" / "sleeper") == "100"


def test_the_tree_says_what_the_socket_says(host: Host) -> None:
    def totals() -> tuple[object, object]:
        shown, system = fields(read(host, "status")), host.system()
        names = {
            "Total Spawns": "total_spawns", "Total Exits": "total_exits",
            "Total Faults": "total_faults", "Total Restarts": "total_restarts",
            "Active Agents": "active_agents", "Total Syscalls": "total_syscalls",
        }  # fmt: skip
        return (
            {name: shown[name] for name in names},
            {name: str(system[key]) for name, key in names.items()},
        )

    settled(host, totals, "the totals of status")
    rows = {line.split()[0]: line.split() for line in read(host, "status").splitlines() if line}
    view = host.info(101)
    assert rows["101"][1:5] == [
        str(view[key]) for key in ("spawn_count", "exit_count", "fault_count", "cpu_time_us")
    ]


def test_telemetry_is_what_500_answers(host: Host) -> None:
    def both() -> tuple[object, object]:
        shown = json.loads(read(host, "telemetry"))
        assert shown.pop("stale") is False
        assert shown.pop("age_ms") >= 0
        with host.agent_client() as client:
            answer = json.loads(client.call(500, (1 << 20, 0, 0, 0))[1])
        # Everybody may read the file, so its events say no more than that something happened.
        answer["recent_events"] = [
            {key: event[key] for key in ("type", "agent_id", "timestamp_us", "time")}
            for event in answer["recent_events"]
        ]
        return shown, answer

    settled(host, both, "telemetry and 500")


def test_an_agents_files_are_what_its_view_says(host: Host) -> None:
    view = host.info("sleeper")
    shown = fields(read(host, "agents/sleeper/status"))
    for name, value in (
        ("Agent ID", "100"), ("PID", view["pid"]), ("Name", "sleeper"), ("State", "active"),
        ("User", f"asm-100 (uid {view['uid']})"), ("Spawn Count", 1), ("Exit Count", 0),
        ("Cgroup", view["cgroup"]), ("Log", view["log_path"]), ("Processes", 1),
    ):  # fmt: skip
        assert shown[name] == str(value), name
    limits = read(host, "agents/100/limits")
    assert "67108864" in limits or "64" in limits
    assert "off" in limits

    def usage() -> tuple[object, object]:
        shown, view = fields(read(host, "agents/101/resources")), host.info("crasher")
        return (
            (shown["Syscalls"], shown["Forks"], shown["Execs"]),
            tuple(str(view[key]) for key in ("syscall_count", "fork_count", "exec_count")),
        )

    settled(host, usage, "the crasher's resources")
    table = {line.split()[0]: line.split() for line in read(host, "resources").splitlines() if line}
    assert {"100", "101", "102"} <= set(table)


def test_the_tree_follows_an_agents_life(host: Host) -> None:
    host.act(Control.START, "manual")
    pid = host.info("manual")["pid"]
    eventually(lambda: f" {pid}\n" in read(host, "agents/manual/status"), "its pid in the tree")
    host.act(Control.STOP, "manual")
    eventually(lambda: "stopped" in read(host, "agents/manual/status"), "its end in the tree")
    assert host.ctl("run", "--name", "guest", "--", "/bin/true").returncode == 0
    host.wait_state("guest", "stopped")
    eventually(lambda: (host.paths.fuse / "agents" / "guest").exists(), "the guest")


def test_files_are_read_only_for_root_too(host: Host) -> None:
    for name in FILES:
        path = host.paths.fuse / name
        found = path.stat()
        assert (found.st_mode & 0o7777, found.st_size, found.st_uid) == (0o444, 0, 0), name
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC):
            with pytest.raises(PermissionError) as caught:
                os.close(os.open(path, flags))
            assert caught.value.errno == errno.EACCES
    with pytest.raises(OSError):
        (host.paths.fuse / "new").touch()
    with pytest.raises(OSError):
        (host.paths.fuse / "status").unlink()


def test_a_file_is_one_text_at_any_offset(host: Host) -> None:
    for name in FILES:
        descriptor = os.open(host.paths.fuse / name, os.O_RDONLY)
        try:
            whole = os.pread(descriptor, 1 << 20, 0)
            assert whole.endswith(b"\n"), name
            pieces = [os.pread(descriptor, 7, offset) for offset in range(0, len(whole), 7)]
            assert b"".join(pieces) == whole, name
            assert os.pread(descriptor, 10, len(whole)) == b""
        finally:
            os.close(descriptor)


def test_the_guides_one_liners_work(host: Host) -> None:
    status, commands = host.paths.fuse / "status", host.folder / "bin"
    commands.mkdir(exist_ok=True)
    for name in ("asmlist", "asminfo"):
        wrapper = commands / name
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(host.command(name))} "$@"\n')
        wrapper.chmod(0o755)

    def shell(line: str) -> list[str]:
        environment = {**host.environment, "PATH": f"{commands}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, check=False, cwd="/",
            env=environment, timeout=DEADLINE_S,
        )  # fmt: skip
        return done.stdout.splitlines()

    (line,) = shell(f'grep "Agent 101" {status}')
    assert line == "Agent 101: spawns=4 exits=4 faults=4"
    assert shell("asmlist | tail -n +5 | awk '{print $1}'") == ["100", "101", "102"]
    restarted = '{print "Agent " $1 " restarted " $5 " times"}'
    assert shell(f"asmlist | awk '$1 ~ /^[0-9]+$/ && $5 > 2 {restarted}'") == [
        "Agent 101 restarted 3 times"
    ]
    assert shell(f"awk '$1 ~ /^[0-9]+$/ && $4 > 3 {{print $1}}' {status}") == ["101"]
    audited = shell("for id in $(asmlist | tail -n +3 | awk '{print $1}'); do asminfo $id; done")
    assert [line.split()[2] for line in audited if line.startswith("Agent ID:")] == [
        "100", "101", "102",
    ]  # fmt: skip


# -- Events.


def test_the_stream_of_events_shows_what_happens_now(host: Host) -> None:
    descriptor = os.open(host.paths.fuse / "events", os.O_RDONLY)
    stream = Events(descriptor)
    try:
        stream.drain()
        host.act(Control.START, "manual")
        host.act(Control.STOP, "manual")
        seen = stream.until(lambda event: event["type"] == "stopped")
    finally:
        os.close(descriptor)
    assert [event["type"] for event in seen if event["agent_id"] == 102] == [
        "spawn", "started", "stop", "exit", "stopped",
    ]  # fmt: skip


class Events:
    """A reader of the stream that does not block for ever."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""

    def drain(self) -> list[dict[str, object]]:
        """Take what is there."""
        events: list[dict[str, object]] = []
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return events
            *lines, self._rest = (self._rest + data).split(b"\n")
            events += map(json.loads, lines)

    def until(self, holds: Callable[[dict[str, object]], bool]) -> list[dict[str, object]]:
        """Take events until one is the one that is waited for."""
        seen: list[dict[str, object]] = []
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        deadline = time.monotonic() + DEADLINE_S
        while not any(map(holds, seen)):
            assert time.monotonic() < deadline, seen
            poll.poll(100)
            seen += self.drain()
        return seen


def test_a_reader_parked_in_events_can_be_killed(host: Host) -> None:
    with subprocess.Popen(
        ["cat", host.paths.fuse / "events"], stdout=subprocess.DEVNULL
    ) as reader:  # fmt: skip
        part = Part(reader.pid)
        eventually(
            lambda: (
                "fuse" in Path(f"/proc/{reader.pid}/wchan").read_text() or is_asleep(reader.pid)
            ),
            "a parked reader",
        )
        part.send(signal.SIGKILL)
        part.wait_gone()
        assert reader.wait(DEADLINE_S) == -signal.SIGKILL


def is_asleep(pid: int) -> bool:
    """Whether the process waits."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "SD"


def test_the_stream_of_events_is_for_operators(host: Host) -> None:
    events = str(host.paths.fuse / "events")
    done = host.ctl("run", "--wait", "--user", "root", "--", "/bin/cat", events)
    assert done.returncode == 1
    assert done.stderr == f"/bin/cat: {events}: {os.strerror(errno.EACCES)}\n"
    # The public files are for agents too.
    status = str(host.paths.fuse / "status")
    done = host.ctl("run", "--wait", "--", "/bin/cat", status)
    assert "Agent 101: spawns=4 exits=4 faults=4" in done.stdout.splitlines()


# -- Without asmd.


def timed_read(host: Host, name: str) -> str:
    """Read, within the promised time."""
    began = time.monotonic()
    text = read(host, name)
    assert time.monotonic() - began < ANSWER_S, name
    return text


def is_stale(text: str) -> bool:
    """Whether the last line, or the JSON, says so."""
    if text.startswith("{"):
        answer = json.loads(text)
        return answer["stale"] is True and answer["age_ms"] > 0
    return STALE.match(text.splitlines()[-1]) is not None


def check_stale_tree(host: Host, fresh: dict[str, str]) -> None:
    """Every file answers in time with its last text and says that it is stale."""
    eventually(lambda: is_stale(timed_read(host, "status")), "the mark")
    for name in FILES:
        text = timed_read(host, name)
        assert is_stale(text), name
        if not text.startswith("{"):
            assert text.splitlines()[:-1] == fresh[name].splitlines(), name


@pytest.mark.timing
def test_with_asmd_stopped_the_tree_answers_in_time_and_says_that_it_is_stale(host: Host) -> None:
    asmd = host.part("asmd")
    asmd.send(signal.SIGSTOP)
    try:
        check_stale_tree(host, {name: read(host, name) for name in FILES})
    finally:
        asmd.send(signal.SIGCONT)
    host.wait_tree()


@pytest.mark.timing
def test_the_mount_survives_asmd_and_answers_without_it(host: Host) -> None:
    device = host.paths.fuse.stat().st_dev
    held = os.open(host.paths.fuse / "status", os.O_RDONLY)
    fresh = {name: read(host, name) for name in FILES}
    try:
        with host.asmd_kept_away():
            check_stale_tree(host, fresh)
        host.wait_tree()
        assert host.paths.fuse.stat().st_dev == device
        assert b"Total Spawns" in os.pread(held, 1 << 16, 0)
    finally:
        os.close(held)
    assert "Stale" not in read(host, "status")
    eventually(lambda: json.loads(read(host, "telemetry"))["stale"] is False, "fresh telemetry")
