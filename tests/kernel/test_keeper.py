"""asm-keeper, the real one: births, exits, and what becomes of them while asmd is away.

The test is asmd (keeper_rig.py). Who may be asmd, and what it may send: test_keeper_peer.py; how
asm-keeper keeps asmd itself: test_keeper_daemon.py; what a child is given: test_exec.py.
"""

import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.clock import boottime_us
from supervisord_asm.kernel.exec_spec import Rlimit
from supervisord_asm.kernel.keeper_channel import VERSION, KeeperMessage, Kind
from tests.kernel.keeper_rig import (
    AGENT,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    EXEC,
    KEEPER,
    RLIM_INFINITY,
    Asmd,
    Rig,
    read_some,
    read_to_end,
    record,
    shell,
    spec_of,
    wait_for,
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as keeper:
        yield keeper


@pytest.fixture
def asmd(rig: Rig) -> Asmd:
    return rig.connect()


def state_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except (FileNotFoundError, ProcessLookupError):
        return None


# -- Births.


def test_a_new_keeper_greets_with_its_version_and_no_children(asmd: Asmd) -> None:
    assert (asmd.version, asmd.children) == (VERSION, [])


def test_a_child_is_born_inside_its_cgroup_and_told_with_its_pidfd(rig: Rig, asmd: Asmd) -> None:
    run = asmd.spawn(spec_of("/bin/cat", "/proc/self/cgroup"))
    spawned = asmd.take(Kind.SPAWNED, AGENT, 1)
    pidfd_is_of = Path(f"/proc/self/fdinfo/{spawned.fds[0]}").read_text()
    assert asmd.end(run).wait_code == CLD_EXITED
    cgroup = f"{rig.agents.path.parent.name}/agents/{AGENT}"
    assert f"0::/{cgroup}\n" in run.output()[0].decode()
    assert f"Pid:\t{spawned.pid}\n" in pidfd_is_of or "Pid:\t-1\n" in pidfd_is_of


def test_news_of_a_run_come_in_the_order_of_its_life(asmd: Asmd) -> None:
    for number in range(1, 101):
        # A program that ends at once, and one that never begins: both ways lie close together.
        spec = spec_of("/bin/true") if number % 2 else spec_of("/nowhere")
        run = asmd.spawn(spec, run=number)
        exited = asmd.end(run)
        assert asmd.news() == [Kind.SPAWNED, Kind.EXECED]
        asmd.take(Kind.SPAWNED, AGENT, number)
        execed = asmd.take(Kind.EXECED, AGENT, number)
        assert (execed.result < 0) is (exited.wait_status == 127)
        asmd.acknowledge(run)


def test_a_second_birth_of_the_same_run_is_refused(asmd: Asmd) -> None:
    asmd.start(spec_of("/bin/sleep", "1000"), run=1)
    asmd.spawn(spec_of("/bin/sleep", "1000"), run=1)
    refused = asmd.take(Kind.SPAWNED, AGENT, 1)
    assert (refused.result, refused.pid, refused.fds) == (-17, 0, ())
    asmd.sync()
    assert [child.run for child in asmd.children] == [1]


def test_an_order_without_its_descriptors_is_refused_and_harms_nothing(asmd: Asmd) -> None:
    asmd.channel.send(KeeperMessage(Kind.SPAWN, agent_id=7, run=3))
    assert asmd.take(Kind.SPAWNED, 7, 3).result == -9
    asmd.start(spec_of("/bin/sleep", "1000"))


def test_a_birth_into_a_removed_cgroup_is_refused(rig: Rig, asmd: Asmd) -> None:
    cgroup = rig.cgroup_of(AGENT)
    cgroup.remove_tree()
    read_end, write_end = os.pipe()
    spec_fd = os.memfd_create("empty")
    asmd.channel.send(
        KeeperMessage(
            Kind.SPAWN, agent_id=AGENT, run=1,
            fds=(spec_fd, cgroup.fd, write_end, write_end, read_end, read_end),
        )
    )  # fmt: skip
    refused = asmd.take(Kind.SPAWNED, AGENT, 1)
    assert refused.result < 0
    assert asmd.news() == []
    for fd in (read_end, write_end, spec_fd):
        os.close(fd)
    cgroup.close()


def test_refusals_reach_an_asmd_that_does_not_listen_yet_and_take_no_place(asmd: Asmd) -> None:
    # Together more than the keeper's table holds, each time more than its socket does.
    for _ in range(2):
        for number in range(1, 3001):
            asmd.channel.send(KeeperMessage(Kind.SPAWN, agent_id=9, run=number))
        for number in range(1, 3001):
            assert asmd.take(Kind.SPAWNED, 9, number).result == -9


def test_a_birth_into_a_frozen_cgroup_is_refused_and_does_not_hold_the_keeper(
    rig: Rig, asmd: Asmd
) -> None:
    cgroup = rig.cgroup_of(AGENT)
    cgroup.write("cgroup.freeze", "1")
    wait_for(lambda: "frozen 1" in (cgroup.read("cgroup.events") or ""), "it is frozen")
    frozen = asmd.spawn(spec_of("/bin/true"))
    assert asmd.take(Kind.SPAWNED, AGENT, frozen.run).result == -16
    asmd.start(spec_of("/bin/sleep", "1000"), agent_id=AGENT + 1)
    cgroup.write("cgroup.freeze", "0")
    cgroup.close()
    asmd.start(spec_of("/bin/sleep", "1000"))


# -- Exits.


def test_an_exit_code_is_told_with_its_time(asmd: Asmd) -> None:
    before = boottime_us()
    run = asmd.spawn(shell("exit 42"))
    exited = asmd.end(run)
    assert (exited.wait_code, exited.wait_status) == (CLD_EXITED, 42)
    assert before <= exited.timestamp_us <= boottime_us()


def test_a_signal_and_a_core_dump_are_told_apart(asmd: Asmd, tmp_path: Path) -> None:
    killed = asmd.spawn(shell("kill -TERM $$; sleep 1000"))
    exited = asmd.end(killed)
    assert (exited.wait_code, exited.wait_status) == (CLD_KILLED, signal.SIGTERM)
    unlimited = Rlimit(resource.RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)
    spec = shell("kill -ABRT $$", rlimits=(unlimited,), working_directory=str(tmp_path))
    exited = asmd.end(asmd.spawn(spec, run=2))
    assert (exited.wait_code, exited.wait_status) == (CLD_DUMPED, signal.SIGABRT)


def test_exits_without_an_asmd_are_kept_until_acknowledged(rig: Rig) -> None:
    first = rig.connect()
    run, pid = first.start(shell("sleep 0.3; exit 42"), agent_id=5, run=9)
    before = boottime_us()
    first.close()
    os.kill(pid, 0)  # it lives
    wait_for(lambda: state_of(pid) is None, "the child has been reaped without an asmd")
    after = boottime_us()
    for _ in range(2):  # not acknowledged the first time
        second = rig.connect()
        (child,) = second.children
        assert (child.agent_id, child.run, child.pid) == (5, 9, pid)
        assert (child.wait_code, child.wait_status) == (CLD_EXITED, 42)
        assert before < child.timestamp_us <= after
        assert child.is_exec_done
        second.close()
    third = rig.connect()
    third.acknowledge(run)
    third.sync()
    assert third.children == []


def test_a_living_child_is_handed_to_the_next_asmd_with_its_pipes(rig: Rig) -> None:
    first = rig.connect()
    _, pid = first.start(shell("while :; do sleep 0.05; echo on; done"))
    first.close()
    second = rig.connect()
    (child,) = second.children
    assert (child.pid, child.wait_code, child.is_exec_done) == (pid, 0, True)
    pidfd, stdout, _ = child.fds
    assert b"on\n" in read_some(stdout)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    exited = second.take(Kind.EXITED, AGENT, 1)
    assert (exited.wait_code, exited.wait_status) == (CLD_KILLED, signal.SIGKILL)


def test_a_child_that_lives_is_not_forgotten_by_an_acknowledgement(asmd: Asmd) -> None:
    run, _ = asmd.start(spec_of("/bin/sleep", "1000"))
    asmd.acknowledge(run)
    asmd.sync()
    assert [child.run for child in asmd.children] == [1]


def test_five_hundred_children_in_one_burst_are_all_told_and_forgotten(
    rig: Rig, asmd: Asmd
) -> None:
    runs = [asmd.spawn(spec_of("/bin/true"), agent_id=1000 + n) for n in range(500)]
    for run in runs:
        exited = asmd.end(run)
        assert (exited.wait_code, exited.wait_status) == (CLD_EXITED, 0)
        asmd.acknowledge(run)
    asmd.sync()
    assert asmd.children == []
    assert rig.children() == []


def test_a_greeting_of_many_children_comes_whole_to_a_slow_asmd(rig: Rig) -> None:
    first = rig.connect()
    for number in range(300):
        first.start(spec_of("/bin/sleep", "1000"), agent_id=1000 + number)
    first.close()
    slow = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with slow:
        slow.connect(str(rig.socket))
        slow.send(record())
        # Meanwhile the keeper reaps: it does not wait for who does not read.
        (pid, _), *_ = rig.children()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: state_of(pid) is None, "reaped while the greeting is not read")
        time.sleep(0.05)
    second = rig.connect()
    assert len(second.children) == 300
    assert len([child for child in second.children if child.wait_code]) == 1


