"""The mapped counts: what survives a restart, a reboot, a broken file, and that it is bounded."""

from pathlib import Path

import pytest

from supervisord_asm.store.tallies import COUNT_MAX, NOTHING, Tallies, Tally


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tallies"


def test_counts_add_up_and_outlive_who_counted(path: Path) -> None:
    tallies = Tallies(path, 4, "boot")
    assert tallies.get(100) == NOTHING
    assert tallies.beat(100, 7)
    assert tallies.beat(100, 9)
    assert tallies.count_tool_call(100, 1500, 20)
    assert tallies.count_tool_call(101, 0, 0)
    # Not closed: a killed process closes nothing either.
    again = Tallies(path, 4, "boot")
    assert again.get(100) == Tally(2, 9, 1, 1500, 20)
    assert again.get(101) == Tally(tool_call_count=1)
    again.close()
    tallies.close()


def test_another_boot_keeps_the_counts_and_forgets_the_time(path: Path) -> None:
    Tallies(path, 4, "one").beat(100, 7)
    assert Tallies(path, 4, "two").get(100) == Tally(1, None)
    assert Tallies(path, 4, "two").get(100) == Tally(1, None)


def test_a_full_table_says_so_and_a_freed_row_begins_at_zero(path: Path) -> None:
    tallies = Tallies(path, 2, "boot")
    assert tallies.beat(1, 1)
    assert tallies.beat(2, 1)
    assert not tallies.beat(3, 1)
    tallies.forget(1)
    tallies.forget(1)
    assert tallies.beat(3, 5)
    assert tallies.get(3) == Tally(1, 5)
    tallies.keep_only({2})
    assert (tallies.get(2), tallies.get(3)) == (Tally(1, 1), NOTHING)


def test_a_larger_table_keeps_what_a_smaller_one_had(path: Path) -> None:
    small = Tallies(path, 1, "boot")
    small.beat(1, 1)
    small.close()
    large = Tallies(path, 3, "boot")
    assert large.get(1) == Tally(1, 1)
    assert all(large.beat(agent_id, 1) for agent_id in (2, 3))
    large.close()
    assert Tallies(path, 1, "boot").get(3) == Tally(1, 1)


def test_a_count_does_not_turn_over(path: Path) -> None:
    tallies = Tallies(path, 1, "boot")
    for _ in range(2):
        tallies.count_tool_call(1, COUNT_MAX - 1, 3)
    assert tallies.get(1) == Tally(0, None, 2, COUNT_MAX, 6)


@pytest.mark.parametrize("content", [b"", b"ASMTALLY", b"x" * 1000, b"ASMTALLY" + bytes(120)])
def test_a_file_that_is_not_ours_begins_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    tallies = Tallies(path, 2, "boot")
    assert tallies.beat(1, 1)
    tallies.close()
    assert path.stat().st_size == 64 * 3
    assert Tallies(path, 2, "boot").get(1) == Tally(1, 1)


def test_a_file_that_was_cut_off_begins_anew(path: Path) -> None:
    Tallies(path, 2, "boot").beat(1, 1)
    with path.open("r+b") as file:
        file.truncate(100)
    assert Tallies(path, 2, "boot").get(1) == NOTHING
