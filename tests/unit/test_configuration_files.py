"""Files and folders: what is read, what is refused for its owner, what is wrong across files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_asm.configuration import (
    Configuration,
    ConfigurationErrors,
    load_configuration,
)
from supervisord_asm.core.daemon_spec import DaemonSpec

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below a configuration folder that has an agents.d."""
    (tmp_path / "agents.d").mkdir(mode=0o755)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


def load(folder: Path, *, as_anybody: bool = True) -> Configuration:
    """Load the folder's asm.yaml. By anybody, so that these tests need not be root's."""
    return load_configuration(folder / "asm.yaml", require_root_owner=not as_anybody)


def errors(folder: Path, *, as_anybody: bool = True) -> list[str]:
    """Return what is wrong, with the folder's own path left out."""
    with pytest.raises(ConfigurationErrors) as caught:
        load(folder, as_anybody=as_anybody)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def test_agents_come_sorted_by_name_from_all_files(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "agents_max: 9\n")
    write("agents.d/10-b.yaml", "- {name: z, command: [x]}\n- {name: b, command: [x]}\n")
    write("agents.d/20-a.yaml", "name: a\ncommand: [x]\ndependencies: [z]\n")
    write("agents.d/notes.txt", "{ not: yaml")
    write("agents.d/.hidden.yaml", "{ not: yaml")
    write("agents.d/empty.yaml", "# nothing yet\n")
    configuration = load(tmp_path)
    assert [agent.name for agent in configuration.agents] == ["a", "b", "z"]
    assert configuration.daemon.agents_max == 9
    assert configuration.agents[0].source.file == str(tmp_path / "agents.d/20-a.yaml")


