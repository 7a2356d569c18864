"""No data race in the log drain, whoever calls what when: ThreadSanitizer says so.

The program is compiled here, from the same sources as the extension: a sanitizer of threads cannot
be loaded into a Python that was built without it. ASan and UBSan run over tests/kernel instead.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
ROUNDS = 1500


def test_all_callers_at_once_race_nowhere(tmp_path: Path) -> None:
    program = tmp_path / "logdrain_threads"
    sources = [*NATIVE.glob("logdrain*.c"), NATIVE / "logfile.c", NATIVE / "logline.c"]
    subprocess.run(
        [
            "gcc", "-std=gnu17", "-D_GNU_SOURCE=", "-Wall", "-Wextra", "-Werror", "-g", "-O1",
            "-fsanitize=thread", f"-I{NATIVE}", "-o", str(program),
            str(Path(__file__).with_name("logdrain_threads.c")), *map(str, sources), "-pthread",
        ],
        check=True,
    )  # fmt: skip
    directory = tmp_path / "logs"
    directory.mkdir()
    # setarch -R: gcc 12's sanitizer does not know the address layouts of newer kernels.
    result = subprocess.run(
        ["setarch", "-R", str(program), str(directory), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout == f"{ROUNDS} added, close 0\n"
    assert result.returncode == 0
