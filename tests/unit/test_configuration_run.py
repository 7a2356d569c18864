"""`asmctl run`: the same checks as in a file, and nothing that is for files alone."""

import pytest

from supervisord_asm.configuration import (
    ConfigurationErrors,
    parse_daemon_text,
    spec_for_run,
)
from supervisord_asm.core import capability
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import (
    AgentSpec,
    LimitsSpec,
    RestartKind,
    ScopeSpec,
    SourceMark,
    StartMode,
)

DAEMON = DaemonSpec()


def run(**request: object) -> AgentSpec:
    return spec_for_run({"command": ["/bin/sleep", "5"], **request}, DAEMON)


def errors(**request: object) -> list[str]:
    with pytest.raises(ConfigurationErrors) as caught:
        spec_for_run({"command": ["/bin/sleep"], **request}, DAEMON)
    return [str(error) for error in caught.value.errors]


def test_the_least_request_is_an_agent_without_restart() -> None:
    spec = run()
    assert spec == AgentSpec(
        name="sleep",
        command=("/bin/sleep", "5"),
        start=StartMode.MANUAL,
        capabilities=capability.DEFAULT,
    )
    assert spec.restart.kind is RestartKind.NO
    assert spec.source == SourceMark("asmctl run", 0)


def test_a_full_request() -> None:
    spec = run(
        name="mine",
        environment={"A": "1", "B": ""},
        user="nobody",
        group=None,
        working_directory="/srv/x/sub",
        limits={
            "cpu": "50%",
            "memory": "64MiB",
            "pids": "5",
            "syscalls": "9/s",
            "watchdog": "3s",
            "wall": "1h",
        },
        capabilities=["FsBasic"],
        scope=["/srv/x/", "/opt"],
    )
    assert spec.name == "mine"
    assert spec.environment == (("A", "1"), ("B", ""))
    assert spec.user == "nobody"
    assert spec.working_directory == "/srv/x/sub"
    assert spec.limits == LimitsSpec(
        cpu_quota_usec=500_000,
        memory_bytes=64 << 20,
        pids_max=5,
        syscall_rate=9,
        watchdog_usec=3_000_000,
        wall_usec=3_600_000_000,
    )
    assert spec.capabilities is capability.Capability.FS_BASIC
    assert spec.scope == ScopeSpec(paths=("/srv/x", "/opt"))


@pytest.mark.parametrize(
    ("folder", "scope", "kept"),
    [
        ("/srv/x", "/srv/x", True),
        ("/srv/x/y", ["/a", "/srv/x/"], True),
        ("/anything", ["/"], True),
        ("/srv/xy", ["/srv/x"], False),
        ("/srv", ["/srv/x"], False),
        ("/srv/x", None, False),
        ("(unreachable)/x", ["/x"], False),
    ],
)
def test_the_callers_folder_is_kept_if_it_is_in_scope(
    folder: str, scope: object, kept: bool
) -> None:
    assert run(working_directory=folder, scope=scope).working_directory == (
        folder if kept else None
    )


def test_defaults_bound_it_but_do_not_restart_it() -> None:
    daemon = parse_daemon_text(
        "defaults: {limits: conservative, restart: always}\nrecovery: strict\n", "asm.yaml"
    )
    spec = spec_for_run({"command": ["x"], "limits": {"memory": "1GiB"}}, daemon)
    assert spec.restart.kind is RestartKind.NO
    assert spec.limits.memory_bytes == 1 << 30
    assert spec.limits.syscall_rate == 1_000


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/Python3.11", "python3.11"),
        ("7z", "z"),
        ("./--", "run"),
        ("my prog", "my-prog"),
        ("/bin/äöü", "run"),
        ("x" * 300, "x" * 48),
    ],
)
def test_a_name_is_made_from_the_program(program: str, name: str) -> None:
    assert spec_for_run({"command": [f"/{program}"]}, DAEMON).name == name


def test_a_made_name_is_free() -> None:
    taken = {"sleep", "sleep-2"}
    assert spec_for_run({"command": ["sleep"]}, DAEMON, taken).name == "sleep-3"


def test_errors_have_no_place_but_the_command_line() -> None:
    assert errors(scop=[], name="X", limits={"memory": "512"}) == [
        'asmctl run: "scop" cannot be given here: did you mean scope?',
        'asmctl run: name: "X" is no name: a lower-case letter, then up to 62 of a-z 0-9 _ . -',
        'asmctl run: limits.memory: 512 is a bare number: write "512MiB"',
    ]


def test_what_is_for_files_alone_is_refused() -> None:
    assert errors(capabilities=["Admin"]) == [
        "asmctl run: capabilities: Admin: Admin is given in a file of agents.d only"
    ]
    (error,) = errors(restart="always")
    assert error.startswith('asmctl run: "restart" cannot be given here: one of capabilities, ')
    assert errors(user="0") == ["asmctl run: user: user 0 is root: spell it out: user: root"]


def test_hostile_requests_are_refused_and_never_crash() -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    requests: tuple[dict[str, object], ...] = (
        {"command": deep},
        {"command": []},
        {"command": None},
        {"command": "ls"},
        {"command": ["\ud800"]},
        {"command": ["a\0b"]},
        {"command": [1, True, None]},
        {"command": ["x"], "environment": {"": "x"}},
        {"command": ["x"], "environment": {"ASM_SOCKET": "x"}},
        {"command": ["x"], "name": "\ud800"},
        {"command": ["x"], "name": {}},
        {"command": ["x"], "scope": 5, "working_directory": 5},
        {"command": ["x"], "limits": []},
    )
    for request in requests:
        with pytest.raises(ConfigurationErrors):
            spec_for_run(request, DAEMON)
