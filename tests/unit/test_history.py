"""What events add up to."""

import pytest

from supervisord_asm.core.agent_history import agent_from_record, agent_to_record
from supervisord_asm.core.events import Event, EventType, Value
from supervisord_asm.core.history import (
    RECENT_MAX,
    RECORDED_ONLY,
    RETIRED_BATCH,
    RETIRED_MAX,
    History,
    apply,
    copy_history,
)
from supervisord_asm.core.history_record import history_from_record, history_to_record


class Story:
    """A history and a clock that ticks with every event."""

    def __init__(self) -> None:
        self.history = History()
        self.now_us = 0

    def tell(self, kind: EventType, agent_id: int, **data: Value) -> Event:
        self.now_us += 1
        event = Event(kind, agent_id, self.now_us, self.now_us * 1_000, data, "boot-1")
        apply(self.history, event)
        return event

    def run_once(self, agent_id: int, code: int | None = 0, signal: int | None = None) -> None:
        self.tell(EventType.SPAWN, agent_id)
        self.tell(EventType.STARTED, agent_id, pid=42, start_time_ticks=7, cgroup_id=9)
        crashed = code != 0
        self.tell(EventType.EXIT, agent_id, code=code, signal=signal, crashed=crashed)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_clean_life_is_counted_and_ends_stopped(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="worker")
    story.run_once(100)
    history, agent = story.history, story.history.agents[100]
    assert (history.total_spawns, history.total_exits, history.total_crashes) == (1, 1, 0)
    assert (agent.spawn_count, agent.exit_count, agent.crash_count) == (1, 1, 0)
    assert (agent.state, agent.alive, agent.pid) == ("stopping", False, None)
    story.tell(EventType.STOPPED, 100)
    assert agent.state == "stopped"
    assert history.events_total == 5
    assert history.active_agents == 0


def test_a_running_agent_is_known_by_its_whole_identity(story: Story) -> None:
    story.tell(EventType.SPAWN, 100, run=3)
    agent = story.history.agents[100]
    assert (agent.state, agent.alive, agent.pid) == ("starting", True, None)
    story.tell(EventType.STARTED, 100, run=3, pid=42, start_time_ticks=7, cgroup_id=9)
    assert (agent.pid, agent.start_time_ticks, agent.cgroup_id) == (42, 7, 9)
    assert (agent.run, agent.boot_id, agent.state) == (3, "boot-1", "active")
    assert story.history.active_agents == 1


def test_an_identity_may_come_with_the_spawn(story: Story) -> None:
    story.tell(EventType.SPAWN, 100, run=1, pid=42, start_time_ticks=7, cgroup_id=9)
    agent = story.history.agents[100]
    assert (agent.pid, agent.start_time_ticks, agent.cgroup_id) == (42, 7, 9)


def test_the_last_exit_tells_code_signal_cause_and_run(story: Story) -> None:
    story.tell(EventType.SPAWN, 100, run=4)
    exit_event = story.tell(
        EventType.EXIT, 100, code=None, signal=11, cause="signal", run=4, crashed=True
    )
    agent = story.history.agents[100]
    assert agent.last_exit_code is None
    assert (agent.last_exit_signal, agent.last_exit_cause) == (11, "signal")
    assert (agent.last_exit_run, agent.last_exit_us) == (4, exit_event.timestamp_us)
    assert agent.last_exit_realtime_ns == exit_event.realtime_ns
    assert story.history.total_crashes == 1


@pytest.mark.parametrize(
    ("data", "crashes"),
    [
        ({"code": 0}, 0),
        ({"code": 139}, 1),
        ({"code": None, "signal": 11}, 1),
        ({"code": None, "signal": None}, 0),
        ({"code": 0, "crashed": True}, 1),
        ({"code": None, "signal": 15, "crashed": False}, 0),
        ({}, 0),
    ],
)
def test_a_crash_is_what_the_exit_says_or_else_a_signal_or_a_code(
    story: Story, data: dict[str, Value], crashes: int
) -> None:
    story.tell(EventType.EXIT, 100, **data)
    assert story.history.total_crashes == crashes


