"""What we cost: the arithmetic between two readings, and the text. The kernel's part is in
tests/kernel/test_cost.py.
"""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from supervisord_asm.core.cost import (
    MapReading,
    ProcessReading,
    ProgramReading,
    Reading,
    cost_between,
)
from supervisord_asm.view.cost_text import cost_text

SECOND = 1_000_000_000
MAPS = (MapReading("rows", 2048, 266_240), MapReading("tags", 1024, 82_960))
BEFORE = Reading(
    5 * SECOND,
    (ProgramReading(7, "sys_enter", 1_000, 10, 0, 4096),),
    (),
    {"asmd": ProcessReading(SECOND, None), "asm-keeper": ProcessReading(900, None)},
    1_000,
)
AFTER = Reading(
    7 * SECOND,
    (
        ProgramReading(7, "sys_enter", 1_000 + 43_000_000, 10 + 2_000_000, 3, 4096),
        ProgramReading(9, "sched_switch", 0, 0, 0, 4096),
    ),
    MAPS,
    {"asmd": ProcessReading(SECOND + 20_000_000, 48 << 20), "asm-keeper": ProcessReading(8, 99)},
    2_500,
)


def test_a_program_costs_its_time_over_the_interval() -> None:
    cost = cost_between(BEFORE, AFTER, cpus=4)
    program = cost.programs[0]
    assert cost.interval_ns == 2 * SECOND
    assert (program.run_count, program.run_time_ns) == (2_000_000, 43_000_000)
    assert program.runs_per_second == 1_000_000
    assert program.ns_per_run_milli == 21_500
    assert program.cpu_percent_milli == 2_150  # 43 ms of 2 s
    assert program.host_percent_milli == 537
    assert program.recursion_misses == 3


def test_a_program_that_did_not_run_has_no_time_per_run() -> None:
    program = cost_between(BEFORE, AFTER, cpus=4).programs[1]
    assert program.runs_per_second == 0
    assert program.ns_per_run_milli is None


def test_the_sum_is_of_all_programs() -> None:
    cost = cost_between(BEFORE, AFTER, cpus=4)
    assert cost.programs_sum.run_count == 2_000_000
    assert cost.programs_sum.recursion_misses == 3
    assert cost.programs_sum.memory_bytes == 8192
    assert cost.maps_memory_bytes == 349_200


def test_processes_cost_their_cpu_time_and_the_sampler_is_told_apart() -> None:
    processes = {item.name: item for item in cost_between(BEFORE, AFTER, cpus=4).processes}
    assert [*processes] == ["asmd", "asmd/sampler", "asm-keeper"]
    assert processes["asmd"].cpu_percent_milli == 1_000  # 20 ms of 2 s
    assert processes["asmd"].pss_bytes == 48 << 20
    assert processes["asmd/sampler"].cpu_ns == 1_500_000
    # A new one came in between: what it has used is all its own.
    assert processes["asm-keeper"].cpu_ns == 8


def test_without_statistics_times_are_unknown_and_misses_are_not() -> None:
    cost = cost_between(BEFORE, AFTER, 4, "the kernel says no")
    program = cost.programs[0]
    assert program.run_count is program.ns_per_run_milli is program.cpu_percent_milli is None
    assert program.recursion_misses == 3
    assert cost.programs_sum.run_time_ns is None
    text = cost_text(asdict(cost))
    assert "No times: the kernel says no\n" in text
    assert "clock reads" not in text


def test_the_text_says_what_the_figures_hold_and_what_not() -> None:
    text = cost_text(asdict(cost_between(BEFORE, AFTER, cpus=4)))
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert "Cost of Supervision over 2.0 s, 4 CPUs\n" in text
    assert rows["sys_enter"] == ["1000000", "21.5", "2.150%", "0.537%", "3", "4096"]
    assert rows["sched_switch"] == ["0", "-", "0.000%", "0.000%", "0", "4096"]
    assert rows["asmd/sampler"] == ["0.075%", "-"]
    assert rows["rows"] == ["2048", "266240"]
    assert "two clock reads per run" in text
    assert "before a program runs is not in it" in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=4),
    st.integers(1, 10**12),
    st.integers(1, 512),
)
def test_the_shares_of_the_parts_never_pass_the_share_of_the_sum(
    programs: list[tuple[int, int]], interval_ns: int, cpus: int
) -> None:
    readings = tuple(
        ProgramReading(number, "p", time_ns, count, 0, 0)
        for number, (time_ns, count) in enumerate(programs)
    )
    cost = cost_between(Reading(0), Reading(interval_ns, readings), cpus)
    parts = sum(item.cpu_percent_milli or 0 for item in cost.programs)
    whole = cost.programs_sum.cpu_percent_milli
    assert whole is not None
    assert whole - len(programs) <= parts <= whole  # each part is rounded down
    assert cost.programs_sum.host_percent_milli == whole // cpus
