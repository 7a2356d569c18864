"""Where things live: the published paths, and that one value moves them all."""

import dataclasses
from pathlib import Path
from typing import Any

from supervisord_asm.core.daemon_spec import PathsSpec
from supervisord_asm.paths import Paths


def test_the_defaults_are_the_published_paths() -> None:
    paths = Paths()
    assert str(paths.agent_socket) == "/run/asm/asm.sock"
    assert str(paths.control_socket) == "/run/asm/control.sock"
    assert str(paths.journal) == "/var/lib/asm/journal.db"
    assert str(paths.agent_state("ticker")) == "/var/lib/asm/agents/ticker"
    assert str(paths.agent_log("ticker")) == "/var/log/asm/agents/ticker.log"
    assert str(paths.fuse) == "/run/agentsys"
    assert str(paths.pid_file) == "/run/asm/asmd.pid"
    assert str(paths.config_file) == "/etc/asm/asm.yaml"


def test_every_folder_moves_with_one_value_and_nothing_stays_behind() -> None:
    elsewhere: dict[str, Any] = {
        field.name: Path("/elsewhere", field.name) for field in dataclasses.fields(Paths)
    }
    moved = Paths(**elsewhere)
    derived = [
        getattr(moved, name)
        for name, attribute in vars(Paths).items()
        if isinstance(attribute, property)
    ]
    derived += [
        moved.agent_state("a"), moved.agent_log("a"), moved.agent_cgroup(100),
        moved.system_cgroup("asmd"), moved.program("asm-exec"),
    ]  # fmt: skip
    assert len(derived) > 10
    assert [str(path) for path in derived if not str(path).startswith("/elsewhere/")] == []


def test_asm_yaml_has_the_same_folders_with_the_same_defaults() -> None:
    configured = dataclasses.asdict(PathsSpec())
    ours = {field.name: str(getattr(Paths(), field.name)) for field in dataclasses.fields(Paths)}
    assert configured.keys() == ours.keys()
    assert configured.pop("libexec") is None, "absent: the one beside the package"
    del ours["libexec"]
    assert configured == ours


def test_cgroups_are_relative_to_the_cgroup2_root() -> None:
    paths = Paths()
    assert str(paths.agent_cgroup(100)) == "asm.slice/agents/100"
    assert str(paths.system_cgroup("keeper")) == "asm.slice/system/keeper"


def test_the_programs_lie_beside_the_package() -> None:
    import supervisord_asm

    package = Path(supervisord_asm.__file__).parent
    assert Paths().program("asm-keeper") == package / "libexec" / "asm-keeper"
