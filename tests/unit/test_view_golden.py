"""The guide's examples: its values in, its text out, to the last space. See tests/golden/README.md.

Also what the guide's readers do with that text: its grep and awk one-liners, run by the real tools.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from supervisord_asm.core.events import Event, EventType
from supervisord_asm.core.snapshot import AgentView, Snapshot, SystemView
from supervisord_asm.view.agent_info_json import agent_info
from supervisord_asm.view.asminfo_text import asminfo_text
from supervisord_asm.view.asmlist_text import asmlist_text
from supervisord_asm.view.asmstatus_text import asmstatus_text
from supervisord_asm.view.status_text import status_text
from supervisord_asm.view.telemetry_json import telemetry_json

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

STATUS = Snapshot(
    timestamp_us=12_345_678,
    system=SystemView(
        total_spawns=42,
        total_exits=38,
        total_faults=5,
        total_restarts=3,
        active_agents=4,
        total_syscalls=1_234_567,
    ),
    agents=tuple(
        AgentView(
            agent_id=agent_id,
            name=f"agent-{agent_id}",
            state="active",
            spawn_count=spawns,
            exit_count=exits,
            fault_count=faults,
            cpu_time_us=cpu,
            memory_bytes=memory,
        )
        for agent_id, spawns, exits, faults, cpu, memory in (
            (100, 1, 0, 0, 125_000, 4_096_000),
            (101, 3, 2, 2, 89_000, 2_048_000),
            (102, 1, 0, 1, 45_000, 1_024_000),
            (103, 1, 0, 0, 67_000, 3_072_000),
        )
    ),
)
TALLIES = """
Agent 100: spawns=1 exits=0 faults=0
Agent 101: spawns=3 exits=2 faults=2
Agent 102: spawns=1 exits=0 faults=1
Agent 103: spawns=1 exits=0 faults=0
"""

LIST = (
    AgentView(100, "fs_monitor", "active", 42, ("FsBasic",)),
    AgentView(101, "net_agent", "active", 43, ("NetClient",), total_restarts=2),
    AgentView(102, "audio_ctrl", "active", 44, ("AudioControl",)),
)


def golden(name: str) -> str:
    """Return a golden file's text."""
    return (GOLDEN / name).read_text(encoding="utf-8")


def piped(text: str, command: str) -> list[str]:
    """Return the lines that a shell command makes of a text."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_status_is_the_guides_text_and_a_line_for_each_agent() -> None:
    assert status_text(STATUS) == golden("status.txt") + TALLIES


def test_status_answers_the_guides_grep() -> None:
    assert piped(status_text(STATUS), 'grep "Agent 101"') == [
        "Agent 101: spawns=3 exits=2 faults=2"
    ]


def test_asmstatus_is_the_guides_text() -> None:
    system = SystemView(
        total_spawns=15,
        total_exits=12,
        total_crashes=2,
        total_faults=3,
        total_restarts=2,
        active_agents=3,
        total_syscalls=45_678,
    )
    fault = {"fault": "cpu", "description": "CPU quota exceeded"}
    events = (
        Event(EventType.EXIT, 103, 12_345_678, 0, {"code": 0, "signal": None, "cause": "clean"}),
        Event(EventType.SPAWN, 102, 12_345_670, 0, {"pid": 44, "run": 1}),
        Event(EventType.FAULT, 101, 12_345_665, 0, fault),
    )
    assert asmstatus_text(system, events) == golden("asmstatus.txt")


def test_asmlist_is_the_guides_text() -> None:
    assert asmlist_text(LIST) == golden("asmlist.txt")


def test_asmlist_gives_the_ids_to_the_guides_loop() -> None:
    ids = piped(asmlist_text(LIST), "tail -n +3 | awk '{print $1}'")
    # The title and its rule come first, as the guide prints them: docs/guide-errata.md.
    assert ids == ["ID", "----", "100", "101", "102"]


def test_asmlist_has_five_cells_in_every_row_whatever_is_in_them() -> None:
    odd = AgentView(1, "x" * 63, "backoff", None, (), total_restarts=12_345_678_901)
    many = AgentView(2_147_483_647, "y", "active", 4_194_304, ("FsBasic", "NetClient", "Exec"))
    rows = piped(asmlist_text((odd, many)), "tail -n +5 | awk '{print NF, $1, $5}'")
    assert rows == ["5 1 12345678901", "5 2147483647 0"]


def test_asmlist_one_liner_finds_restarted_agents_in_the_fifth_column() -> None:
    """The guide's one with $6, corrected: docs/guide-errata.md."""
    line = 'awk \'$5 ~ /^[0-9]+$/ && $5 > 1 {print "Agent " $1 " restarted " $5 " times"}\''
    assert piped(asmlist_text(LIST), line) == ["Agent 101 restarted 2 times"]


def test_asminfo_is_the_guides_text() -> None:
    view = AgentView(
        agent_id=100,
        name="fs_monitor",
        state="active",
        pid=42,
        capabilities=("FsBasic", "FsExtended"),
        auto_restart=True,
        max_restarts=3,
        spawn_count=1,
        cpu_time_us=125_000,
        memory_bytes=4_096_000,
        last_activity_us=10_000_000,
    )
    assert asminfo_text(view, now_us=12_345_678) == golden("asminfo.txt")


def test_telemetry_has_the_guides_members_and_values() -> None:
    system = SystemView(total_spawns=15, total_exits=12, active_agents=3, total_faults=5)
    answer = json.loads(telemetry_json(replace(STATUS, system=system, agents=STATUS.agents[:1])))
    guide = json.loads(golden("telemetry.json"))
    assert guide["system"].items() <= answer["system"].items()
    assert guide["agents"]["100"].items() <= answer["agents"]["100"].items()
    assert guide["recent_events"] == answer["recent_events"]
    assert list(answer)[:3] == list(guide)


def test_agent_info_has_the_guides_members_first_and_in_its_order() -> None:
    view = AgentView(
        agent_id=100,
        name="my_agent",
        state="active",
        pid=42,
        capabilities=("FsBasic", "NetClient"),
        auto_restart=True,
        max_restarts=3,
        spawn_count=1,
    )
    guide = json.loads(golden("agent_info.json"))
    assert list(agent_info(view).items())[: len(guide)] == list(guide.items())