# -- Orphans and descriptors.


def test_a_double_forked_orphan_is_reaped_by_the_keeper(rig: Rig, asmd: Asmd) -> None:
    run, _ = asmd.start(shell("setsid sh -c '(sleep 0.2; echo orphan) & echo $!'"))
    exited = asmd.end(run)
    assert exited.wait_code == CLD_EXITED
    output = run.output()[0].decode().split()
    orphan = int(output[0])
    assert output[1:] == ["orphan"]  # it lived on after its parents
    wait_for(lambda: state_of(orphan) is None, "the orphan has been reaped")
    assert rig.children() == []


def test_a_storm_of_orphans_leaves_no_zombie(rig: Rig, asmd: Asmd) -> None:
    script = "for i in $(seq 1000); do (sleep 0.3 &) ; done; exit 3"
    run, _ = asmd.start(shell(script))
    assert asmd.end(run).wait_status == 3
    wait_for(lambda: rig.children() == [], "all orphans have been reaped", 30.0)


def test_zombies_that_came_while_the_keeper_was_held_all_go(
    rig: Rig, asmd: Asmd, tmp_path: Path
) -> None:
    # More than one sweep takes; and nothing else ends afterwards that would call for another.
    os.mkfifo(tmp_path / "hold")
    script = "for i in $(seq 1300); do (read x <hold &); done; exec sleep 1000"
    _, pid = asmd.start(shell(script, working_directory=str(tmp_path)))
    wait_for(lambda: len(rig.children()) == 1301, "all orphans are the keeper's", 30.0)
    os.kill(rig.pid, signal.SIGSTOP)
    for orphan, _ in rig.children():
        if orphan != pid:
            os.kill(orphan, signal.SIGKILL)
    wait_for(lambda: [s for _, s in rig.children()].count("Z") == 1300, "all are zombies")
    os.kill(rig.pid, signal.SIGCONT)
    wait_for(lambda: [child for child, _ in rig.children()] == [pid], "all have been reaped")


