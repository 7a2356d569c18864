"""asm-procfs, `events`: a stream that blocks, and whose readers can always be killed and frozen."""

import errno
import grp
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisord_asm.kernel import procfs_channel as frames
from tests.kernel.procfs_rig import Peer, Server, cgroup, cgroup_path, served, wait_until

# A group that every Debian has and root is not in.
OPERATORS = "games"

# What the contract promises. Two cores under test load may now and then be late: the median counts.
INTERRUPT_S = 0.05
LATE_S = 1.0


@pytest.fixture
def server() -> Iterator[Server]:
    with served("--group", OPERATORS) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with server.connect() as peer:
        yield peer


@contextmanager
def opened(server: Server, flags: int = 0) -> Iterator[int]:
    descriptor = os.open(server.mount / "events", os.O_RDONLY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def line(number: int) -> str:
    return json.dumps({"type": "note", "text": f"number {number}"})


def settle(server: Server, peer: Peer) -> None:
    """Return when the server has read all that the peer has sent."""
    mark = f"mark {time.monotonic_ns()}"
    peer.text("mark", mark)
    server.wait_for("mark", mark)


def read_lines(descriptor: int, count: int) -> list[str]:
    data = b""
    while data.count(b"\n") < count:
        piece = os.read(descriptor, 1 << 16)
        assert piece, "the stream has ended"
        data += piece
    assert data.endswith(b"\n")
    return data.decode().splitlines()


def test_a_reader_gets_what_was_and_then_waits_for_more(server: Server, peer: Peer) -> None:
    peer.events(line(1), line(2))
    settle(server, peer)
    with opened(server) as descriptor:
        assert read_lines(descriptor, 2) == [line(1), line(2)]
        timer = threading.Timer(0.1, lambda: peer.events(line(3)))
        timer.start()
        start = time.monotonic()
        assert read_lines(descriptor, 1) == [line(3)]
        assert time.monotonic() - start > 0.08
        timer.join()


def test_without_blocking_the_end_is_eagain(server: Server, peer: Peer) -> None:
    peer.events(line(1))
    settle(server, peer)
    with opened(server, os.O_NONBLOCK) as descriptor:
        assert read_lines(descriptor, 1) == [line(1)]
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 100)
    with opened(server) as descriptor:
        assert read_lines(descriptor, 1) == [line(1)]
        os.set_blocking(descriptor, False)
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 100)


def test_poll_says_when_there_is_more(server: Server, peer: Peer) -> None:
    with opened(server, os.O_NONBLOCK) as descriptor, select.epoll() as poller:
        poller.register(descriptor, select.EPOLLIN)
        for number in range(5):
            assert poller.poll(0.02) == []
            assert select.select([descriptor], [], [], 0)[0] == []
            timer = threading.Timer(0.05, peer.events, [line(number)])
            timer.start()
            assert poller.poll(5.0) == [(descriptor, select.EPOLLIN)]
            timer.join()
            assert read_lines(descriptor, 1) == [line(number)]
    # A file that is always ready is so for poll as well.
    descriptor = os.open(server.mount / "status", os.O_RDONLY)
    assert select.select([descriptor], [], [], 0)[0] == [descriptor]
    os.close(descriptor)


def test_several_readers_each_get_every_line(server: Server, peer: Peer) -> None:
    expected = [line(number) for number in range(500)]
    results: list[list[str]] = []

    def read_all() -> None:
        with opened(server) as descriptor:
            results.append(read_lines(descriptor, 500))

    readers = [threading.Thread(target=read_all) for _ in range(8)]
    for reader in readers:
        reader.start()
    for number in range(0, 500, 5):
        peer.events(*expected[number : number + 5])
        time.sleep(0.0005)
    for reader in readers:
        reader.join(10.0)
    assert results == [expected] * 8


def test_a_slow_reader_is_told_how_many_lines_it_lost(server: Server, peer: Peer) -> None:
    with opened(server) as descriptor:
        peer.events(*map(line, range(10)))
        settle(server, peer)
        assert read_lines(descriptor, 10)[-1] == line(9)
        peer.events(*map(line, range(10, 2034)))
        settle(server, peer)
        lines = read_lines(descriptor, 1025)
        assert json.loads(lines[0]) == {"type": "lost", "count": 1000}
        assert lines[1:] == [line(number) for number in range(1010, 2034)]
    # Who comes later has lost nothing: it gets what the ring holds.
    with opened(server) as descriptor:
        assert read_lines(descriptor, 1024)[0] == line(1010)


