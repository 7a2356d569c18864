"""Full disks: for the logs, agents go on and the loss is counted; for the state, starts wait."""

from collections.abc import Iterator

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.store.verify import verify
from tests.kernel.daemon_host import Host, eventually, hosted, sh

pytestmark = pytest.mark.host

AT_ONCE = {"kind": "on-failure", "max": 9, "backoff": "10ms"}
SLEEPS = sh("exec sleep 1000")
MUCH = "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 99"


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as host:
        yield host


def drops(host: Host) -> int:
    """How many lines of logs were lost, as everybody is shown."""
    return int(host.system()["drops"].get("log_lines", 0))


# -- The logs' disk.


def test_a_full_log_disk_stops_nobody_and_is_counted(host: Host) -> None:
    host.mount_tmpfs(host.paths.logs, "256k")
    host.write_agent("chatty", sh(f"{MUCH}; touch done; exec sleep 1000"), agent_id=100)
    host.write_agent("crasher", sh("echo bye; exit 1"), agent_id=101, restart=AT_ONCE)
    host.write_agent("absent", ["/no/such/program"], agent_id=102, start="manual")
    host.start()
    eventually((host.paths.agent_state("chatty") / "done").exists, "the chatty one gets on")
    eventually(lambda: drops(host) > 1000, "its loss is counted")
    assert host.wait_state("crasher", "failed")["spawn_count"] == 10
    host.wait_tree()
    assert "log_lines" in (host.paths.fuse / "status").read_text()
    assert host.wait_state("chatty", "active")["spawn_count"] == 1
    # asmd's own log lies there too: what it cannot write it does without.
    for _ in range(60):
        host.act(Control.START, "absent")
    eventually(lambda: host.system()["drops"].get("asmd_log_lines"), "they are counted")
    assert host.ctl("restart", "chatty").returncode == 0
    host.kill_asmd()
    assert host.info("chatty")["state"] == "active"


def test_a_log_goes_on_when_there_is_room_again(host: Host) -> None:
    host.mount_tmpfs(host.paths.logs, "256k")
    # It says so again and again: a disk that was full is left alone for a moment.
    script = f"{MUCH}; until [ -e go ]; do sleep 0.02; done; while :; do echo on; sleep 0.1; done"
    host.write_agent("chatty", sh(script), agent_id=100)
    host.start()
    eventually(lambda: drops(host) > 1000, "a full disk")
    host.resize_tmpfs(host.paths.logs, "8m")
    (host.paths.agent_state("chatty") / "go").touch()
    eventually(lambda: host.said("chatty")[-1:] == ["on"], "its last line")


# -- The journal's disk.


def fill_state(host: Host) -> None:
    """Leave not a byte to the journal, and wait until it has noticed."""
    ballast = host.paths.state / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(block)) == block:
                    pass
            except OSError:
                pass  # full, to within this block


def trouble(host: Host) -> str:
    """What is said of the journal; "" when all is well."""
    return " ".join(text for text in host.system()["degraded"] if "journal" in text)


@pytest.fixture
def full(host: Host) -> Host:
    """A daemon whose journal has no room, with one agent that runs."""
    host.mount_tmpfs(host.paths.state, "24m")
    host.write_agent("sleeper", SLEEPS, agent_id=100)
    host.write_agent("other", SLEEPS, agent_id=101, start="manual")
    host.write_agent("leaver", sh("until [ -e go ]; do sleep 0.02; done; exit 42"), agent_id=102)
    host.start()
    host.wait_state("sleeper", "active")
    host.wait_state("leaver", "active")
    fill_state(host)
    # The write-ahead log has room of its own until it must grow.
    with host.client() as client:

        def look() -> str:
            for _ in range(50):
                client.control(Control.RESET, agents=[], all=True)
            return trouble(host)

        eventually(look, "no room at all")
    return host


def make_room(host: Host) -> None:
    """Take the ballast away, and wait until the journal writes again."""
    (host.paths.state / "ballast").unlink()
    eventually(lambda: not trouble(host), "the journal goes on")


def check_journal(host: Host) -> None:
    """The chain holds, and what it says is what is shown."""
    report = verify(host.paths.journal)
    assert report.is_sound, report


def test_a_start_waits_for_the_journal_and_says_so(full: Host) -> None:
    host = full
    (result,) = host.act(Control.START, "other", wait=False)
    assert result["result"] == 0
    eventually(lambda: "full" in trouble(host), "the reason")
    assert "full" in host.ctl("status").stdout
    assert "full" in host.ctl("doctor").stdout
    view = host.info("other")
    assert view["state"] == "starting"
    # Nobody's program runs that is not on record.
    assert not any("sleep" in line for line in host.command_lines(101))
    make_room(host)
    assert host.wait_state("other", "active")["spawn_count"] == 1
    host.act(Control.STOP)
    check_journal(host)


def test_a_stop_does_not_wait_for_the_journal(full: Host) -> None:
    host = full
    host.act(Control.STOP, "sleeper")
    assert host.info("sleeper")["state"] == "stopped"
    make_room(host)
    host.act(Control.START, "other")  # a start is durable first, and so is all before it
    host.kill_asmd()
    view = host.info("sleeper")
    assert (view["state"], view["last_exit_cause"]) == ("stopped", "operator")
    check_journal(host)


def test_an_exit_that_could_not_be_recorded_survives_asmds_death(full: Host) -> None:
    host = full
    (host.paths.agent_state("leaver") / "go").touch()
    view = host.wait_view("leaver", lambda view: view["exit_count"] == 1, "its exit")
    assert view["last_exit_code"] == 42
    with host.asmd_kept_away():
        (host.paths.state / "ballast").unlink()
    view = host.wait_state("leaver", "failed")
    assert (view["last_exit_code"], view["exit_count"], view["crash_count"]) == (42, 1, 1)
    check_journal(host)


def test_a_start_that_is_stopped_before_there_is_room_never_runs(full: Host) -> None:
    host = full
    host.act(Control.START, "other", wait=False)
    eventually(lambda: "full" in trouble(host), "the reason")
    host.act(Control.STOP, "other", wait=False)
    make_room(host)
    view = host.wait_state("other", "stopped")
    assert view["pid"] is None
    assert view["spawn_count"] == view["exit_count"]
    assert host.command_lines(101) == []
    host.act(Control.STOP)
    check_journal(host)
