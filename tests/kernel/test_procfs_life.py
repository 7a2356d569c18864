"""asm-procfs, its life: start, power, staleness, hostile readers, and every kind of end."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisord_asm.kernel import procfs_channel as frames
from tests.kernel.procfs_rig import (
    IS_SANITIZED,
    Server,
    served,
    wait_until,
)

# A daemon of its own process: says TICK every 0.1 s over the socket named by the first argument.
TICKING_DAEMON = """
import sys, time
from supervisord_asm.kernel.procfs_channel import ProcfsChannel
channel = ProcfsChannel(sys.argv[1])
channel.connect()
channel.put_text("status", "alive\\n")
channel.put_json("telemetry", "{\\"a\\": 1}")
while True:
    channel.tick()
    channel.flush()
    time.sleep(0.1)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with served() as server:
        yield server


def timed_read(server: Server, name: str = "status") -> str:
    """Read, and demand the answer within the promised half second."""
    start = time.monotonic()
    text = server.read(name)
    assert time.monotonic() - start < 0.5
    return text


def test_without_a_connection_the_last_snapshot_is_stale(server: Server) -> None:
    with server.connect() as peer:
        peer.text("status", "hello\n")
        peer.text("unended", "no newline")
        peer.send(frames.encode_put_json("telemetry", "{}"), frames.encode_tick())
        server.wait_for("telemetry", "false")
        assert server.read() == "hello\n"
    server.wait_for("status", "Stale")
    assert server.read().splitlines()[0] == "hello"
    assert server.read().startswith("hello\nStale: last update 0.")
    assert server.read().endswith(" s ago\n")
    assert server.read("unended").startswith("no newline\nStale: last update ")
    assert json.loads(server.read("telemetry"))["stale"] is True
    # A new daemon vouches for nothing that it has not put.
    with server.connect() as peer:
        peer.text("status", "again\n")
        server.wait_for("status", "again")
        assert server.read() == "again\n"
        assert "Stale" in server.read("unended")


def test_stale_comes_two_and_a_half_seconds_after_the_last_tick(server: Server) -> None:
    with server.connect() as peer:
        peer.text("status", "hello\n")
        peer.send(frames.encode_tick())
        server.wait_for("status", "hello")
        start = time.monotonic()
        time.sleep(2.0)
        assert server.read() == "hello\n"
        wait_until(lambda: "Stale" in server.read(), "stale")
        assert 2.2 < time.monotonic() - start < 3.0
        assert "last update 2.5 s ago" in server.read()
        # A body alone is no sign of life of the rest.
        peer.text("other", "x\n")
        server.wait_for("other", "x")
        assert "Stale" in server.read()
        peer.send(frames.encode_tick())
        wait_until(lambda: server.read() == "hello\n", "fresh again")


def test_a_stopped_and_a_killed_daemon_leave_readers_answered(server: Server) -> None:
    command = [sys.executable, "-c", TICKING_DAEMON, str(server.listen)]
    with subprocess.Popen(command) as daemon:
        server.wait_for("status", "alive")
        assert timed_read(server) == "alive\n"
        daemon.send_signal(signal.SIGSTOP)
        wait_until(lambda: "Stale" in timed_read(server), "stale while stopped")
        assert json.loads(timed_read(server, "telemetry"))["stale"] is True
        daemon.send_signal(signal.SIGCONT)
        wait_until(lambda: timed_read(server) == "alive\n", "fresh after SIGCONT")
        daemon.kill()
        wait_until(lambda: "Stale" in timed_read(server), "stale after kill -9")
    with subprocess.Popen(command) as daemon:
        wait_until(lambda: timed_read(server) == "alive\n", "the next daemon")
        daemon.kill()