def test_small_reads_cut_no_line_even_when_the_ring_overtakes(server: Server, peer: Peer) -> None:
    peer.events(line(0), line(1))
    settle(server, peer)
    with opened(server, os.O_NONBLOCK) as descriptor:
        data = os.read(descriptor, 7)
        peer.events(*map(line, range(2, 3000)))
        settle(server, peer)
        try:
            while True:
                data += os.read(descriptor, 7)
        except BlockingIOError:
            pass
    lines = data.decode().splitlines()
    assert lines[0] == line(0)
    assert json.loads(lines[1])["count"] == 3000 - 1024 - 1
    assert lines[2:] == [line(number) for number in range(3000 - 1024, 3000)]


def test_a_line_of_64_kib_comes_whole(server: Server, peer: Peer) -> None:
    long = json.dumps({"text": "x" * 65_000})
    peer.events(long, line(1))
    settle(server, peer)
    with opened(server) as descriptor:
        assert read_lines(descriptor, 2) == [long, line(1)]


def test_a_daemon_that_comes_back_may_send_its_history_again(server: Server, peer: Peer) -> None:
    peer.events(line(1), line(2))
    settle(server, peer)
    with server.connect() as again:
        again.send(frames.encode_begin_sync())
        again.events(line(1), line(2), line(3))
        again.send(frames.encode_end_sync())
        again.events(line(3))
        settle(server, again)
        with opened(server) as descriptor:
            # After the sync, two equal lines are two events.
            assert read_lines(descriptor, 4) == [line(1), line(2), line(3), line(3)]


def test_the_stream_has_no_position(server: Server, peer: Peer) -> None:
    peer.events(line(1))
    settle(server, peer)
    with opened(server) as descriptor:
        for call in (
            lambda: os.pread(descriptor, 10, 0),
            lambda: os.lseek(descriptor, 0, os.SEEK_SET),
        ):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == errno.ESPIPE
        assert os.read(descriptor, 0) == b""


READER = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.write(1, b"open\\n")
while True:
    os.write(1, os.read(descriptor, 65536))
"""


class Reader:
    """A process that copies `events` to its standard output."""

    def __init__(self, server: Server, enter: Path | None = None) -> None:
        command = [sys.executable, "-c", READER, str(server.mount / "events")]
        if enter is not None:
            script = f'echo $$ >{enter}/cgroup.procs && exec "$@"'
            command = ["sh", "-c", script, "sh", *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdout is not None
        self.output = self.process.stdout
        assert self.output.readline() == b"open\n"
        self.wait_parked()

    def wait_parked(self) -> None:
        """It sleeps in read(2) of our file."""
        wchan = Path(f"/proc/{self.process.pid}/syscall")
        wait_until(lambda: wchan.read_text().startswith("0 "), "a parked reader")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


@pytest.mark.timing
def test_a_parked_reader_can_be_killed(server: Server, peer: Peer) -> None:
    times = []
    for _ in range(5):
        reader = Reader(server)
        start = time.monotonic()
        reader.end()
        times.append(time.monotonic() - start)
    assert sorted(times)[2] < INTERRUPT_S, times
    assert max(times) < LATE_S, times
    peer.events(line(1))
    settle(server, peer)


def test_many_parked_readers_can_be_killed_at_once(server: Server, peer: Peer) -> None:
    readers = [Reader(server) for _ in range(10)]
    start = time.monotonic()
    for reader in readers:
        reader.process.kill()
    for reader in readers:
        reader.process.wait()
        reader.output.close()
    assert time.monotonic() - start < 1.0


def test_a_signal_ends_a_parked_read_with_eintr(server: Server) -> None:
    """Python would try again, so the handler raises, as a Ctrl-C does."""

    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with opened(server) as descriptor:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            start = time.monotonic()
            with pytest.raises(Interrupted):
                os.read(descriptor, 100)
            assert time.monotonic() - start < 0.05 + LATE_S
    finally:
        signal.signal(signal.SIGALRM, before)


def frozen(folder: Path) -> bool:
    return "frozen 1" in (folder / "cgroup.events").read_text()


def test_a_parked_reader_can_be_frozen_and_thawed(server: Server, peer: Peer) -> None:
    with cgroup("operator") as folder:
        reader = Reader(server, enter=folder)
        for number in range(3):
            start = time.monotonic()
            (folder / "cgroup.freeze").write_text("1")
            wait_until(lambda: frozen(folder), "a frozen reader", 1.0)
            assert time.monotonic() - start < 1.0
            peer.events(line(number))
            (folder / "cgroup.freeze").write_text("0")
            assert reader.output.readline().decode() == line(number) + "\n"
            reader.wait_parked()
        (folder / "cgroup.freeze").write_text("1")
        wait_until(lambda: frozen(folder), "a frozen reader", 1.0)
        reader.end()


def test_a_frozen_reader_of_a_file_harms_nobody(server: Server, peer: Peer) -> None:
    script = "import sys, time; f = open(sys.argv[1]); print(1, flush=True); time.sleep(9)"
    with cgroup("agent") as folder:
        enter = f'echo $$ >{folder}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", enter, "sh", sys.executable, "-c", script]
        with subprocess.Popen(
            [*command, str(server.mount / "status")], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
            (folder / "cgroup.freeze").write_text("1")
            wait_until(lambda: frozen(folder), "a frozen reader", 1.0)
            peer.text("status", "new\n")
            server.wait_for("status", "new")
            process.kill()


def test_two_processes_may_share_one_descriptor_and_each_be_killed(server: Server) -> None:
    """Without FOPEN_STREAM the second would sleep on the position lock, beyond SIGKILL's reach."""
    with opened(server) as descriptor:
        script = f"import os; print(1, flush=True); os.read({descriptor}, 10)"
        command = [sys.executable, "-c", script]
        first, second = (
            subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.PIPE)
            for _ in range(2)
        )
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
        time.sleep(0.1)
        for process in (second, first):
            process.kill()
            assert process.wait(LATE_S) == -signal.SIGKILL
            assert process.stdout is not None
            process.stdout.close()


