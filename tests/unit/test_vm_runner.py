"""The parts of tests/vm that decide something, and the rule for C programs of tests."""

import os
from pathlib import Path

import pytest

from tests.kernel import programs
from tests.vm.cache import KEPT, Cache, digest
from tests.vm.command import summary_line


def write_one(folder: Path) -> None:
    """Build an entry."""
    (folder / "content").write_text("1")


def refuse(folder: Path) -> None:
    """Stand for a build that must not happen, or that is interrupted half-way."""
    (folder / "half").write_text("")
    raise KeyboardInterrupt


def test_an_entry_is_built_once_and_found_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    made = cache.entry("kind", digest("a"), write_one)
    assert (made / "content").read_text() == "1"
    assert cache.entry("kind", digest("a"), refuse) == made


def test_an_interrupted_build_leaves_no_entry_and_no_folder(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.entry("kind", digest("a"), refuse)
    assert [path.name for path in tmp_path.iterdir()] == [".kind.lock"]


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left, others = tmp_path / ".building-kind-x", tmp_path / ".building-other-x"
    left.mkdir()
    others.mkdir()
    Cache(tmp_path).entry("kind", digest("a"), write_one)
    assert not left.exists()
    assert others.exists()


def test_the_entry_that_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for number in range(KEPT):
        os.utime(cache.entry("kind", str(number), write_one), (number, number))
    cache.entry("kind", "0", refuse)
    cache.entry("kind", "new", write_one)
    kept = {path.name for path in tmp_path.glob("kind-*")}
    assert len(kept) == KEPT
    assert {"kind-0", "kind-new"} <= kept


def test_a_digest_tells_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("..F\n==== 1 failed, 2 passed in 3.21s ====\r\n", "1 failed, 2 passed in 3.21s"),
        ("12 passed in 0.31s\n", "12 passed in 0.31s"),
        ("1 passed in 1s\n!! Interrupted\n=== 3 errors in 4.00s ===\n", "3 errors in 4.00s"),
        ("vm: no wheel\n", None),
    ],
)
def test_the_summary_is_the_last_line_that_counts(output: str, line: str | None) -> None:
    assert summary_line(output) == line


def test_a_program_must_lie_in_a_folder_c_under_its_own_name(tmp_path: Path) -> None:
    stray = tmp_path / "stray.c"
    stray.write_text("int main(void) { return 0; }\n")
    with pytest.raises(ValueError, match="tests/"):
        programs.build("stray", stray)
    with pytest.raises(ValueError, match=r"c/other\.c"):
        programs.build("other", programs.TESTS / "kernel/c/syscall_door.c")


def test_where_programs_are_prebuilt_nothing_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = programs.TESTS / "kernel/c/syscall_door.c"
    monkeypatch.setenv("ASM_TEST_PROGRAMS", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FileNotFoundError, match="ASM_TEST_PROGRAMS"):
        programs.build("syscall_door", source)
    (tmp_path / "syscall_door").touch()
    assert programs.build("syscall_door", source) == tmp_path / "syscall_door"


def test_the_machine_gets_every_c_file_of_the_tests() -> None:
    names = [path.stem for path in programs.sources()]
    assert {"clone_into_cgroup", "syscall_door"} <= set(names)
    assert len(names) == len(set(names))
