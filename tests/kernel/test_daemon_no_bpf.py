"""A daemon whose backend cannot work: it says why, keeps its agents, and shows no count as 0."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.daemon_host import Host, hosted


@pytest.fixture
def host() -> Iterator[Host]:
    """Give a host; its daemon is started by the test."""
    with hosted() as made:
        made.may_complain = True  # the compiler's words are in its log
        yield made


@pytest.mark.parametrize("headers", ["none", "unusable"])
def test_bcc_without_headers_is_off_with_its_reason(
    host: Host, tmp_path: Path, headers: str
) -> None:
    """Found out before anything is compiled, or by the compiler."""
    if headers == "unusable":
        (tmp_path / "include").mkdir()
    host.environment["BCC_KERNEL_SOURCE"] = str(tmp_path)
    host.write_settings(probes="bcc")
    host.write_agent("worker", ["/bin/sleep", "1000"])
    host.start()
    host.wait_state("worker", "active")
    checks: list[dict[str, Any]] = json.loads(host.ctl("doctor", "--json").stdout)["checks"]
    by_name = {check["name"]: check for check in checks}
    for name in ("counting", "syscalls", "network", "bpf"):
        assert by_name[name]["state"] == "off", name
        assert by_name[name]["why"], name
    view = host.info("worker")
    assert view["syscall_count"] is None
    assert view["fork_count"] is None