def test_a_sync_drops_what_is_not_put_again(server: Server) -> None:
    with server.connect() as peer:
        peer.text("agents/1/status", "one\n")
        peer.text("agents/2/status", "two\n")
        server.wait_for("agents/2/status", "two")
        inode = (server.mount / "agents/2/status").stat().st_ino
    # A daemon that dies within its sync takes nothing away.
    with server.connect() as peer:
        peer.send(frames.encode_begin_sync())
        peer.text("agents/3/status", "three\n")
        server.wait_for("agents/3/status", "three")
    server.wait_for("agents/1/status", "Stale")
    with server.connect() as peer:
        peer.send(frames.encode_begin_sync())
        peer.text("agents/2/status", "two again\n")
        peer.send(frames.encode_end_sync(), frames.encode_tick())
        server.wait_gone("agents/1")
        assert os.listdir(server.mount / "agents") == ["2"]
        assert server.read("agents/2/status") == "two again\n"
        assert (server.mount / "agents/2/status").stat().st_ino == inode
        assert set(os.listdir(server.mount)) == {"agents", "events"}


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that whoever adopted it has not looked at yet."""
    try:
        return status_of(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return True


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.mark.parametrize("user", ["64123", "nobody"])
def test_it_serves_without_any_power(user: str) -> None:
    with served(user=user) as server:
        server.environment["ASAN_OPTIONS"] = "detect_leaks=0"
        server.stop()
        server.start()
        status = status_of(server.pid)
        uid = "64123" if user == "64123" else "65534"
        assert status["Uid"].split() == [uid] * 4
        assert status["Gid"].split() == [uid] * 4
        assert status["Groups"] == ""
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        assert server.read()


def test_an_absent_user_is_said_and_root_has_no_power_either() -> None:
    with served(user="no-such-user") as server:
        assert "no user no-such-user" in server.errors.read_text()
        status = status_of(server.pid)
        assert status["Uid"].split() == ["0"] * 4
        assert int(status["CapEff"], 16) == 0
        assert int(status["CapPrm"], 16) == 0


def test_the_unmounter_has_one_capability_and_no_fuse_connection(server: Server) -> None:
    unmounter = child_of(server.pid)
    status = status_of(unmounter)
    assert status["Name"] == "asm-procfs-umnt"
    assert int(status["CapEff"], 16) == 1 << 21
    targets = [os.readlink(path) for path in Path(f"/proc/{unmounter}/fd").iterdir()]
    assert "/dev/fuse" not in targets


def test_sigterm_unmounts_and_leaves_nothing(server: Server) -> None:
    unmounter = child_of(server.pid)
    held = (server.mount / "status").open()
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < (5.0 if IS_SANITIZED else 1.0)
    assert not server.mount.exists()
    assert not server.listen.exists()
    assert has_ended(unmounter)
    with pytest.raises(OSError) as caught:
        held.read()
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    held.close()


def test_a_directory_that_was_there_stays() -> None:
    with served() as server:
        server.stop()
        server.mount.mkdir()
        server.start()
        server.stop()
        assert server.mount.is_dir()


def mounts_at(path: Path) -> int:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return sum(line.split()[1] == str(path) for line in lines)


def test_after_kill_9_readers_get_enotconn_until_the_next_start(server: Server) -> None:
    unmounter = child_of(server.pid)
    server.send_signal(signal.SIGKILL)
    server.wait()
    with pytest.raises(OSError) as caught:
        server.read()
    assert caught.value.errno == errno.ENOTCONN
    wait_until(lambda: has_ended(unmounter), "the unmounter ends")
    server.start()
    assert mounts_at(server.mount) == 1
    assert "not initialized" in server.read()


def test_a_start_takes_over_from_a_hung_predecessor(server: Server) -> None:
    hung = server.process
    assert hung is not None
    hung.send_signal(signal.SIGSTOP)
    server.start()
    assert mounts_at(server.mount) == 1
    assert "not initialized" in server.read()
    # Its mount is gone: it ends by itself, and its unmounter harms nobody.
    hung.send_signal(signal.SIGCONT)
    assert hung.wait(5.0) == 1
    assert mounts_at(server.mount) == 1
    with server.connect() as peer:
        peer.text("status", "new\n")
        server.wait_for("status", "new")


def test_a_predecessor_told_to_end_does_not_unmount_its_successor(server: Server) -> None:
    old = server.process
    assert old is not None
    old.send_signal(signal.SIGSTOP)
    old.send_signal(signal.SIGTERM)
    server.start()
    old.send_signal(signal.SIGCONT)
    assert old.wait(10.0) == 1
    assert mounts_at(server.mount) == 1
    assert "not initialized" in server.read()


def test_a_foreign_unmount_ends_the_server(server: Server) -> None:
    subprocess.run(["umount", str(server.mount)], check=True)
    assert server.wait() == 1


def test_bad_command_lines_are_refused() -> None:
    with served() as server:
        assert server.process is not None
        program = str(server.process.args[0])  # type: ignore[index] # a list, by Server.start
        for options in (
            [],
            ["--mount", "/tmp/x"],
            ["--mount", "relative", "--listen", "/tmp/s"],
            ["--mount", "/tmp/x", "--listen", "/tmp/s", "--agents-cgroup", "/x/"],
            ["--no-such-option"],
        ):
            done = subprocess.run([program, *options], capture_output=True, check=False)
            assert done.returncode == 2, options
        helped = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
        assert helped.returncode == 0
        assert "--agents-cgroup" in helped.stdout


HOARDER = """
import os, sys, errno
held = []
try:
    while True:
        held.append(os.open(sys.argv[1], os.O_RDONLY))
except OSError as error:
    print(len(held), errno.errorcode[error.errno])
