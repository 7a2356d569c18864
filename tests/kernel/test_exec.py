"""asm-exec, the real one: a child is exactly what its spec says, and nothing of the keeper.

What the kernel says of a process is read by the process itself: cat and ls are the agents.
"""

import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.kernel.exec_spec import (
    HEADER,
    STAGES,
    ExecSpec,
    Rlimit,
    describe_stage,
    encode_exec_spec,
)
from supervisord_asm.kernel.keeper_channel import KeeperMessage, Kind
from tests.kernel.keeper_rig import (
    AGENT,
    CLD_EXITED,
    EXEC,
    KEEPER,
    RLIM_INFINITY,
    Asmd,
    Rig,
    read_to_end,
    shell,
    spec_of,
)

NOBODY: dict[str, Any] = {"uid": 65534, "gid": 65533}
NET_BIND = 10  # linux/capability.h
SYS_PTRACE = 19
SYS_RESOURCE = 24


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as keeper:
        yield keeper


@pytest.fixture
def asmd(rig: Rig) -> Asmd:
    return rig.connect()


def output_of(asmd: Asmd, spec: ExecSpec) -> str:
    run = asmd.spawn(spec)
    exited = asmd.end(run)
    out, error = run.output()
    assert (exited.wait_code, exited.wait_status, error) == (CLD_EXITED, 0, b"")
    asmd.acknowledge(run)
    return out.decode()


def own(asmd: Asmd, *names: str, **fields: Any) -> str:
    """Return what stands in the child's own files of /proc/self."""
    return output_of(asmd, spec_of("/bin/cat", *(f"/proc/self/{n}" for n in names), **fields))


def status(asmd: Asmd, **fields: Any) -> dict[str, str]:
    lines = own(asmd, "status", **fields).splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: " ".join(value.split()) for name, _, value in pairs}


def failure(asmd: Asmd, spec: ExecSpec) -> tuple[str, int]:
    """Start what cannot start; return the stage's name and the errno."""
    run = asmd.spawn(spec)
    execed = asmd.take(Kind.EXECED, run.agent_id, run.run)
    exited = asmd.end(run)
    assert (exited.wait_code, exited.wait_status) == (CLD_EXITED, 127)
    assert run.output() == (b"", b"")
    asmd.acknowledge(run)
    return describe_stage(execed.stage), -execed.result


# -- Identity.


def test_user_and_groups_are_the_specs_in_every_set(asmd: Asmd) -> None:
    found = status(asmd, uid=4711, gid=4712, groups=(7, 5))
    assert found["Uid"] == "4711 4711 4711 4711"
    assert found["Gid"] == "4712 4712 4712 4712"
    assert found["Groups"].split() == ["5", "7"]


def test_no_group_of_the_keeper_is_left(asmd: Asmd) -> None:
    assert status(asmd, **NOBODY)["Groups"] == ""


CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.mark.parametrize("who", [{"uid": 0, "gid": 0}, NOBODY], ids=["root", "nobody"])
@pytest.mark.parametrize("kept", [0, 1 << NET_BIND], ids=["none", "one"])
def test_capabilities_are_those_named_and_no_others(
    asmd: Asmd, who: dict[str, Any], kept: int
) -> None:
    found = status(asmd, capabilities=kept, **who)
    assert {int(found[name], 16) for name in CAPABILITY_SETS} == {kept}


def test_all_capabilities_that_the_keeper_has_may_be_kept(rig: Rig, asmd: Asmd) -> None:
    found = status(asmd, capabilities=(1 << 64) - 1, **NOBODY)
    assert int(found["CapEff"], 16) == rig.capabilities() > 0


def test_no_setuid_program_can_win_anything_back(asmd: Asmd) -> None:
    assert status(asmd, **NOBODY)["NoNewPrivs"] == "1"


# -- Surroundings.


def test_arguments_and_environment_are_exactly_the_specs(asmd: Asmd) -> None:
    arguments = ("a name", "/proc/self/cmdline", "/proc/self/environ", "--", "")
    environment = (("A", "1=2"), ("EMPTY", ""), ("É", "ü\n"))
    spec = ExecSpec("/bin/cat", arguments, environment, "/", 0, 0)
    run = asmd.spawn(spec)
    asmd.end(run)
    out = run.output()[0]
    assert out == b"\0".join([*map(os.fsencode, arguments), *(
        os.fsencode(f"{name}={value}") for name, value in environment)]) + b"\0"  # fmt: skip


