"""What holds for every test: who may run it, and that it leaves nothing behind.

Tests of the real kernel lie in tests/kernel and tests/clients; they get the marker `kernel` here,
so that no file can forget it. Without root they fail with one line, since a skip would look green.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
KERNEL_FOLDERS = (TESTS / "kernel", TESTS / "clients")
# What another kernel can change most: births, counting, cgroups, identity. The VM, 15 times slower
# and given six minutes, runs these; `make test-vm ALL=1` runs everything there.
EVERY_KERNEL_FILES = frozenset(
    {
        "test_bcc.py", "test_cgroupfs.py", "test_counting.py", "test_counting_calls.py",
        "test_counting_execs.py", "test_counting_faults.py", "test_counting_network.py",
        "test_counting_pins.py", "test_counting_sampler.py", "test_counting_support.py",
        "test_exec.py", "test_figures.py", "test_figures_controllers.py", "test_identity.py",
        "test_keeper_daemon.py", "test_keeper_peer.py", "test_mounts.py", "test_parity.py",
        "test_platform.py",
    }
)  # fmt: skip

# A shared, slow machine: time limits of single examples say more about it than about the code.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("ASM_HYPOTHESIS", "here"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what lies in the kernel folders, and what only the host runs; leave out a backend.

    A counting test is collected once for each backend. `bcc` is for a kernel without BTF, and
    wants its headers: the VM's suite bcc sets ASM_TEST_BACKEND. Everywhere else it is `core`.
    """
    other = "core" if os.environ.get("ASM_TEST_BACKEND") == "bcc" else "bcc"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(other)]
    for item in items:
        if any(folder in item.path.parents for folder in KERNEL_FOLDERS):
            item.add_marker("kernel")
            if item.path.name not in EVERY_KERNEL_FILES:
                item.add_marker("host")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a kernel test without root."""
    if item.get_closest_marker("kernel") and os.geteuid() != 0:
        pytest.fail("needs root: it makes cgroups, mounts and users' processes", pytrace=False)


def leftovers(pid: int) -> list[str]:
    """Name the cgroups and mounts of the test run `pid` that still exist."""
    name = f"asm-test-{pid}"
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = [line.split()[1] for line in mounts if name in line]
    for root in (line.split()[1] for line in mounts if line.split()[2] == "cgroup2"):
        found += [str(path) for path in Path(root).glob(f"{name}*")]
    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail the session's last test when a cgroup or mount named after this run is still there."""
    yield
    assert leftovers(os.getpid()) == [], "the tests left cgroups or mounts behind"