def test_sigterm_ends_every_stream(server: Server) -> None:
    ends: list[bytes] = []

    def read_to_the_end() -> None:
        with opened(server) as descriptor:
            ends.append(os.read(descriptor, 100))

    readers = [threading.Thread(target=read_to_the_end) for _ in range(3)]
    for reader in readers:
        reader.start()
    time.sleep(0.1)
    server.stop()
    for reader in readers:
        reader.join(5.0)
    assert ends == [b""] * 3


# Arguments: the file, a cgroup folder or "", uid, gid, and the supplementary groups.
OPENER = """
import os, sys
path, folder, uid, gid, *groups = sys.argv[1:]
if folder:
    with open(folder + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))
os.setgroups([int(group) for group in groups])
os.setgid(int(gid))
os.setuid(int(uid))
try:
    os.close(os.open(path, os.O_RDONLY))
    print("yes")
except OSError as error:
    print(type(error).__name__)
"""


def may_open(
    server: Server,
    *,
    user: int = 0,
    group: int = 0,
    extra: tuple[int, ...] = (),
    enter: Path | str = "",
) -> str:
    who = [str(enter), str(user), str(group), *map(str, extra)]
    command = [sys.executable, "-c", OPENER, str(server.mount / "events"), *who]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_operators_may_listen(server: Server) -> None:
    operators = grp.getgrnam(OPERATORS).gr_gid
    assert may_open(server) == "yes"
    assert may_open(server, user=64125, group=64125) == "PermissionError"
    assert may_open(server, user=64125, group=64125, extra=(64126,)) == "PermissionError"
    assert may_open(server, user=64125, group=operators) == "yes"
    assert may_open(server, user=64125, group=64125, extra=(64126, operators)) == "yes"
    # Whoever may not listen may look.
    assert (server.mount / "events").stat().st_mode & 0o777 == 0o444


def test_inside_an_agents_cgroup_nobody_is_an_operator() -> None:
    operators = grp.getgrnam(OPERATORS).gr_gid
    with (
        cgroup("agents/7/own") as agent,
        cgroup("agents-old/7") as other,
        served("--group", OPERATORS, "--agents-cgroup", cgroup_path(agent.parents[1])) as server,
    ):
        assert may_open(server, enter=agent) == "PermissionError"
        assert may_open(server, enter=agent.parents[1]) == "PermissionError"
        assert may_open(server, user=64125, group=operators, enter=agent) == "PermissionError"
        assert may_open(server, enter=other) == "yes"
        assert may_open(server) == "yes"


def test_a_group_that_does_not_exist_is_nobody() -> None:
    with served("--group", "no-such-group") as server:
        assert "no group no-such-group" in server.errors.read_text()
        assert may_open(server) == "yes"
        assert may_open(server, user=64125, group=64125, extra=(0,)) == "PermissionError"


def test_open_streams_are_bounded(server: Server) -> None:
    held = [os.open(server.mount / "events", os.O_RDONLY) for _ in range(256)]
    with pytest.raises(OSError) as caught:
        os.open(server.mount / "events", os.O_RDONLY)
    assert caught.value.errno == errno.ENFILE
    for descriptor in held:
        os.close(descriptor)
    # A close is told to the server behind the caller's back.
    wait_until(lambda: may_open(server) == "yes", "a free place")