def test_failed_and_the_limiters_count_are_restored_by_replay(story: Story) -> None:
    for attempt in (1, 2):
        story.run_once(100, code=1)
        story.tell(EventType.RESTART, 100, attempt=attempt, max_restarts=2, charged=True)
    story.run_once(100, code=1)
    story.tell(EventType.FAILED, 100, reason="restart limit")
    agent = story.history.agents[100]
    assert (agent.state, agent.restart_count, agent.total_restarts) == ("failed", 2, 2)
    assert (agent.crash_count, story.history.total_restarts) == (3, 2)
    story.tell(EventType.RESET, 100, by="root")
    assert (agent.state, agent.restart_count, agent.total_restarts) == ("stopped", 0, 2)


def test_a_stable_run_forgives_and_changes_no_state(story: Story) -> None:
    story.run_once(100, code=1)
    story.tell(EventType.RESTART, 100, attempt=1)
    story.tell(EventType.SPAWN, 100)
    story.tell(EventType.STARTED, 100)
    agent = story.history.agents[100]
    assert agent.restart_count == 1
    story.tell(EventType.RESTART_DECAY, 100)
    assert (agent.restart_count, agent.total_restarts, agent.state) == (0, 1, "active")


def test_a_start_by_hand_begins_the_count_anew_and_one_by_policy_does_not(story: Story) -> None:
    story.run_once(100, code=1)
    story.tell(EventType.RESTART, 100, attempt=1)
    story.run_once(100, code=1)
    assert story.history.agents[100].restart_count == 1
    story.tell(EventType.FAILED, 100)
    story.tell(EventType.SPAWN, 100)
    assert story.history.agents[100].restart_count == 0


def test_an_uncharged_restart_keeps_the_limiters_count(story: Story) -> None:
    story.run_once(100, code=1)
    story.tell(EventType.RESTART, 100, attempt=1, charged=True)
    story.run_once(100)
    story.tell(EventType.RESTART, 100, attempt=1, charged=False)
    agent = story.history.agents[100]
    assert (agent.restart_count, agent.total_restarts) == (1, 2)


def test_a_stop_in_backoff_ends_stopped(story: Story) -> None:
    story.run_once(100, code=1)
    story.tell(EventType.RESTART, 100, attempt=1)
    story.tell(EventType.STOP, 100, by="root")
    assert story.history.agents[100].state == "stopping"
    story.tell(EventType.STOPPED, 100)
    assert story.history.agents[100].state == "stopped"


def test_a_started_that_comes_after_the_stop_wakes_nothing(story: Story) -> None:
    story.tell(EventType.SPAWN, 100)
    story.tell(EventType.STOP, 100)
    story.tell(EventType.STARTED, 100)
    assert story.history.agents[100].state == "stopping"


def test_the_last_ten_faults_are_kept_and_all_are_counted(story: Story) -> None:
    for number in range(12):
        story.tell(EventType.FAULT, 100, fault="CpuQuotaExceeded", number=number)
    agent = story.history.agents[100]
    assert (agent.fault_count, story.history.total_faults) == (12, 12)
    assert [fault.data["number"] for fault in agent.recent_faults] == list(range(2, 12))


def test_the_ring_keeps_the_newest_events_and_the_total_counts_all(story: Story) -> None:
    for number in range(1200):
        story.tell(EventType.NOTE, 0, number=number)
    assert len(story.history.recent) == RECENT_MAX == 1024
    assert story.history.recent[-1].data["number"] == 1199
    assert story.history.recent[0].data["number"] == 1200 - 1024
    assert story.history.events_total == 1200