def test_the_working_directory_is_entered_as_the_user(asmd: Asmd, tmp_path: Path) -> None:
    place = tmp_path / "home"
    place.mkdir(mode=0o700)
    spec = spec_of("/bin/readlink", "/proc/self/cwd", working_directory=str(place))
    assert output_of(asmd, spec) == f"{place}\n"
    spec = spec_of("/bin/true", working_directory=str(place), **NOBODY)
    assert failure(asmd, spec) == ("entering the working directory", errno.EACCES)
    spec = spec_of("/bin/true", working_directory=str(place / "missing"))
    assert failure(asmd, spec) == ("entering the working directory", errno.ENOENT)


def test_a_child_leads_a_session_without_a_terminal(asmd: Asmd) -> None:
    pid, _, rest = own(asmd, "stat").partition(" ")
    parent, group, session, terminal, foreground = rest.rsplit(") ", 1)[1].split()[1:6]
    assert parent != "1"
    assert (group, session, terminal, foreground) == (pid, pid, "0", "-1")


def test_a_child_has_its_three_descriptors_and_no_other(asmd: Asmd) -> None:
    lines = output_of(asmd, spec_of("/bin/ls", "-l", "/proc/self/fd")).splitlines()[1:]
    found = dict(line.split()[-3::2] for line in lines)
    assert found.pop("0") == "/dev/null"
    assert found.pop("1").startswith("pipe:")
    assert found.pop("2").startswith("pipe:")
    ((_, listing),) = found.items()  # what ls itself opened
    assert listing.startswith("/proc/")


def test_standard_input_ends_at_once_and_cannot_be_written(asmd: Asmd) -> None:
    assert output_of(asmd, shell("cat; cat /proc/self/fdinfo/0")).split()[3] == "0100000"


def test_signals_are_neither_blocked_nor_ignored(rig: Rig, asmd: Asmd) -> None:
    keeper = Path(f"/proc/{rig.pid}/status").read_text()
    assert "SigIgn:\t0000000000000000" not in keeper  # there is something to be undone
    assert "SigBlk:\t0000000000000000" not in keeper
    found = status(asmd)
    names = ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")
    # 32 and 33 are the C library's own (nptl(7)); the sanitizers' one leaves them behind.
    own = 0b11 << 31
    assert {int(found[name], 16) & ~own for name in names} == {0}


@pytest.mark.parametrize("umask", [0o077, 0o022, 0])
def test_the_umask_is_the_specs(asmd: Asmd, umask: int) -> None:
    assert int(status(asmd, umask=umask)["Umask"], 8) == umask


@pytest.mark.parametrize("score", [500, 0, -7, 1000])
def test_the_oom_score_is_the_specs_and_not_the_keepers(rig: Rig, asmd: Asmd, score: int) -> None:
    may_protect = rig.capabilities() >> SYS_RESOURCE & 1
    keepers = int(Path(f"/proc/{rig.pid}/oom_score_adj").read_text())
    assert keepers == (-1000 if may_protect else 0)
    expected = score if may_protect or score > 0 else 0
    assert own(asmd, "oom_score_adj", oom_score_adj=score) == f"{expected}\n"


@pytest.mark.parametrize("nice", [0, 5, -5, 19])
def test_nice_is_the_specs(asmd: Asmd, nice: int) -> None:
    assert own(asmd, "stat", nice=nice).rsplit(") ", 1)[1].split()[16] == str(nice)


# -- Limits.


def test_limits_are_the_specs(asmd: Asmd) -> None:
    limits = (
        Rlimit(resource.RLIMIT_NOFILE, 100, 200),
        Rlimit(resource.RLIMIT_CORE, 0, RLIM_INFINITY),
        Rlimit(resource.RLIMIT_FSIZE, 12345, 12345),
    )
    lines = own(asmd, "limits", rlimits=limits, **NOBODY).splitlines()
    found = {line[:26].strip(): line[26:68].split() for line in lines}
    assert found["Max open files"] == ["100", "200"]
    assert found["Max core file size"] == ["0", "unlimited"]
    assert found["Max file size"] == ["12345", "12345"]


def test_a_limit_of_four_descriptors_leaves_the_program_its_own(asmd: Asmd) -> None:
    limit = (Rlimit(resource.RLIMIT_NOFILE, 4, 4),)
    assert "Max open files            4 " in own(asmd, "limits", rlimits=limit)


def test_a_limit_that_does_not_exist_is_told_with_its_stage(asmd: Asmd) -> None:
    spec = spec_of("/bin/true", rlimits=(Rlimit(99, 1, 1),))
    assert failure(asmd, spec) == ("setting an rlimit", errno.EINVAL)


