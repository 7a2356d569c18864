"""How asm-keeper keeps asmd where no systemd does: started, started again, left alone when it asks.

asmd is a shell script here that writes down its pid; what it is does not matter to the keeper.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.kernel.keeper_channel import KeeperMessage, Kind
from tests.kernel.keeper_rig import EXEC, KEEPER, TIMEOUT_S, Rig, shell, spec_of, wait_for

STAYS = "exec sleep 1000"


class Kept:
    """A keeper with an asmd, and the book in which every asmd signs."""

    def __init__(self, folder: Path, does: str = STAYS, *arguments: str) -> None:
        self.book = folder / "book"
        self.book.touch()
        script = f"echo $$ >>{self.book}; {does}"
        self.rig = Rig(folder, *arguments, "--asmd", "/bin/sh", "-c", script)

    def pids(self) -> list[int]:
        """Return the pids of all that were started, the oldest first."""
        return [int(line) for line in self.book.read_text().split()]

    def wait_for_start(self, number: int) -> int:
        """Wait until that many were started; return the last one's pid."""
        wait_for(lambda: len(self.pids()) >= number, f"start {number} of asmd")
        assert len(self.pids()) == number
        return self.pids()[-1]

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *raised: object) -> None:
        self.rig.close()
        for pid in self.pids()[-1:]:
            # Its parent is gone; it is ours by the book, and by its command line.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00":
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with Kept(tmp_path) as started:
        yield started


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not the keeper's child."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process
        process.kill()


@pytest.mark.timing
def test_a_killed_asmd_is_started_again_at_once_and_then_ever_later(kept: Kept) -> None:
    waits = []
    for number in range(1, 4):
        pid = kept.wait_for_start(number)
        killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        kept.wait_for_start(number + 1)
        waits.append(time.monotonic() - killed_s)
    assert waits[0] < 0.15
    assert 0.2 <= waits[1] < 0.4
    assert 0.4 <= waits[2] < 0.6


def test_an_asmd_that_exits_by_an_error_is_started_again(tmp_path: Path) -> None:
    with Kept(tmp_path, "exit 1") as kept:
        wait_for(lambda: len(kept.pids()) >= 3, "two more starts")
        assert "asmd ended by exit status 1, restarting it" in kept.rig.log.read_text()


@pytest.mark.parametrize("status", [0, 78])
def test_an_asmd_that_leaves_is_not_started_again_and_the_keeper_leaves_too(
    tmp_path: Path, status: int
) -> None:
    with Kept(tmp_path, f"sleep 0.3; exit {status}") as kept:
        assert kept.rig.process.wait(TIMEOUT_S) == 0
        assert len(kept.pids()) == 1


def test_the_keeper_stays_with_its_children_when_asmd_has_left(tmp_path: Path) -> None:
    with Kept(tmp_path, f"while [ ! -e {tmp_path}/leave ]; do sleep 0.01; done; exit 0") as kept:
        asmd = kept.rig.connect()
        _, pid = asmd.start(spec_of("/bin/sleep", "1000"))
        asmd.close()
        (tmp_path / "leave").touch()
        wait_for(lambda: "not restarting it" in kept.rig.log.read_text(), "asmd has left")
        second = kept.rig.connect()
        assert [child.pid for child in second.children] == [pid]
        kept.rig.kill_agents()
        second.close()
        assert kept.rig.process.wait(TIMEOUT_S) == 0


def test_after_quit_a_killed_asmd_is_not_started_again(kept: Kept) -> None:
    asmd = kept.rig.connect()
    asmd.channel.send(KeeperMessage(Kind.QUIT))
    asmd.close()
    os.kill(kept.wait_for_start(1), signal.SIGKILL)
    assert kept.rig.process.wait(TIMEOUT_S) == 0
    assert len(kept.pids()) == 1


def test_an_asmd_that_has_left_comes_back_on_request(tmp_path: Path) -> None:
    with Kept(tmp_path, f"[ -e {tmp_path}/again ] && {STAYS}; sleep 0.2; exit 0") as kept:
        asmd = kept.rig.connect()
        _, pid = asmd.start(spec_of("/bin/sleep", "1000"))
        asmd.close()
        wait_for(lambda: "not restarting it" in kept.rig.log.read_text(), "asmd has left")
        (tmp_path / "again").touch()
        kept.rig.process.send_signal(signal.SIGUSR1)
        kept.wait_for_start(2)
        assert [child.pid for child in kept.rig.connect().children] == [pid]


def test_an_asmd_that_is_leaving_comes_back_on_request(tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/again ] && {STAYS}; touch {tmp_path}/again; sleep 0.5; exit 0"
    with Kept(tmp_path, script) as kept:
        kept.wait_for_start(1)
        asmd = kept.rig.connect()
        asmd.channel.send(KeeperMessage(Kind.QUIT))
        asmd.close()
        kept.rig.process.send_signal(signal.SIGUSR1)
        kept.wait_for_start(2)
        time.sleep(0.1)
        assert kept.rig.process.poll() is None