def test_two_thousand_births_leave_no_descriptor_behind(rig: Rig, asmd: Asmd) -> None:
    run, _ = asmd.start(spec_of("/bin/true"))
    asmd.end(run)
    asmd.acknowledge(run)
    asmd.sync()
    before = rig.descriptors()
    for _ in range(20):
        specs = [spec_of("/bin/true") if n % 3 else spec_of("/nowhere") for n in range(100)]
        for run in [asmd.spawn(spec) for spec in specs]:
            asmd.end(run)
            asmd.acknowledge(run)
    asmd.sync()
    assert asmd.children == []
    assert rig.descriptors() == before


# -- Output while nobody reads it.


def test_output_without_an_asmd_is_dropped_and_counted_and_blocks_nobody(rig: Rig) -> None:
    first = rig.connect()
    megabytes = 4
    script = f"sleep 0.2; head -c {megabytes}000000 /dev/zero; head -c 1000 /dev/zero >&2; exit 7"
    _, pid = first.start(shell(script))
    first.close()
    wait_for(lambda: state_of(pid) is None, "the writer came to its end")
    second = rig.connect()
    (child,) = second.children
    assert child.wait_status == 7
    rest = sum(len(read_to_end(fd)) for fd in child.fds[1:])
    assert child.dropped_bytes + rest == megabytes * 1_000_000 + 1000
    assert child.dropped_bytes > 0


