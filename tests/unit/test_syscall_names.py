"""The names of syscalls against the headers of the kernel with which programs are compiled here."""

import re
from pathlib import Path

import pytest

from supervisord_asm.core.syscall_names import OTHER, syscall_name

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def test_every_name_of_the_header_is_ours() -> None:
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", HEADER.read_text(), re.MULTILINE)
    assert len(found) > 350
    assert [(name, syscall_name(int(number))) for name, number in found] == [
        (name, name) for name, _ in found
    ]


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "read"), (334, "rseq"), (335, "syscall_335"), (423, "syscall_423"),
        (424, "pidfd_send_signal"), (462, "mseal"), (500, "syscall_500"), (OTHER, "other"),
        (-1, "syscall_-1"),
    ],
)  # fmt: skip
def test_what_has_no_name_is_shown_by_number(number: int, name: str) -> None:
    assert syscall_name(number) == name
