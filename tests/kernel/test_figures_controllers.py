"""Figures of a host with controllers, from their files' own text: Linux 6.12, cgroup-v2.rst.

The development machine has no controller on cgroup2, and the VMs that have them are not everywhere.
The sampler is given a folder in place of a cgroup: to it that is a directory with files.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from supervisord_asm.kernel.sampler import MEMORY_SOURCES, Row, Sampler

SLOT = 1
FILES = {
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 0\n",
    "cgroup.procs": "",
    "memory.current": "94371840\n",
    "memory.peak": "104857600\n",
    "memory.stat": (
        "anon 41943040\nfile 31457280\nkernel 1048576\nkernel_stack 65536\npagetables 131072\n"
        "sec_pagetables 0\npercpu 1024\nsock 0\nvmalloc 0\nshmem 10485760\nzswap 0\n"
        "zswapped 0\nfile_mapped 8192\nfile_dirty 0\nfile_writeback 0\nanon_thp 2097152\n"
        "file_thp 0\nshmem_thp 0\ninactive_anon 52428800\ninactive_file 20971520\n"
    ),
    "io.stat": (
        "254:0 rbytes=4096 wbytes=8388608 rios=1 wios=8 dbytes=0 dios=0\n"
        "8:16 rbytes=1000 wbytes=24 rios=3 wios=1 dbytes=512 dios=1 cost.vrate=100.00\n"
        "7:0 \n"
    ),
    "cpu.pressure": (
        "some avg10=0.00 avg60=1.25 avg300=0.50 total=123456\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    ),
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with all of the files."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    """Give a sampler that does not run by itself."""
    with closing(Sampler(None, 4)) as made:
        yield made


def sampled(sampler: Sampler, folder: Path) -> Row:
    """Add the folder as an agent's cgroup and measure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    sampler.add(SLOT, 1, fd)
    os.close(fd)
    sampler.sample_now(SLOT)
    return sampler.row(SLOT)


def test_controllers_are_the_source_where_they_are(sampler: Sampler, folder: Path) -> None:
    row = sampled(sampler, folder)
    assert MEMORY_SOURCES[row.memory_source] == "cgroup"
    assert (row.memory_bytes, row.peak_memory_bytes) == (94371840, 104857600)
    assert (row.memory_anon_bytes, row.memory_shmem_bytes) == (41943040, 10485760)
    assert row.memory_file_bytes == 31457280 - 10485760  # "file" holds shmem too
    assert (row.block_read_bytes, row.block_write_bytes) == (5096, 8388632)
    assert (row.cpu_pressure_us, row.memory_pressure_us, row.io_pressure_us) == (123456, 0, 42)
    assert (row.process_count, row.thread_count, row.socket_count) == (0, 0, 0)
    assert sampler.figures().failures == 0


@pytest.mark.parametrize(
    ("missing", "absent"),
    [
        ("cpu.pressure", "cpu_pressure_us"),
        ("memory.pressure", "memory_pressure_us"),
        ("io.pressure", "io_pressure_us"),
    ],
)
def test_without_psi_pressure_is_absent_and_nothing_failed(
    sampler: Sampler, folder: Path, missing: str, absent: str
) -> None:
    (folder / missing).unlink()
    row = sampled(sampler, folder)
    assert getattr(row, absent) is None
    assert [name for name in row._fields if name.endswith("pressure_us")
            and getattr(row, name) is not None] != []  # fmt: skip
    assert sampler.figures().failures == 0


@pytest.mark.parametrize(
    ("file", "figure"), [("cpu.pressure", "cpu_pressure_us"), ("memory.stat", "memory_anon_bytes")]
)
def test_a_file_that_is_not_understood_is_a_failure_and_no_figure(
    sampler: Sampler, folder: Path, file: str, figure: str
) -> None:
    (folder / file).write_text("something else\n")
    assert getattr(sampled(sampler, folder), figure) is None
    assert sampler.figures().failures == 1


def test_counters_never_go_back(sampler: Sampler, folder: Path) -> None:
    before = sampled(sampler, folder)
    (folder / "io.stat").write_text("254:0 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n")
    (folder / "io.pressure").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
    sampler.sample_now(SLOT)
    after = sampler.row(SLOT)
    assert after.block_read_bytes == before.block_read_bytes
    assert after.block_write_bytes == before.block_write_bytes
    assert after.io_pressure_us == before.io_pressure_us
