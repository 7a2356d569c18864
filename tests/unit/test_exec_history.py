"""What an agent ran, as it is kept: starts, ends, replacements, and the bound."""

from supervisord_asm.core.exec_history import LENGTH, ExecHistory


def test_a_process_is_a_record_with_its_end() -> None:
    history = ExecHistory()
    history.begin(7, "/bin/true", "true", 100)
    (running,) = history.records()
    assert running.ended_us is None
    history.end(7, 3 << 8, 150)
    (record,) = history.records()
    assert record.to_json() == {
        "pid": 7, "program": "/bin/true", "comm": "true", "started_us": 100, "ended_us": 150,
        "exit_code": 3, "exit_signal": None, "replaced": False,
    }  # fmt: skip
    assert history.total == 1


def test_a_signal_with_a_core_dump_is_a_signal() -> None:
    history = ExecHistory()
    history.begin(7, "/bin/a", "a", 1)
    history.end(7, 0x80 | 11, 2)
    record = history.records()[0].to_json()
    assert (record["exit_code"], record["exit_signal"]) == (None, 11)


def test_a_program_that_executes_another_is_replaced_by_it() -> None:
    history = ExecHistory()
    history.begin(7, "/usr/lib/asm-exec", "asm-exec", 100)
    history.begin(7, "/bin/sh", "sh", 120)
    history.end(7, 9, 200)
    first, second = history.records()
    assert (first.is_replaced, first.ended_us, first.status) == (True, 120, None)
    assert (second.is_replaced, second.ended_us, second.status) == (False, 200, 9)


def test_a_pid_that_is_used_again_is_another_record() -> None:
    history = ExecHistory()
    for start_us in (100, 200):
        history.begin(7, "/bin/true", "true", start_us)
        history.end(7, 0, start_us + 10)
    assert [(r.started_us, r.ended_us, r.is_replaced) for r in history.records()] == [
        (100, 110, False), (200, 210, False),
    ]  # fmt: skip


def test_an_end_without_a_start_changes_nothing() -> None:
    history = ExecHistory()
    history.end(7, 0, 100)
    assert history.records() == []
    assert history.total == 0


def test_only_the_last_are_kept_and_a_forgotten_ones_end_is_nobodys() -> None:
    history = ExecHistory()
    for pid in range(1, LENGTH + 3):
        history.begin(pid, f"/bin/p{pid}", f"p{pid}", pid)
    assert [record.pid for record in history.records()] == list(range(3, LENGTH + 3))
    assert history.total == LENGTH + 2
    history.end(1, 0, 1000)
    assert all(record.ended_us is None for record in history.records())
    history.end(3, 0, 1000)
    assert history.records()[0].ended_us == 1000


def test_a_forgotten_start_does_not_take_its_successor_with_it() -> None:
    """The first program's record goes while the second of the same process is kept."""
    history = ExecHistory(length=2)
    history.begin(7, "/bin/a", "a", 1)
    history.begin(7, "/bin/b", "b", 2)
    history.begin(8, "/bin/c", "c", 3)
    history.end(7, 0, 4)
    assert [(r.program, r.ended_us) for r in history.records()] == [("/bin/b", 4), ("/bin/c", None)]


def test_when_nothing_is_left_what_seemed_to_run_has_ended_somehow() -> None:
    history = ExecHistory()
    history.begin(7, "/bin/a", "a", 1)
    history.end_all(50)
    (record,) = history.records()
    assert (record.ended_us, record.status, record.is_replaced) == (50, None, False)
    history.end(7, 0, 60)
    assert record.ended_us == 50


def test_nothing_grows_over_a_hundred_thousand_processes() -> None:
    history = ExecHistory()
    for pid in range(100_000):
        history.begin(pid, "/bin/true", "true", pid)  # no end is ever told
    assert len(history.records()) == LENGTH
    assert len(history._running) == LENGTH