def test_a_writer_that_falls_silent_does_not_hold_the_keeper(rig: Rig) -> None:
    first = rig.connect()
    first.start(shell("sleep 0.1; echo once; exec sleep 1000"))
    first.close()
    time.sleep(0.2)  # it has been read, and a second read would find nothing
    second = rig.connect()
    assert [child.dropped_bytes for child in second.children] == [5]


def test_output_is_left_to_an_asmd_that_is_there(asmd: Asmd) -> None:
    run = asmd.spawn(shell("echo out; echo error >&2"))
    assert asmd.end(run).dropped_bytes == 0
    assert run.output() == (b"out\n", b"error\n")


def test_a_closed_stream_does_not_take_the_other_along(rig: Rig) -> None:
    first = rig.connect()
    script = "exec >&-; while :; do sleep 0.05; echo on >&2; done"
    first.start(shell(script))
    first.close()
    time.sleep(0.2)  # the keeper meets the end of stdout
    second = rig.connect()
    (child,) = second.children
    assert read_to_end(child.fds[1]) == b""
    assert b"on\n" in read_some(child.fds[2])


def test_an_idle_keeper_uses_no_processor(rig: Rig) -> None:
    first = rig.connect()
    first.start(shell("exec >&- 2>&-; exec sleep 1000"))
    first.close()

    def ticks() -> int:
        fields = Path(f"/proc/{rig.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(0.5)
    assert ticks() - before <= 5


# -- The keeper's own end.


def test_a_killed_keeper_takes_its_children_along(rig: Rig, asmd: Asmd) -> None:
    pids = [asmd.start(spec_of("/bin/sleep", "1000"), agent_id=n)[1] for n in range(1, 6)]
    pidfds = [os.pidfd_open(pid) for pid in pids]
    other = asmd.start(spec_of("/bin/sleep", "1000", uid=65534, gid=65534), agent_id=6)[1]
    pidfds.append(os.pidfd_open(other))
    rig.process.kill()
    rig.process.wait()
    for pidfd in pidfds:
        readable, _, _ = select.select([pidfd], [], [], 5.0)
        assert readable, "a child outlived the keeper"
        os.close(pidfd)


def test_quit_leaves_when_the_last_child_has_ended_and_asmd_is_gone(rig: Rig, asmd: Asmd) -> None:
    _, pid = asmd.start(spec_of("/bin/sleep", "1000"))
    asmd.channel.send(KeeperMessage(Kind.QUIT))
    asmd.close()
    time.sleep(0.2)
    assert rig.process.poll() is None
    os.kill(pid, signal.SIGKILL)
    assert rig.process.wait(5) == 0


def test_quit_is_revoked_by_the_next_asmd(rig: Rig) -> None:
    first = rig.connect()
    first.start(spec_of("/bin/sleep", "1000"))
    first.channel.send(KeeperMessage(Kind.QUIT))
    first.close()
    second = rig.connect()
    second.sync()
    rig.kill_agents()
    second.close()
    time.sleep(0.2)
    assert rig.process.poll() is None


def test_a_second_keeper_does_not_take_the_socket_of_a_living_one(rig: Rig) -> None:
    done = subprocess.run(
        [str(KEEPER), "--listen", str(rig.socket), "--exec", str(EXEC)],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    rig.connect()


def test_the_socket_of_a_dead_keeper_is_replaced(tmp_path: Path) -> None:
    with Rig(tmp_path) as first:
        pass
    assert first.socket.exists()
    with Rig(tmp_path) as second:
        second.connect()
