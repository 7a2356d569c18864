"""The table of calls: that it is whole, and that who may call follows from whom a call is about."""

import subprocess
from pathlib import Path

import pytest

from supervisord_asm.api.calls import BY_NUMBER, CALLS, Door, Way, may_call
from tests.sources import ROOT


def test_every_number_has_one_call_whose_words_fit_a_system_call() -> None:
    assert [int(call.number) for call in CALLS] == list(range(500, 512))
    for call in CALLS:
        assert sum(parameter.way.words for parameter in call.parameters) <= 4
        ways = [parameter.way for parameter in call.parameters]
        assert ways.count(Way.BYTES_IN) <= 1
        assert ways.count(Way.ROOM_OUT) <= 1


def test_calls_with_an_effect_are_those_of_the_contract() -> None:
    found = {int(call.number) for call in CALLS if call.has_effect}
    assert found == {501, 503, 505, 506, 507, 510}


@pytest.mark.parametrize(
    ("is_agent", "is_operator", "expected"),
    [
        (True, False, set(Door) - {Door.POLICY_PATCH}),
        (
            False,
            True,
            {Door.TELEMETRY, Door.POLICY_PATCH, Door.AGENT_INFO, Door.DEPENDENCY},
        ),
        (False, False, {Door.TELEMETRY}),
    ],
)
def test_who_may_make_which_call(is_agent: bool, is_operator: bool, expected: set[Door]) -> None:
    found = {
        call.number
        for call in BY_NUMBER.values()
        if may_call(call, is_agent=is_agent, is_operator=is_operator)
    }
    assert found == expected


@pytest.mark.parametrize("compiler", ["gcc -std=c11", "gcc -std=c99", "g++ -std=c++11"])
def test_the_header_stands_alone_in_c_and_in_cpp(tmp_path: Path, compiler: str) -> None:
    suffix = "cpp" if "g++" in compiler else "c"
    source = tmp_path / f"one.{suffix}"
    source.write_text(
        "#include <asm.h>\n#include <asm.h>\n"
        "int main(void) { return asm_set_doors(ASM_DOORS_SOCKET) + asm_heartbeat(); }\n"
    )
    command = [*compiler.split(), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    command += [f"-I{ROOT}/native/include", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_function_of_the_header_is_exported_and_nothing_else() -> None:
    header = (ROOT / "native/include/asm.h").read_text()
    declared = {
        line.split("(")[0].split()[-1].lstrip("*")
        for line in header.splitlines()
        if line.startswith("ASM_API ")
    }
    versions = (ROOT / "native/libasm/libasm.map").read_text()
    listed = {word.rstrip(";") for word in versions.split() if word.startswith("asm_")}
    assert declared == listed
    named = {f"asm_{call.name}" for call in CALLS}
    assert named <= declared
