"""A week of virtual time through the sampler's window arithmetic, with the sanitizers watching."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "kernel" / "native" / "windows_week.c"
COMMAND = (
    "gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
    "-I", str(ROOT / "native"), "-I", str(ROOT / "bpf"),
)  # fmt: skip
WEEK_SECONDS = 7 * 24 * 3600


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the program, which holds native/sampler_windows.c."""
    made = tmp_path_factory.mktemp("windows") / "windows_week"
    done = subprocess.run(
        [*COMMAND, "-o", made, SOURCE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_windows_add_up_for_a_week(program: Path, seed: int) -> None:
    done = subprocess.run([program, str(seed)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passes, looked_at, standstills, compared = map(int, re.findall(r"\d+", done.stdout))
    # It was a week, both kinds of seconds came, and something was compared in most of them.
    assert WEEK_SECONDS * 0.7 < passes < WEEK_SECONDS
    assert passes * 0.2 < looked_at < passes * 0.8
    assert standstills > 500
    assert compared > passes * 0.5