def test_lifetime_figures_grow_and_are_never_taken_back(story: Story) -> None:
    story.tell(EventType.SPAWN, 100)
    agent = story.history.agents[100]
    assert (agent.cpu_time_us, agent.syscall_count, agent.peak_memory_bytes) == (None, None, None)
    story.tell(EventType.STOPPED, 100, cpu_time_us=5, syscall_count=0, peak_memory_bytes=9)
    story.tell(EventType.FAILED, 100, cpu_time_us=7, peak_memory_bytes=3)
    story.tell(EventType.SPAWN, 100, syscall_count=None)
    assert (agent.cpu_time_us, agent.syscall_count, agent.peak_memory_bytes) == (7, 0, 9)


# -- Ids and names.


def test_ids_are_given_out_from_1000_and_above_every_id_seen(story: Story) -> None:
    assert story.history.next_agent_id == 1000
    story.tell(EventType.REGISTER, 100, name="given")
    assert story.history.next_agent_id == 1000
    story.tell(EventType.REGISTER, 1000, name="first")
    assert story.history.next_agent_id == 1001
    story.tell(EventType.STOPPED, 5000)  # also one that has no row
    assert story.history.next_agent_id == 5001


def test_a_name_is_free_again_after_retire_and_the_id_is_not(story: Story) -> None:
    story.tell(EventType.REGISTER, 1000, name="job")
    story.run_once(1000)
    story.tell(EventType.RETIRE, 1000)
    assert "job" not in story.history.ids_by_name
    assert story.history.agents[1000].retired
    assert story.history.agents[1000].spawn_count == 1
    new_id = story.history.next_agent_id
    story.tell(EventType.REGISTER, new_id, name="job")
    assert story.history.ids_by_name["job"] == new_id == 1001
    assert story.history.agents[1001].spawn_count == 0


def test_a_rename_frees_the_old_name(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="old")
    story.tell(EventType.REGISTER, 100, name="new")
    assert story.history.ids_by_name == {"new": 100}


def test_rows_of_the_retired_are_bounded_and_their_syscalls_are_kept(story: Story) -> None:
    for number in range(3 * RETIRED_MAX):
        agent_id = 1000 + number
        story.tell(EventType.REGISTER, agent_id, name=f"job-{number}", transient=True)
        story.tell(EventType.SPAWN, agent_id)
        story.tell(EventType.STOPPED, agent_id, syscall_count=10)
        story.tell(EventType.RETIRE, agent_id)
        assert len(story.history.agents) <= RETIRED_MAX
    history = story.history
    assert history.retired_rows == len(history.agents) > RETIRED_MAX - RETIRED_BATCH
    assert max(history.agents) == 1000 + 3 * RETIRED_MAX - 1
    assert history.syscalls_beside(()) == 30 * RETIRED_MAX
    assert history.syscalls_beside({max(history.agents)}) == 30 * RETIRED_MAX - 10
    assert not history.ids_by_name
    # One that was read from its tables goes on alike.
    copy = history_from_record(history_to_record(history))
    assert copy.retired_rows == history.retired_rows
    for number in range(RETIRED_BATCH):
        event = story.tell(EventType.REGISTER, 9000 + number, name="next")
        apply(copy, event)
    assert copy.agents == history.agents
    assert copy.syscalls_forgotten == history.syscalls_forgotten


def test_an_agent_that_comes_back_is_no_longer_counted_as_retired(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="worker")
    story.tell(EventType.RETIRE, 100)
    story.tell(EventType.RETIRE, 100)
    assert story.history.retired_rows == 1
    story.tell(EventType.REGISTER, 100, name="worker")
    assert story.history.retired_rows == 0
    story.tell(EventType.RETIRE, 100)
    story.tell(EventType.COMPACTION, 0, before_realtime_ns=10**18)
    assert story.history.retired_rows == 0


def test_registering_a_name_that_is_held_retires_the_holder(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="one")
    story.history.changed.clear()
    story.tell(EventType.REGISTER, 101, name="one")
    assert story.history.ids_by_name == {"one": 101}
    assert story.history.agents[100].retired
    assert story.history.changed == {100, 101}