def test_the_digest_follows_the_contents(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    write("agents.d/a.yaml", "name: a\ncommand: [x]\n")
    first = load(tmp_path).digest
    assert load(tmp_path).digest == first
    assert len(first) == 64
    write("agents.d/a.yaml", "name: a\ncommand: [y]\n")
    assert load(tmp_path).digest != first


def test_another_folder_can_be_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    asm_yaml = write("asm.yaml", "agents_dir: more\n")
    write("more/a.yaml", "name: a\ncommand: [x]\n")
    write("agents.d/b.yaml", "name: b\ncommand: [x]\n")
    assert [agent.name for agent in load(tmp_path).agents] == ["a"]
    named = load_configuration(asm_yaml, tmp_path / "agents.d", require_root_owner=False)
    assert [agent.name for agent in named.agents] == ["b"]


def test_a_missing_default_folder_is_no_error_and_a_named_one_is(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "agents.d").rmdir()
    write("asm.yaml", "")
    assert load(tmp_path).agents == ()
    write("asm.yaml", "agents_dir: gone\n")
    assert errors(tmp_path) == [
        "gone: unable to list: No such file or directory: create it, or name another"
    ]


def test_a_missing_default_file_is_the_defaults_and_a_named_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert errors(tmp_path) == [
        "asm.yaml: unable to read the file: No such file or directory: create it, or name another"
    ]
    monkeypatch.setattr(
        "supervisord_asm.configuration.load.DEFAULT_ASM_YAML", tmp_path / "asm.yaml"
    )
    assert load(tmp_path) == Configuration(
        DaemonSpec(), (), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_what_is_taken_twice_across_files_names_both_places(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    write("agents.d/a.yaml", "name: web\nid: 7\ncommand: [x]\n")
    write(
        "agents.d/b.yaml",
        "- {name: web, command: [x]}\n- {name: other, id: 7, command: [x]}\n",
    )
    assert [error.replace(f"{tmp_path}/", "") for error in errors(tmp_path)] == [
        (
            'agents.d/b.yaml:1:4: the name "web" is taken by agents.d/a.yaml:1:'
            " give one of the two another name"
        ),
        (
            'agents.d/b.yaml:2:17: the id 7 is taken by "web" in agents.d/a.yaml:2:'
            " give one of the two another id, or none"
        ),
    ]


def test_errors_of_all_files_are_told_together_in_their_order(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "tick: 1\n")
    write("agents.d/a.yaml", "name: a\ncommand: [x]\nid: 0\n")
    write("agents.d/b.yaml", "name: [\n")
    write("agents.d/c.yaml", "name: c\ncommand: x\n")
    assert [error.split(": ")[0] for error in errors(tmp_path)] == [
        "asm.yaml:1:7",
        "agents.d/a.yaml:3:5",
        "agents.d/b.yaml:2:1",
        "agents.d/c.yaml:2:1",
    ]


def test_nothing_dangles_while_a_file_cannot_be_read(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "groups: {g: {members: [b]}}\n")
    write("agents.d/a.yaml", "name: a\ncommand: [x]\ndependencies: [b]\n")
    write("agents.d/b.yaml", "name: b\ncommand: [x]\n  broken\n")
    (error,) = errors(tmp_path)
    assert error.startswith("agents.d/b.yaml:3:")
    write("agents.d/b.yaml", "")
    assert errors(tmp_path) == [
        'asm.yaml:1:24: groups.g names "b", which does not exist: add that agent, or drop the name',
        (
            'agents.d/a.yaml:3:16: "a" depends on "b", which does not exist:'
            " add that agent, or drop the dependency"
        ),
    ]


def test_members_of_groups_exist_and_are_in_one(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "groups:\n  g: {members: [a, bb]}\n  h: {members: [a]}\n")
    write("agents.d/a.yaml", "- {name: a, command: [x]}\n- {name: bbb, command: [x]}\n")
    assert errors(tmp_path) == [
        'asm.yaml:2:20: groups.g names "bb", which does not exist: did you mean bbb?',
        'asm.yaml:3:17: "a" is in groups.g and groups.h: put it into one of them',
    ]


def test_agents_have_a_maximum(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "agents_max: 1\n")
    write("agents.d/a.yaml", "- {name: a, command: [x]}\n- {name: b, command: [x]}\n")
    assert errors(tmp_path) == [
        (
            "agents.d/a.yaml:2:4: 2 agents; agents_max is 1: fewer agents, or a larger agents_max"
            " in asm.yaml"
        )
    ]


def test_cycles_across_files_are_named_once(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    for name, on in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "e")):
        write(f"agents.d/{name}.yaml", f"name: {name}\ncommand: [x]\ndependencies: [{on}]\n")
    assert errors(tmp_path) == [
        (
            "agents.d/a.yaml:3:16: a cycle of required dependencies: a -> b -> c -> a:"
            " make one of them optional"
        ),
        "agents.d/e.yaml:3:16: a cycle of required dependencies: e -> e: make one of them optional",
    ]


def test_a_yml_file_is_not_silently_left_out(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    write("agents.d/web.yml", "name: web\ncommand: [x]\n")
    assert errors(tmp_path) == ['agents.d: "web.yml" is not read: rename it to web.yaml']


def test_what_is_no_file_is_refused_and_never_waited_for(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    os.mkfifo(tmp_path / "agents.d/fifo.yaml")
    (tmp_path / "agents.d/folder.yaml").mkdir()
    (tmp_path / "agents.d/link.yaml").symlink_to("nowhere")
    assert errors(tmp_path) == [
        "agents.d/fifo.yaml: not a regular file: remove it from the folder",
        "agents.d/folder.yaml: not a regular file: remove it from the folder",
        (
            "agents.d/link.yaml: unable to read the file: No such file or directory:"
            " create it, or name another"
        ),
    ]


def test_too_many_files_are_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisord_asm.configuration.source.FILES_MAX", 1)
    write("asm.yaml", "")
    write("agents.d/a.yaml", "name: a\ncommand: [x]\n")
    write("agents.d/b.yaml", "name: b\ncommand: [x]\n")
    assert errors(tmp_path) == ["agents.d: 2 files: at most 1: put agents into lists"]


def test_a_path_that_leads_through_a_file_is_refused(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "agents_dir: asm.yaml/agents.d\n")
    assert errors(tmp_path) == ["asm.yaml/agents.d: unable to list: Not a directory: mend the path"]


@pytest.mark.parametrize(
    ("mode", "refused"),
    [(0o644, False), (0o600, False), (0o664, True), (0o646, True), (0o666, True)],
)
def test_a_file_that_others_may_write_is_refused(
    write: Write, tmp_path: Path, mode: int, refused: bool
) -> None:
    write("asm.yaml", "")
    path = write("agents.d/a.yaml", "name: a\ncommand: [x]\n")
    os.chown(path, 0, 0)
    path.chmod(mode)
    if refused:
        assert errors(tmp_path, as_anybody=False) == [
            f"agents.d/a.yaml: mode {mode:04o} lets others than root write: chmod go-w"
        ]
    else:
        assert len(load(tmp_path, as_anybody=False).agents) == 1


def test_a_file_that_is_not_roots_is_refused(write: Write, tmp_path: Path) -> None:
    path = write("asm.yaml", "")
    os.chown(path, 65534, 65534)
    assert errors(tmp_path, as_anybody=False) == ["asm.yaml: owned by uid 65534: chown root"]


def test_a_folder_that_others_may_write_is_refused(write: Write, tmp_path: Path) -> None:
    write("asm.yaml", "")
    (tmp_path / "agents.d").chmod(0o777)
    assert errors(tmp_path, as_anybody=False) == [
        "agents.d: mode 0777 lets others than root write: chmod go-w"
    ]
    # In a sticky folder others can add files but not replace root's; each is judged by itself.
    (tmp_path / "agents.d").chmod(0o1777)
    assert load(tmp_path, as_anybody=False).agents == ()
