"""What asmctl history and asmctl syscalls print."""

from typing import Any

from supervisord_asm.view.activity_text import history_text, syscalls_text


def program(**changes: object) -> dict[str, Any]:
    """Return one record as asmd answers it."""
    return {
        "pid": 41, "program": "/bin/true", "comm": "true", "started_us": 1_000_000,
        "ended_us": 1_000_900, "exit_code": 0, "exit_signal": None, "replaced": False,
    } | changes  # fmt: skip


def test_history() -> None:
    answer = {
        "total": 70,
        "programs": [
            program(program="/opt/asm/asm-exec", comm="asm-exec", replaced=True, exit_code=None),
            program(exit_code=7, ended_us=1_035_000),
            program(exit_signal=9, exit_code=None, ended_us=31_000_000),
            program(ended_us=None, exit_code=None, program="/dev/fd/\x1b3", comm="tool"),
            program(exit_code=None),
        ],
        "drops": {"exec_ring_full": 2},
    }
    assert history_text(answer, 61_000_000) == (
        "STARTED         PID      TOOK        END        PROGRAM\n"
        "--------------  -------  ----------  ---------  --------------------\n"
        "60 seconds ago  41       900 us      replaced   /opt/asm/asm-exec\n"
        "60 seconds ago  41       35 ms       code 7     /bin/true\n"
        "60 seconds ago  41       30 s        signal 9   /bin/true\n"
        "60 seconds ago  41       60 s        runs       /dev/fd/\\x1b3 (tool)\n"
        "60 seconds ago  41       900 us      unknown    /bin/true\n"
        "\n"
        "65 earlier ones are not kept.\n"
        "\n"
        "Dropped Records:\n"
        "  exec_ring_full: 2 (of all agents)\n"
    )


def test_syscalls() -> None:
    answer = {
        "total": 4000,
        "syscalls": [
            {"number": 110, "name": "getppid", "count": 3001},
            {"number": 0, "name": "read", "count": 998},
            {"number": 470, "name": "syscall_470", "count": 1},
        ],
        "drops": {},
    }
    assert syscalls_text(answer, 2) == (
        "NUMBER  NAME              COUNT         SHARE\n"
        "------  ----------------  ------------  ------\n"
        "110     getppid           3001          75.0%\n"
        "0       read              998           24.9%\n"
        "\n"
        "4000 syscalls of 3 kinds.\n"
    )
    assert "syscall_470" in syscalls_text(answer, 0)


def test_an_agent_that_did_nothing() -> None:
    assert "0 syscalls of 0 kinds." in syscalls_text({"total": 0, "syscalls": [], "drops": {}}, 20)
    assert "PROGRAM" in history_text({"total": 0, "programs": [], "drops": {}}, 1)
