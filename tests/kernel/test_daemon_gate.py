"""Durable first, in the whole daemon: no program of an agent runs before its start is recorded.

The disk is made slow as any reader's neighbour could: the test takes SQLite's write lock on the
journal, so the daemon's commit waits while the birth goes on.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.client import Unreachable
from supervisord_asm.api.numbers import Control
from supervisord_asm.kernel.cgroupfs import Cgroup
from tests.kernel.daemon_host import Host, eventually, hosted, sh


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as made:
        sign = made.folder / "begun"
        script = f"echo begun >> {sign}; exec sleep 1000"
        made.write_agent("worker", sh(script), agent_id=7, start="manual", user="root")
        made.start()
        yield made


@contextlib.contextmanager
def held_journal(host: Host) -> Iterator[None]:
    """Keep the daemon's commits waiting for as long as the block lasts."""
    connection = sqlite3.connect(host.paths.journal, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def order_start(host: Host) -> None:
    """Order the start; nobody answers, because the answer too waits for the record."""
    with contextlib.suppress(Unreachable), host.client(timeout_s=0.2) as client:
        client.control(Control.START, agents=["worker"])


def wait_until_it_waits(host: Host) -> None:
    """Wait until asm-exec of the agent sleeps at its gate, all else done."""
    procs = host.cgroup / "agents" / "7" / "cgroup.procs"

    def is_waiting() -> bool:
        with contextlib.suppress(OSError):
            for pid in procs.read_text().split():
                return Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x8 ")
        return False

    eventually(is_waiting, "asm-exec waits at its gate")


def test_the_program_waits_for_its_record_and_then_runs(host: Host) -> None:
    sign = host.folder / "begun"
    with held_journal(host):
        order_start(host)
        wait_until_it_waits(host)
        assert host.info("worker")["state"] == "starting"
        assert not sign.exists()
    eventually(sign.exists, "the program begins once the record is durable")
    assert host.wait_state("worker", "active")["spawn_count"] == 1


def test_a_start_that_was_not_recorded_has_not_been(host: Host) -> None:
    sign = host.folder / "begun"
    agent = Cgroup(host.cgroup / "agents")
    with held_journal(host):
        order_start(host)
        wait_until_it_waits(host)
        host.part("asmd").kill()
        eventually(lambda: not agent.is_populated(), "who waited has left by itself")
    agent.close()
    host.wait_ready()
    assert not sign.exists()
    view = host.info("worker")
    assert (view["state"], view["spawn_count"], view["exit_count"]) == ("stopped", 0, 0)
    host.act(Control.START, "worker")
    eventually(sign.exists, "the next start is a start like any other")
    assert sign.read_text() == "begun\n"
    assert host.wait_state("worker", "active")["spawn_count"] == 1