def test_what_a_container_lacks_is_done_without(tmp_path: Path) -> None:
    without = ("setpriv", "--bounding-set", "-sys_resource,-sys_ptrace")
    wrapper = ("prlimit", "--core=0:5000000", *without)
    with Rig(tmp_path, within=wrapper) as rig:
        asmd = rig.connect()
        limit = (Rlimit(resource.RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY),)
        kept = 1 << SYS_PTRACE | 1 << NET_BIND
        lines = own(asmd, "limits", "status", rlimits=limit, capabilities=kept, oom_score_adj=-900)
        assert "Max core file size        5000000              5000000" in lines
        assert f"CapEff:\t{1 << NET_BIND:016x}" in lines


# -- Failures.


def test_a_program_that_cannot_be_executed_is_told_with_its_errno(
    asmd: Asmd, tmp_path: Path
) -> None:
    stage = "executing the program"
    assert failure(asmd, spec_of("/nowhere")) == (stage, errno.ENOENT)
    assert failure(asmd, spec_of("/etc/passwd")) == (stage, errno.EACCES)
    assert failure(asmd, spec_of("/bin/true", "x" * (128 << 10))) == (stage, errno.E2BIG)
    text = tmp_path / "text"
    text.write_text("no program\n")
    text.chmod(0o755)
    assert failure(asmd, spec_of(str(text))) == (stage, errno.ENOEXEC)


def test_a_script_is_executed_by_its_interpreter(asmd: Asmd, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho $0\n")
    script.chmod(0o755)
    assert output_of(asmd, spec_of(str(script))) == f"{script}\n"


def test_a_child_ended_by_a_signal_before_its_program_is_told_as_such(asmd: Asmd) -> None:
    # Nothing of it is asm-exec's failure: the keeper tells a bare exit.
    run = asmd.spawn(shell("kill -KILL $$"))
    assert asmd.end(run).wait_status == signal.SIGKILL


def spawn_raw(asmd: Asmd, rig: Rig, spec: bytes) -> tuple[KeeperMessage, KeeperMessage]:
    """Give asm-exec these bytes as its spec; return how exec and run ended."""
    run = next(rig.runs)
    read_end, write_end = os.pipe()
    spec_fd = os.memfd_create("spec")
    os.write(spec_fd, spec)
    cgroup = rig.cgroup_of(AGENT)
    fds = (spec_fd, cgroup.fd, write_end, write_end, read_end, read_end)
    asmd.channel.send(KeeperMessage(Kind.SPAWN, agent_id=AGENT, run=run, fds=fds))
    for fd in (spec_fd, write_end):
        os.close(fd)
    cgroup.close()
    execed = asmd.take(Kind.EXECED, AGENT, run)
    exited = asmd.take(Kind.EXITED, AGENT, run)
    asmd.channel.send(KeeperMessage(Kind.ACK, agent_id=AGENT, run=run))
    read_to_end(read_end)
    os.close(read_end)
    return execed, exited


def test_every_cut_of_a_spec_is_refused(rig: Rig, asmd: Asmd) -> None:
    whole = encode_exec_spec(
        spec_of("/bin/true", "a", environment=(("B", "c"),), groups=(1,),
                rlimits=(Rlimit(resource.RLIMIT_CORE, 0, 0),))
    )  # fmt: skip
    cuts = [whole[:length] for length in range(0, len(whole), 3)]
    for cut in [*cuts, whole + b"\0"]:
        execed, exited = spawn_raw(asmd, rig, cut)
        assert STAGES[execed.stage] == "reading the spec"
        assert exited.wait_status == 127


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(position=st.integers(0, HEADER.size + 60), byte=st.integers(0, 255))
def test_no_wrong_byte_of_a_spec_makes_asm_exec_crash(
    rig: Rig, asmd: Asmd, position: int, byte: int
) -> None:
    spec = bytearray(
        encode_exec_spec(spec_of("/bin/true", "a", groups=(1,), environment=(("B", "c"),)))
    )
    spec[position % len(spec)] = byte
    execed, exited = spawn_raw(asmd, rig, bytes(spec))
    # Either it was refused with a stage, or the program ran (perhaps as somebody else).
    assert exited.wait_code == CLD_EXITED
    assert (exited.wait_status == 127) == (execed.result < 0)


def test_the_programs_are_not_for_others_to_change() -> None:
    for program in (EXEC, KEEPER):
        assert program.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH) == 0
