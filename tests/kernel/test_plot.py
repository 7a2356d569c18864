"""`asmctl plot` against a real daemon: the files that it makes, and where it may not make one."""

import re
import stat
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.daemon_host import DEADLINE_S, Host, eventually, hosted, sh

pytestmark = pytest.mark.drawing
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TIME_LABEL = re.compile(r"time \(s\); 0 is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("busy", sh("while :; do :; done"), agent_id=100)
        host.write_agent("resting", sh("exec sleep 1000"), agent_id=101, start="manual")
        host.start()
        eventually(
            lambda: (host.info("busy")["cpu_percent_milli"] or 0) > 1000, "a window with CPU in it"
        )
        yield host


def plot(host: Host, path: Path, *options: str) -> None:
    """Draw the busy agent."""
    done = host.ctl("plot", "busy", "--output", str(path), *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def png_size(data: bytes) -> tuple[int, int]:
    """Check that the bytes are a whole PNG, and return its width and height in pixels."""
    assert data.startswith(PNG_MAGIC)
    at, chunks = len(PNG_MAGIC), []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == struct.unpack_from(">I", data, at + 8 + length)[0]
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    assert chunks[0][0] == b"IHDR"
    assert chunks[-1] == (b"IEND", b"")
    width, height = struct.unpack_from(">II", chunks[0][1])
    return width, height


def svg_texts(path: Path) -> list[str]:
    """Return every text of an SVG file, which must be well-formed."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def test_a_png_is_one_and_grows_with_its_panels(host: Host, tmp_path: Path) -> None:
    one, four = tmp_path / "one.png", tmp_path / "FOUR.PNG"
    one.write_text("another file's bytes, which are more" * 9999)
    plot(host, one, "--metric", "cpu")
    plot(host, four)
    (width, low), (same_width, high) = png_size(one.read_bytes()), png_size(four.read_bytes())
    assert width == same_width == 900
    assert high > 2 * low
    assert stat.S_IMODE(one.stat().st_mode) == 0o644


def test_an_svg_says_what_who_when_and_in_which_unit(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "all.svg"
    plot(host, path)
    texts = svg_texts(path)
    assert "busy (agent 100)" in texts
    assert "CPU (% of one core)" in texts
    for start in ("memory (", "syscalls ", "network ("):
        assert any(text.startswith(start) for text in texts), start
    assert any(TIME_LABEL.match(text) for text in texts)


def test_only_the_metrics_that_are_named_are_drawn_each_once(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "two.svg"
    plot(host, path, "-m", "memory,cpu,memory")
    labels = [text for text in svg_texts(path) if "(" in text and not text.startswith("time")]
    assert [label.split()[0] for label in labels if "agent" not in label] == ["memory", "CPU"]


def test_a_link_is_replaced_and_not_followed(host: Host, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link.png"
    precious.write_text("as it was")
    link.symlink_to(precious)
    plot(host, link, "-m", "cpu")
    assert precious.read_text() == "as it was"
    assert not link.is_symlink()
    png_size(link.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "precious"]


def test_a_place_that_cannot_be_written_is_said_in_a_line(host: Host, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for path, words in (
        (tmp_path / "nowhere" / "x.png", "No such file or directory"),
        (tmp_path / "folder.png", "Is a directory"),
    ):
        done = host.ctl("plot", "busy", "-o", str(path), "-m", "cpu")
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_an_agent_without_a_run_has_no_picture(host: Host, tmp_path: Path) -> None:
    done = host.ctl("plot", "resting", "-o", str(tmp_path / "x.svg"))
    assert done.returncode == 1
    assert "no closed window" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_that_lie_where_we_are_are_not_obeyed(host: Host, tmp_path: Path) -> None:
    """matplotlib reads a file of the working folder; root may stand in an agent's."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 5\nno sense\n")
    command = host.command("asmctl", "plot", "busy", "-o", "here.png", "-m", "cpu")
    done = subprocess.run(
        command, cwd=tmp_path, env=host.environment, capture_output=True, text=True, check=False,
        timeout=DEADLINE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert png_size((tmp_path / "here.png").read_bytes())[0] == 900
