"""The bytes of a spec are those of native/exec/spec.h; what cannot be said is not encoded."""

import os

import pytest

from supervisord_asm.kernel.exec_spec import (
    GROUPS_MAX,
    HEADER,
    MAGIC,
    RLIMIT,
    RLIMITS_MAX,
    SPEC_BYTES_MAX,
    STAGES,
    STRINGS_MAX,
    VERSION,
    ExecSpec,
    ExecSpecError,
    ExecSpecFile,
    ExecSpecMalformed,
    ExecSpecTooLarge,
    Rlimit,
    describe_stage,
    encode_exec_spec,
)
from tests.c_header import Header

SPEC_H = Header("native/exec/spec.h")
FIELDS = [name for name, _, _ in SPEC_H.fields("sasm_exec_header")]


def spec(**fields: object) -> ExecSpec:
    given: dict[str, object] = {
        "program": "/bin/p", "arguments": ("p", "é"), "environment": (("A", "1"), ("B", "")),
        "working_directory": "/w", "uid": 1, "gid": 2,
    }  # fmt: skip
    return ExecSpec(**(given | fields))  # type: ignore[arg-type]  # values of a test's own choosing


def header_of(data: bytes) -> dict[str, int]:
    return dict(zip(FIELDS, HEADER.unpack_from(data), strict=True))


def test_the_layouts_are_those_of_the_c_structs() -> None:
    assert SPEC_H.layout("sasm_exec_header") == HEADER.format
    assert SPEC_H.layout("sasm_exec_rlimit") == RLIMIT.format
    assert (HEADER.size, RLIMIT.size) == (64, 24)


def test_the_bounds_and_names_are_those_of_c() -> None:
    for name, value in (
        ("MAGIC", MAGIC), ("VERSION", VERSION), ("SPEC_BYTES_MAX", SPEC_BYTES_MAX),
        ("STRINGS_MAX", STRINGS_MAX), ("GROUPS_MAX", GROUPS_MAX), ("RLIMITS_MAX", RLIMITS_MAX),
    ):  # fmt: skip
        assert SPEC_H.number(f"SASM_EXEC_{name}") == value
    assert sorted(SPEC_H.enum("sasm_exec_stage").values()) == list(range(len(STAGES)))


def test_every_field_stands_where_c_looks_for_it() -> None:
    data = encode_exec_spec(
        spec(groups=(7, 8, 9), rlimits=(Rlimit(4, 0, (1 << 64) - 1),), oom_score_adj=-5, nice=-3,
             umask=0o27, capabilities=1 << 40)
    )  # fmt: skip
    assert header_of(data) == {
        "magic": MAGIC, "version": VERSION, "padding": 0, "total_bytes": len(data), "uid": 1,
        "gid": 2, "group_count": 3, "rlimit_count": 1, "argument_count": 2,
        "environment_count": 2, "strings_bytes": 22, "oom_score_adj": -5, "nice": -3,
        "umask": 0o27, "padding2": 0, "capabilities": 1 << 40,
    }  # fmt: skip
    body = data[HEADER.size :]
    assert RLIMIT.unpack_from(body) == (4, 0, 0, (1 << 64) - 1)
    assert body[24:36] == b"\7\0\0\0\x08\0\0\0\x09\0\0\0"
    assert body[36:] == b"/bin/p\0/w\0p\0\xc3\xa9\0A=1\0B=\0"


def test_bytes_that_are_no_text_pass_as_they_are() -> None:
    data = encode_exec_spec(spec(arguments=(os.fsdecode(b"\xff\xfe"),)))
    assert b"\0\xff\xfe\0" in data


@pytest.mark.parametrize(
    "fields",
    [
        {"arguments": ("x",) * (STRINGS_MAX - 1)},  # and two variables
        {"groups": (1,) * (GROUPS_MAX + 1)},
        {"rlimits": (Rlimit(1, 1, 1),) * (RLIMITS_MAX + 1)},
        {"arguments": ("x" * SPEC_BYTES_MAX,)},
    ],
    ids=["strings", "groups", "rlimits", "bytes"],
)
def test_what_passes_a_bound_is_refused_and_never_cut(fields: dict[str, object]) -> None:
    with pytest.raises(ExecSpecTooLarge, match=r"over|of 2097152"):
        encode_exec_spec(spec(**fields))


def test_exactly_the_bound_is_taken() -> None:
    encode_exec_spec(spec(arguments=("x",) * (STRINGS_MAX - 2), groups=(1,) * GROUPS_MAX))


@pytest.mark.parametrize(
    "fields",
    [
        {"arguments": ()},
        {"program": "/bin/p\0"},
        {"working_directory": "/w\0x"},
        {"arguments": ("p", "a\0b")},
        {"environment": (("A\0", "1"),)},
        {"uid": -1},
        {"gid": 1 << 32},
        {"groups": (-1,)},
        {"nice": 1 << 31},
        {"capabilities": 1 << 64},
        {"rlimits": (Rlimit(1, -1, 1),)},
    ],
    ids=str,
)
def test_what_no_process_can_be_given_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ExecSpecMalformed):
        encode_exec_spec(spec(**fields))


def test_both_refusals_have_one_root() -> None:
    assert issubclass(ExecSpecTooLarge, ExecSpecError)
    assert issubclass(ExecSpecMalformed, ExecSpecError)


def test_a_file_holds_the_bytes_and_is_closed_once() -> None:
    file = ExecSpecFile(spec())
    assert os.pread(file.fd, SPEC_BYTES_MAX, 0) == encode_exec_spec(spec())
    assert not os.get_inheritable(file.fd)
    fd = file.fd
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_stage_of_a_newer_program_is_shown_by_its_number() -> None:
    assert describe_stage(0) == "executing asm-exec"
    assert [describe_stage(len(STAGES)), describe_stage(-1)] == [f"stage {len(STAGES)}", "stage -1"]
