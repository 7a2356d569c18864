"""A loss is shown wherever the figure stands that is too low for it.

The loss is real: the counting programs find a tag that leads to no row, and count that. How a tag
can go astray does not matter here; the test writes one into the pinned map.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from tests.kernel.daemon_host import Host, eventually, hosted, sh
from tests.kernel.programs import build

STRAY = Path(__file__).parent / "c" / "stray_tag.c"
SLOT_BEYOND = 1_000_000


@pytest.fixture
def host() -> Iterator[Host]:
    with hosted() as made:
        yield made
        made.print_logs()


def losses(host: Host) -> int:
    """Return what the daemon says could not be counted."""
    return int(host.system()["drops"].get("row_missing", 0))


def lead_astray(host: Host, agent: str) -> None:
    """Have the programs count the agent into a row that is not there."""
    cgroup = host.info(agent)["cgroup"]
    number = Path(cgroup).stat().st_ino
    words = (build("stray_tag", STRAY), host.paths.bpffs / "map_tags", number, SLOT_BEYOND)
    subprocess.run(list(map(str, words)), check=True, timeout=10)
    # Each CPU remembers whom it counts until some slot is bound anew.
    host.act(Control.START, "second")


def test_what_could_not_be_counted_is_shown_wherever_the_figures_are(host: Host) -> None:
    host.write_agent("busy", sh("while :; do /bin/true; done"), agent_id=100)
    host.write_agent("second", sh("exec sleep 1000"), agent_id=101, start="manual")
    host.start()
    host.wait_state("busy", "active")
    host.wait_tree()
    assert losses(host) == 0
    assert "Dropped" not in host.ctl(name="asmstatus").stdout

    lead_astray(host, "busy")
    eventually(lambda: losses(host), "the loss is counted")

    line, marked = "row_missing: ", " (of all agents)"
    for text in (host.ctl(name="asmstatus").stdout, tree(host, "status"), tree(host, "resources")):
        assert "Dropped Records:" in text
        assert line in text
        assert marked not in text
    for name in ("agents/100/status", "agents/100/resources", "agents/101/resources"):
        text = tree(host, name)
        assert line in text
        assert marked in text
    assert line in host.ctl("resources").stdout
    assert line in host.ctl("resources", "100").stdout
    shown = host.ctl("100", name="asminfo").stdout
    assert line in shown
    assert marked in shown
    for printed in (
        json.loads(host.ctl("100", "--json", name="asminfo").stdout),
        host.info("second"),
        host.control(Control.RESOURCES, agent="busy"),
        host.control(Control.RESOURCES)["system"],
        host.agents()["busy"],
        json.loads(host.ctl("--json", name="asmstatus").stdout)["system"],
    ):
        assert record(printed)["row_missing"] > 0
    check = next(
        item
        for item in host.control(Control.DOCTOR)["checks"]
        if item["name"] == "drops: row_missing"
    )
    assert check["state"] == "off"
    assert int(check["source"]) > 0
    assert json.loads(tree(host, "telemetry"))["system"]["dropped_records"] > 0


def tree(host: Host, name: str) -> str:
    """Read a file of the tree, when it has come to show the loss."""
    path = host.paths.fuse / name

    def look() -> str:
        with contextlib.suppress(OSError):
            text = path.read_text()
            return text if "row_missing" in text or name == "telemetry" else ""
        return ""

    return eventually(look, f"{name} shows the loss")


def record(printed: dict[str, Any]) -> dict[str, int]:
    """Return the drops of a JSON answer."""
    drops = printed.get("drops") or printed["agent"]["drops"]
    assert isinstance(drops, dict)
    return drops
