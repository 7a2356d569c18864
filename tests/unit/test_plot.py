"""What `asmctl plot` would draw, and what it says instead of drawing. Draws nothing itself.

The pictures are tested in tests/kernel/test_plot.py.
"""

import errno
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from supervisord_asm.api.numbers import Control
from supervisord_asm.cli.asmctl import dispatch
from supervisord_asm.cli.plot_panels import METRICS, Panel, panel
from supervisord_asm.core.resources import WINDOWS_MAX, Window
from supervisord_asm.core.snapshot import AgentView, agent_to_json
from tests.fake_asmd import FakeAsmd

SECOND = 1_000_000


def window(at_s: int, **figures: Any) -> Window:
    """Return a window with what is given, else nothing known."""
    known: dict[str, Any] = dict.fromkeys(("memory_bytes", "syscall_count", "io_ops"))
    known["cpu_time_us"] = 0
    return Window(at_s * SECOND, **{**known, **figures})


# -- Panels.


def test_cpu_is_in_percent_of_one_core() -> None:
    windows = [window(7, cpu_time_us=500_000), window(8, cpu_time_us=2 * SECOND)]
    assert panel(METRICS["cpu"], windows) == Panel("CPU (% of one core)", -2, (50.0, 200.0))


@pytest.mark.parametrize(
    ("metric", "figures", "label", "values"),
    [
        ("memory", (0, 2047), "memory (bytes)", (0, 2047)),
        ("memory", (1024, 2048), "memory (KiB)", (1, 2)),
        ("memory", (512 << 20, 1 << 30), "memory (MiB)", (512, 1024)),
        ("memory", (1 << 30, 2 << 30), "memory (GiB)", (1, 2)),
        ("syscalls", (0, 1999), "syscalls per second", (0, 1999)),
        ("syscalls", (500, 2000), "syscalls (thousand/s)", (0.5, 2)),
        ("syscalls", (0, 5_000_000), "syscalls (million/s)", (0, 5)),
        ("network", (0, 0), "network (bytes/s)", (0, 0)),
        ("network", (1 << 20, 3 << 20), "network (MiB/s)", (1, 3)),
    ],
)
def test_the_unit_fits_the_highest_value(
    metric: str, figures: tuple[int, ...], label: str, values: tuple[float, ...]
) -> None:
    fields = {"memory": "memory_bytes", "syscalls": "syscall_count", "network": "network_bytes"}
    windows = [window(at, **{fields[metric]: figure}) for at, figure in enumerate(figures)]
    assert panel(METRICS[metric], windows) == Panel(label, -len(figures), values)


def test_what_is_not_known_and_what_is_not_told_of_are_gaps() -> None:
    windows = [window(0, syscall_count=5), window(1), window(4, syscall_count=0)]
    drawn = panel(METRICS["syscalls"], windows)
    assert list(drawn.values) == [5, None, None, None, 0]
    assert drawn.unknown_spans() == [(-4, -1)]
    assert not drawn.is_unknown


def test_a_metric_without_a_source_is_unknown_as_a_whole() -> None:
    drawn = panel(METRICS["network"], [window(0), window(1)])
    assert drawn.is_unknown
    assert drawn.unknown_spans() == []
    assert drawn.values == (None, None)


def test_a_minute_is_a_minute() -> None:
    drawn = panel(METRICS["cpu"], [window(at) for at in range(100, 100 + WINDOWS_MAX)])
    assert (drawn.first_s, len(drawn.values)) == (-60, 60)


# -- The command.


def answer(verb: int, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Answer as an asmd with two agents would, of which one runs."""
    if request["agent"] not in ("runs", "rests"):
        return -errno.ESRCH, {"error": f"Agent {request['agent']} not found"}
    if verb == Control.INFO:
        return 0, {"agent": agent_to_json(AgentView(100, request["agent"], "active"))}
    windows = [asdict(window(0))] if request["agent"] == "runs" else []
    return 0, {"windows": windows, "rates": {}}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["runs"], 2, "option --output is missing: --output FILE.png or FILE.svg"),
        (["-o", "x.png"], 2, "AGENT is missing"),
        (["runs", "-o", "x.jpg"], 2, '"x.jpg" ends neither in .png nor in .svg'),
        (["runs", "-o", "png"], 2, '"png" ends neither in .png nor in .svg'),
        (["runs", "-o", "x.png", "-m", "cpu,memroy"], 2, 'no metric "memroy", did you mean memory'),
        (["runs", "-o", "x.png", "-m", ""], 2, "there are cpu, memory, syscalls, network"),
        (["ghost", "-o", "x.png"], 1, "Agent ghost not found"),
        (["rests", "-o", "x.png"], 1, "agent rests has no closed window"),
        (["Bad Name", "-o", "x.png"], 2, "Invalid agent ID"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_no_file_is_made(
    arguments: list[str],
    exit_code: int,
    words: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeAsmd(tmp_path / "control.sock", answer) as asmd:
        assert dispatch(["plot", f"--socket={asmd.path}", *arguments]) == exit_code
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
