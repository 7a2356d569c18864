"""A gated birth: everything is prepared, and the agent's program waits for its record.

The keeper and asm-exec are the real ones. What the gate is for, in the whole daemon: the last test.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.daemon.gate import Gate
from supervisord_asm.kernel.exec_spec import STAGES
from supervisord_asm.kernel.keeper_channel import Kind
from tests.kernel.keeper_rig import (
    AGENT,
    CLD_EXITED,
    CLD_KILLED,
    EXEC,
    Asmd,
    Rig,
    shell,
    spec_of,
    wait_for,
)

GATE = STAGES.index("waiting for its record")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as keeper:
        yield keeper


@pytest.fixture
def asmd(rig: Rig) -> Asmd:
    return rig.connect()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def wait_at_the_gate(rig: Rig, asmd: Asmd) -> int:
    """Wait until asm-exec has done all but the last step: it sleeps in a pipe's read."""
    with contextlib.closing(rig.cgroup_of(AGENT)) as cgroup:
        wait_for(cgroup.is_populated, "a birth")
        (pid,) = cgroup.processes()
    at = Path(f"/proc/{pid}/syscall")  # "0 0x8 …": read(2) of descriptor 8
    wait_for(lambda: at.read_text().startswith("0 0x8 "), "asm-exec waits at its gate")
    asmd.sync()
    assert asmd.news() == []
    return pid


def test_the_program_begins_when_the_gate_opens_and_not_before(
    rig: Rig, asmd: Asmd, gate: Gate
) -> None:
    run = asmd.spawn(shell("echo begun"), gate=gate)
    pid = wait_at_the_gate(rig, asmd)
    assert os.readlink(f"/proc/{pid}/exe") == str(EXEC.resolve())
    gate.open()
    assert asmd.take(Kind.EXECED, run.agent_id, run.run).result == 0
    assert run.output() == (b"begun\n", b"")
    assert asmd.end(run).wait_status == 0


def test_a_gate_that_is_open_already_holds_nobody(asmd: Asmd, gate: Gate) -> None:
    gate.open()
    run = asmd.spawn(shell("echo begun"), gate=gate)
    assert asmd.end(run).wait_status == 0
    assert run.output() == (b"begun\n", b"")


def test_behind_a_closed_gate_nothing_of_the_agent_ever_runs(
    rig: Rig, asmd: Asmd, gate: Gate, tmp_path: Path
) -> None:
    sign = tmp_path / "begun"
    run = asmd.spawn(spec_of("/bin/touch", str(sign)), gate=gate)
    wait_at_the_gate(rig, asmd)
    gate.close()
    execed = asmd.take(Kind.EXECED, run.agent_id, run.run)
    assert (execed.stage, execed.result) == (GATE, -errno.ECANCELED)
    end = asmd.end(run)
    assert (end.wait_code, end.wait_status) == (CLD_EXITED, 127)
    assert not sign.exists()


def test_who_waits_at_a_gate_can_be_killed(rig: Rig, asmd: Asmd, gate: Gate) -> None:
    run = asmd.spawn(shell("echo begun"), gate=gate)
    wait_at_the_gate(rig, asmd)
    rig.kill_agents()
    end = asmd.end(run)
    assert (end.wait_code, end.wait_status) == (CLD_KILLED, signal.SIGKILL)
    gate.open()  # nobody is there any more, and that is no error


def test_the_program_does_not_inherit_its_gate(asmd: Asmd, gate: Gate) -> None:
    gate.open()
    run = asmd.spawn(shell("ls /proc/self/fd"), gate=gate)
    # 3 is ls's own, of the folder.
    assert run.output()[0].split() == [b"0", b"1", b"2", b"3"]
    asmd.end(run)


def test_the_keeper_keeps_no_end_of_a_gate(rig: Rig, asmd: Asmd, gate: Gate) -> None:
    before = rig.descriptors()
    run = asmd.spawn(shell("true"), gate=gate)
    wait_at_the_gate(rig, asmd)
    # asmd dies: with it goes the only write end.
    gate.close()
    asmd.end(run)
    asmd.acknowledge(run)
    asmd.sync()
    assert rig.descriptors() == before


def test_a_birth_at_a_gate_is_news_together_with_what_comes_of_it(
    rig: Rig, asmd: Asmd, gate: Gate
) -> None:
    run = asmd.spawn(shell("true"), gate=gate)
    gate.open()
    asmd.end(run)
    assert asmd.news() == [Kind.SPAWNED, Kind.EXECED]


def test_the_next_asmd_is_told_of_who_waits_at_a_gate(rig: Rig, asmd: Asmd, gate: Gate) -> None:
    run = asmd.spawn(shell("true"), gate=gate)
    pid = wait_at_the_gate(rig, asmd)
    asmd.close()
    (child,) = rig.connect().children
    assert (child.agent_id, child.run, child.pid) == (run.agent_id, run.run, pid)
    assert not child.is_exec_done


def test_a_birth_without_a_gate_waits_for_nothing(asmd: Asmd) -> None:
    run = asmd.spawn(shell("echo begun"))
    assert asmd.end(run).wait_status == 0
    assert run.output() == (b"begun\n", b"")
