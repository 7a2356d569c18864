"""The sample fleet's configuration is right, and belongs to the programs that are shipped."""

import ast
import re
from pathlib import Path

import pytest

from supervisord_asm.configuration.load import load_configuration
from supervisord_asm.core.capability import Capability
from supervisord_asm.core.spec import AgentSpec, RestartKind

CONFIG = Path(__file__).parents[2] / "config"
PROGRAMS = CONFIG / "fleet"
INSTALLED = Path("/opt/asm/share/fleet")
INTERPRETERS = {"/usr/bin/python3", "/opt/asm/bin/python", "/bin/sh"}
AGENTS = load_configuration(
    CONFIG / "asm.yaml", CONFIG / "agents.d", require_root_owner=False
).agents
BY_NAME = {agent.name: agent for agent in AGENTS}


def constant(program: str, name: str) -> object:
    """Read a constant of a program without running it."""
    for node in ast.parse((PROGRAMS / program).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{program} has no {name}")


def test_there_are_at_least_eight_with_ids_from_100() -> None:
    assert len(AGENTS) >= 8
    assert sorted(agent.agent_id or 0 for agent in AGENTS) == list(range(100, 100 + len(AGENTS)))
    assert BY_NAME["fs_monitor"].agent_id == 100
    assert BY_NAME["net_agent"].agent_id == 101


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_each_runs_a_program_of_the_fleet_by_absolute_paths(agent: AgentSpec) -> None:
    assert agent.command[0] in INTERPRETERS
    path = Path(agent.command[-1])
    assert path.parent == INSTALLED
    program = PROGRAMS / path.name
    assert program.stem == agent.name
    assert program.is_file()
    assert program.stat().st_mode & 0o444 == 0o444, "every agent's own user must read it"


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_each_is_confined_has_a_purpose_and_comes_back(agent: AgentSpec) -> None:
    assert agent.user is None
    assert not agent.unconfined
    assert agent.purpose
    assert agent.restart.kind is RestartKind.ON_FAILURE


def test_every_program_has_its_agent() -> None:
    programs = {path.stem for path in PROGRAMS.iterdir() if path.suffix in (".py", ".sh")}
    assert programs == set(BY_NAME)
    assert {path.stem for path in (CONFIG / "agents.d").iterdir()} == set(BY_NAME)


def test_client_and_server_mean_the_same_port() -> None:
    port = constant("net_server.py", "PORT")
    assert constant("net_agent.py", "PORT") == port
    assert BY_NAME["net_agent"].loopback == (port,)
    assert BY_NAME["net_agent"].capabilities == Capability.NET_CLIENT
    assert BY_NAME["net_server"].capabilities == Capability.NET_SERVER


def test_those_that_end_badly_never_reach_their_limit() -> None:
    """Each life is longer than the stable time, after which the restart counter is zero again."""
    life_s = constant("crash_probe.py", "LIFE_SECONDS")
    assert isinstance(life_s, float)
    assert BY_NAME["crash_probe"].restart.stable_usec < life_s * 1_000_000 / 1.5
    source = (PROGRAMS / "leak_worker.py").read_text()
    assert "LEAK_BYTES = 512 * 1024\n" in source
    assert "LEAK_BYTES_MAX = 48 * 1024 * 1024\n" in source
    assert BY_NAME["leak_worker"].restart.stable_usec < 96 * 1_000_000 / 1.5


def test_the_leak_stays_below_its_limit() -> None:
    """The interpreter's own 10 MiB included."""
    limit = BY_NAME["leak_worker"].limits.memory_bytes
    assert limit is not None
    assert limit >= (48 + 2 * 10) * 1024 * 1024


def test_the_readme_lists_every_agent_with_its_id() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", (PROGRAMS / "README.md").read_text(), re.MULTILINE)
    assert {name: int(number) for number, name in rows} == {
        agent.name: agent.agent_id for agent in AGENTS
    }