def test_a_spelled_id_that_comes_back_keeps_its_counts(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="one")
    story.run_once(100)
    story.tell(EventType.RETIRE, 100)
    story.tell(EventType.REGISTER, 100, name="one")
    agent = story.history.agents[100]
    assert (agent.retired, agent.retired_realtime_ns, agent.spawn_count) == (False, None, 1)
    assert story.history.ids_by_name == {"one": 100}


def test_a_compaction_forgets_who_was_retired_before_it(story: Story) -> None:
    for agent_id, name in ((1000, "old"), (1001, "kept"), (1002, "late")):
        story.tell(EventType.REGISTER, agent_id, name=name)
    story.tell(EventType.RETIRE, 1000)
    before = (story.now_us + 1) * 1_000
    story.tell(EventType.RETIRE, 1002)
    story.history.changed.clear()
    story.tell(EventType.COMPACTION, 0, before_realtime_ns=before)
    assert set(story.history.agents) == {1001, 1002}
    assert story.history.changed == {1000}
    assert story.history.next_agent_id == 1003


# -- Unknown agents, odd data.


@pytest.mark.parametrize("kind", list(EventType))
@pytest.mark.parametrize("agent_id", [0, 77])
@pytest.mark.parametrize(
    "data",
    [{}, {"run": "x", "pid": [1], "name": 5, "code": "0", "attempt": True, "crashed": 1}],
)
def test_no_event_breaks_the_fold(
    story: Story, kind: EventType, agent_id: int, data: dict[str, Value]
) -> None:
    story.tell(kind, agent_id, **data)
    story.tell(kind, agent_id, **data)
    assert story.history.events_total == 2
    makes_row = kind in (EventType.REGISTER, EventType.SPAWN, EventType.FAULT) and agent_id != 0
    assert set(story.history.agents) == ({agent_id} if makes_row else set())


def test_an_exit_of_an_unknown_agent_counts_in_the_totals_only(story: Story) -> None:
    story.tell(EventType.EXIT, 100, code=1)
    assert (story.history.total_exits, story.history.total_crashes) == (1, 1)
    assert story.history.agents == {}


def test_events_that_only_stand_in_the_record_change_no_row(story: Story) -> None:
    story.tell(EventType.REGISTER, 100, name="one")
    story.history.changed.clear()
    for kind in RECORDED_ONLY:
        story.tell(kind, 100)
    assert story.history.changed == set()
    assert {EventType.NOTE, EventType.DAEMON_START, EventType.POLICY_CHANGE} <= RECORDED_ONLY


# -- Copies and JSON.


def lived(story: Story) -> History:
    story.tell(EventType.REGISTER, 100, name="one")
    story.run_once(100, code=None, signal=9)
    story.tell(EventType.FAULT, 100, fault="Crashed", description="Agent crashed")
    story.tell(EventType.RESTART, 100, attempt=1)
    story.tell(EventType.REGISTER, 1000, name="two")
    story.tell(EventType.RETIRE, 1000)
    return story.history


def test_a_copy_is_equal_and_shares_nothing(story: Story) -> None:
    history = lived(story)
    copy = copy_history(history)
    assert copy == history
    story.tell(EventType.FAULT, 100, fault="again")
    story.tell(EventType.REGISTER, 7, name="three")
    assert len(copy.agents[100].recent_faults) == 1
    assert 7 not in copy.agents
    assert "three" not in copy.ids_by_name
    assert copy.recent[-1].type is EventType.RETIRE


def test_a_history_reads_back_from_json_without_its_ring(story: Story) -> None:
    history = lived(story)
    back = history_from_record(history_to_record(history))
    assert back.recent.maxlen == RECENT_MAX
    back.recent.extend(history.recent)
    assert back == history


def test_a_row_with_a_missing_field_is_refused(story: Story) -> None:
    record = agent_to_record(lived(story).agents[100])
    del record["run"]
    with pytest.raises(KeyError):
        agent_from_record(record)