"""


def test_a_hoarder_of_open_files_harms_only_itself(server: Server) -> None:
    def raise_limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))

    done = subprocess.run(
        ["/usr/bin/python3", "-c", HOARDER, str(server.mount / "status")],
        capture_output=True, text=True, check=True, preexec_fn=raise_limit, user=64124, group=64124,
    )  # fmt: skip
    assert done.stdout == "1024 EMFILE\n"
    assert server.read()
    # All were given back at its end.
    again = subprocess.run(
        ["cat", str(server.mount / "status")],
        stdout=subprocess.DEVNULL, check=False, user=64124, group=64124,
    )  # fmt: skip
    assert again.returncode == 0


def resident_bytes(pid: int) -> int:
    return int(status_of(pid)["VmRSS"].split()[0]) * 1024


def wait_for_start(server: Server, start: str) -> None:
    wait_until(lambda: server.read().startswith(start), start)


def first_bytes(descriptor: int) -> str:
    """The start of what an open file holds, or "gone"."""
    try:
        return os.pread(descriptor, 7, 0).decode()
    except OSError as error:
        return "gone" if error.errno == errno.ESTALE else str(error)


def test_old_bodies_that_somebody_holds_are_bounded(server: Server) -> None:
    held = []
    with server.connect() as peer:
        for version in range(16):
            peer.text("status", f"{version:07d}\n" * (1 << 20))
            wait_for_start(server, f"{version:07d}")
            held.append(os.open(server.mount / "status", os.O_RDONLY))
        limit = (8 * 10 << 20) + (300 << 20 if IS_SANITIZED else 20 << 20)
        assert resident_bytes(server.pid) < limit
    results = [first_bytes(descriptor) for descriptor in held]
    for descriptor in held:
        os.close(descriptor)
    # 64 MiB are the eight youngest of the old ones; the newest is current.
    assert results == ["gone"] * 7 + [f"{version:07d}" for version in range(7, 16)]


@contextmanager
def without_memory(pid: int) -> Iterator[None]:
    """Take address space away from a running process; afterwards, give it back.

    A sanitized program cannot live with a limit: that one only has to bear the load.
    """
    if not IS_SANITIZED:
        resource.prlimit(pid, resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)


@contextmanager
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_often(path: Path, times: int) -> tuple[list[int], int]:
    """Return what could be opened, and how often there was no memory for it."""
    held = []
    failures = 0
    for _ in range(times):
        try:
            held.append(os.open(path, os.O_RDONLY))
        except OSError as error:
            failures += error.errno == errno.ENOMEM
    return held, failures


def refuses(server: Server, name: str, size: int) -> bool:
    """Whether a body of this size costs the connection."""
    with server.connect() as peer:
        try:
            peer.text(name, "x" * size)
        except (BrokenPipeError, ConnectionResetError):
            return True
        return peer.was_closed(0.1)


def test_without_any_memory_requests_fail_and_the_server_lives() -> None:
    # Root may limit root without more capabilities.
    with served(user="no-such-user") as server, many_descriptors():
        command = ["cat", str(server.mount / "events")]
        with subprocess.Popen(command) as parked, without_memory(server.pid):
            held, failures = open_often(server.mount / "status", 5000)
            assert IS_SANITIZED or failures > 100
            assert refuses(server, "big", 1 << 20) != IS_SANITIZED
            # Requests are still heard: a killed reader is let go, a closed file is closed.
            parked.kill()
            assert parked.wait(2.0) == -signal.SIGKILL
            assert all(os.pread(descriptor, 5, 0) == b"Agent" for descriptor in held[-50:])
            for descriptor in held:
                os.close(descriptor)
            again, _ = open_often(server.mount / "status", 5000)
            assert len(again) >= len(held)
            for descriptor in again:
                os.close(descriptor)
        with server.connect() as peer:
            peer.text("status", "again\n")
            server.wait_for("status", "again")


def test_want_of_memory_costs_the_connection_not_the_server(server: Server) -> None:
    server.stop()
    if IS_SANITIZED:
        server.environment["ASAN_OPTIONS"] = (
            "max_allocation_size_mb=4:allocator_may_return_null=1:detect_leaks=0"
        )
    else:
        server.wrapper = ["prlimit", "--as=33554432"]
    server.start()
    with server.connect() as peer:
        peer.text("status", "small\n")
        server.wait_for("status", "small")
    assert sum(refuses(server, f"big{number}", 8 << 20) for number in range(12)) > 3
    assert "Cannot allocate memory" in server.errors.read_text()
    assert server.read().startswith("small\n")
    with server.connect() as peer:
        peer.text("status", "still here\n")
        server.wait_for("status", "still here")