def test_a_keeper_without_an_asmd_of_its_own_passes_over_such_a_request(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.process.send_signal(signal.SIGUSR1)
        rig.connect().sync()


def test_children_live_on_while_asmd_is_started_again(kept: Kept) -> None:
    asmd = kept.rig.connect()
    _, pid = asmd.start(spec_of("/bin/sleep", "1000"))
    asmd.close()
    os.kill(kept.wait_for_start(1), signal.SIGKILL)
    kept.wait_for_start(2)
    assert [child.pid for child in kept.rig.connect().children] == [pid]


def test_an_asmd_that_dies_among_orphans_is_never_taken_for_one(tmp_path: Path) -> None:
    # Each of these ends by itself within a few milliseconds while zombies come by the hundred.
    with Kept(tmp_path, "sleep 0.02; kill -KILL $$") as kept:
        asmd = kept.rig.connect()
        storm = "while :; do for i in 1 2 3 4 5 6 7 8; do (sleep 0.005 &); done; sleep 0.01; done"
        asmd.start(shell(storm))
        wait_for(lambda: len(kept.pids()) >= 6, "asmd is started again and again", 30.0)


def test_asmd_starts_clean(tmp_path: Path) -> None:
    report = tmp_path / "report"
    script = f"cat /proc/self/status >{report}; ls -l /proc/self/fd >>{report}; touch {report}.done"
    with Kept(tmp_path, f"{script}; {STAYS}"):
        wait_for((tmp_path / "report.done").exists, "asmd has reported")
    text = report.read_text()
    assert "SigBlk:\t0000000000000000" in text
    listing = [line for line in text.splitlines() if " -> " in line]
    names = {line.split()[-3]: line.split()[-1] for line in listing}
    assert set(names) <= {"0", "1", "2", "3"}  # 3 is what ls opened
    assert names["0"] == "/dev/null"


def test_a_foreign_asmd_is_followed_and_replaced_when_it_ends(
    tmp_path: Path, foreign: subprocess.Popen[bytes]
) -> None:
    with Kept(tmp_path, STAYS, "--asmd-pid", str(foreign.pid)) as kept:
        time.sleep(0.2)
        assert kept.pids() == []
        foreign.kill()
        os.kill(kept.wait_for_start(1), signal.SIGKILL)
        kept.wait_for_start(2)  # and from here on it is the keeper's own


def test_a_foreign_asmd_that_has_gone_already_is_replaced_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    with Kept(tmp_path, STAYS, "--asmd-pid", str(gone.pid)) as kept:
        kept.wait_for_start(1)


def test_a_terminated_keeper_leaves_in_order(kept: Kept) -> None:
    asmd = kept.rig.connect()
    _, pid = asmd.start(spec_of("/bin/sleep", "1000"))
    pidfd = os.pidfd_open(pid)
    kept.rig.process.terminate()
    assert kept.rig.process.wait(TIMEOUT_S) == 0
    assert select.select([pidfd], [], [], TIMEOUT_S)[0], "the child outlived the keeper"
    os.close(pidfd)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "--exec is missing"),
        (["--exec"], 2, "unknown argument '--exec'"),
        (["--exec", "/nowhere", "--listen", "keeper.sock"], 1, "unable to open asm-exec"),
        (["--exec", str(EXEC), "--listen", "/nowhere/keeper.sock"], 1, "unable to listen"),
        (["--exec", str(EXEC), "--listen", "x" * 108], 1, "File name too long"),
        (["--exec", str(EXEC), "--asmd-pid", "1"], 2, "--asmd-pid needs --asmd"),
    ],
)
def test_a_wrong_command_line_is_refused_with_words(
    tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    done = subprocess.run(
        [str(KEEPER), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == status
    assert says in done.stderr
    assert done.stdout == ""


def test_the_listening_socket_may_be_handed_over_as_descriptor_3(tmp_path: Path) -> None:
    # As systemd does it (sd_listen_fds(3)).
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"s.bind({str(tmp_path / 'keeper.sock')!r})\n"
        "s.listen(4)\n"
        "os.dup2(s.fileno(), 3)\n"
        "os.set_inheritable(3, True)\n"
        f"os.execv({str(KEEPER)!r}, ['asm-keeper', '--exec', {str(EXEC)!r}])\n"
    )
    with Rig(tmp_path, command=(sys.executable, "-I", "-c", code)) as rig:
        asmd = rig.connect()
        run = asmd.spawn(spec_of("/bin/true"))
        assert asmd.end(run).wait_status == 0
