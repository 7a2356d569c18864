"""Run against lifetime in the daemon: over a restart, a kill -9 of asmd, a stop and a start."""

from collections.abc import Iterator
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.core.figures import COUNTERS
from tests.kernel.daemon_host import Host, eventually, hosted, sh

# Works until there is a file "go", and says how many children it has had.
FORKS = 40
WORKS = sh(
    f"i=0; while [ $i -lt {FORKS} ]; do i=$((i+1)); /bin/true; done; touch done;"
    " until [ -e go ]; do sleep 0.02; done; rm go; exit 1"
)
AT_ONCE = {"kind": "always", "max": 100, "backoff": "10ms"}
# Both directions of time: what grows, and what could be asked for in between.
COMPARED = tuple(name for name in COUNTERS if not name.endswith("pressure_us"))


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as host:
        yield host


def wait_done(host: Host) -> dict[str, Any]:
    """Wait until the present run has done its work, forget that it has, and return the view."""
    done = host.paths.agent_state("worker") / "done"
    eventually(done.exists, "the run's work")
    done.unlink()
    return host.wait_view("worker", lambda view: view["run"]["fork_count"] >= FORKS, "its forks")


def end_run(host: Host) -> None:
    """Let the present run end; a restart follows."""
    (host.paths.agent_state("worker") / "go").touch()


def earlier(view: dict[str, Any]) -> dict[str, int]:
    """Return what the agent used in the runs before this one."""
    return {name: view[name] - view["run"][name] for name in COMPARED if view[name] is not None}


def lasting(figures: dict[str, int]) -> dict[str, int]:
    """Leave out what asmd alone knows without an io controller: the blocks of ended processes."""
    return {name: count for name, count in figures.items() if not name.startswith("block_")}


def test_a_restart_begins_a_run_and_goes_on_with_the_lifetime(host: Host) -> None:
    host.write_agent("worker", WORKS, agent_id=100, restart=AT_ONCE)
    host.start()
    first = wait_done(host)
    assert all(count == 0 for count in earlier(first).values())
    assert {"cpu_time_us", "fork_count", "page_fault_count"} <= earlier(first).keys()
    end_run(host)
    second = wait_done(host)
    assert second["spawn_count"] == 2
    before = earlier(second)
    for name, count in before.items():
        # At the end of the first run it had used at least what it had when we looked.
        assert count >= first["run"][name], name
        assert second[name] >= count, name
    assert FORKS <= second["run"]["fork_count"] < 2 * FORKS
    assert second["fork_count"] >= 2 * FORKS
    # The same program again: about as much, and in no case both runs'.
    assert second["run"]["exec_count"] <= first["run"]["exec_count"] + 5


def test_an_adopted_run_keeps_its_figures_apart(host: Host) -> None:
    host.write_agent("worker", WORKS, agent_id=100, restart=AT_ONCE)
    host.start()
    wait_done(host)
    end_run(host)
    old = wait_done(host)
    for _ in range(2):
        host.kill_asmd()
        new = host.info("worker")
        assert (new["pid"], new["spawn_count"]) == (old["pid"], 2)
        assert lasting(earlier(new)) == lasting(earlier(old))
        for name in lasting(earlier(new)):
            assert new["run"][name] >= old["run"][name], name
        old = new
    # And the next run, ordered by an asmd that has seen only the end of this one.
    end_run(host)
    third = wait_done(host)
    assert FORKS <= third["run"]["fork_count"] < 2 * FORKS
    assert third["fork_count"] >= 3 * FORKS


def test_a_lifetime_outlasts_the_cgroup_and_asmd(host: Host) -> None:
    """A stop removes the cgroup: its counts live on in the record, and the next run adds to it."""
    host.write_agent("worker", WORKS, agent_id=100)
    host.start()
    wait_done(host)
    host.act(Control.STOP, "worker")
    stopped = host.info("worker")
    assert stopped["fork_count"] >= FORKS
    assert earlier(stopped) == dict.fromkeys(earlier(stopped), 0)  # that was the first run
    host.kill_asmd()
    remembered = host.info("worker")
    for name in COMPARED:
        assert remembered[name] == stopped[name], name
        assert remembered["run"][name] == stopped["run"][name], name
    host.act(Control.START, "worker")
    second = wait_done(host)
    assert earlier(second) == {name: stopped[name] for name in earlier(second)}
    host.kill_asmd()
    assert lasting(earlier(host.info("worker"))) == lasting(earlier(second))


def test_a_killed_agents_cgroup_is_replaced_and_its_counts_are_kept(host: Host) -> None:
    """kill empties the cgroup for good (docs/decisions/0010): the next run gets a new one."""
    host.write_agent("worker", WORKS, agent_id=100)
    host.start()
    first = wait_done(host)
    host.act(Control.KILL, "worker")
    host.act(Control.START, "worker")
    second = wait_done(host)
    assert second["spawn_count"] == 2
    for name, count in earlier(second).items():
        assert count >= first["run"][name], name
    assert second["run"]["fork_count"] < 2 * FORKS
