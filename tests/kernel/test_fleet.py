"""The sample agents as real processes: each says something, costs little, and ends on SIGTERM."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "config" / "fleet"
NAMES = sorted(path.name for path in PROGRAMS.iterdir() if path.suffix in (".py", ".sh"))
# What each prints first, when it is at work.
FIRST_WORDS = {
    "archiver.py": "recording load and memory",
    "compute_worker.py": "counting primes",
    "crash_probe.py": "life 1: nobody was here before",
    "fs_monitor.py": "watching ",
    "idle_agent.py": "idle: ",
    "leak_worker.py": "leaking up to 48 MiB",
    "net_agent.py": "unable to ask the server",
    "net_server.py": "listening on 127.0.0.1:",
    "pipeline_worker.sh": "counting words of ",
    "telemetry_agent.py": "no telemetry: unable to reach asmd",
}


def free_port() -> int:
    """Find a port that nobody listens on: the installed fleet may be running beside the tests."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


PORT = free_port()


def command(name: str) -> list[str]:
    """As agents.d starts it; the client library's agent with this interpreter."""
    if name.endswith(".sh"):
        return ["/bin/sh", str(PROGRAMS / name)]
    if name == "telemetry_agent.py":
        return [sys.executable, str(PROGRAMS / name)]
    arguments = [str(PORT)] if name.startswith("net_") else []
    return ["/usr/bin/python3", "-I", str(PROGRAMS / name), *arguments]


def start(name: str, folder: Path) -> subprocess.Popen[str]:
    """Start an agent with nothing but what asm-exec gives it."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "ASM_SOCKET": str(folder / "no.sock"),
        "PYTHONPATH": str(ROOT),  # for the client library; python -I ignores it
    }
    return subprocess.Popen(
        command(name),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> list[str]:
    """End an agent politely; returns what it still had to say."""
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=5)
    finally:
        process.kill()
    assert process.returncode == 0
    return output.splitlines()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.mark.parametrize("name", NAMES)
def test_each_works_and_ends_cleanly(name: str, tmp_path: Path) -> None:
    process = start(name, tmp_path)
    line = first_line(process)
    time.sleep(0.3)
    rest = stop(process)
    assert line.startswith(FIRST_WORDS[name])
    assert rest[-1].startswith("stopping")


def test_the_client_and_the_server_understand_each_other(tmp_path: Path) -> None:
    server = start("net_server.py", tmp_path)
    assert first_line(server).startswith("listening")
    client = start("net_agent.py", tmp_path)
    assert first_line(client) == f"connected to 127.0.0.1:{PORT}"
    time.sleep(0.3)
    [last] = stop(client)
    assert last.startswith("stopping; 5 answers, all right")
    [last] = stop(server)
    assert last == "stopping after 5 requests"


def test_the_monitor_reports_a_file_and_its_own_test(tmp_path: Path) -> None:
    process = start("fs_monitor.py", tmp_path)
    assert first_line(process).startswith("watching")
    assert first_line(process).startswith("watch works (")
    (tmp_path / "watched" / "news.txt").write_text("news\n")
    assert first_line(process) == "news.txt: created"
    assert first_line(process) == "news.txt: written"
    assert stop(process) == ["stopping after 2 changes"]


def test_the_pipeline_counts_the_words_that_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "one").write_text("apple Apple banana\napple, cherries banana of\n")
    process = subprocess.Popen(
        [*command("pipeline_worker.sh"), str(folder), "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert first_line(process) == f"counting words of 1 files in {folder}"
    expected = "one: 7 words, most often apple (3),banana (2),cherries (1)"
    assert [first_line(process), first_line(process)] == [expected, expected]
    assert stop(process)[-1].startswith("stopping after ")


@pytest.mark.parametrize(
    ("life", "code"), [(4, 3), (1, -signal.SIGSEGV), (2, 1), (3, -signal.SIGABRT)]
)
def test_the_probe_ends_as_it_announced(life: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "lives").write_text(f"{life - 1}\n")
    source = (PROGRAMS / "crash_probe.py").read_text()
    quick = source.replace("LIFE_SECONDS = 40.0", "LIFE_SECONDS = 0.05")
    assert quick != source
    (tmp_path / "quick.py").write_text(quick)
    process = subprocess.run(
        ["/usr/bin/python3", "-I", "quick.py"], cwd=tmp_path, capture_output=True, check=False
    )
    assert process.returncode == code
    assert (tmp_path / "ended").exists()
    assert not list(tmp_path.glob("core*"))


@pytest.mark.slow
def test_the_whole_fleet_takes_less_than_a_tenth_of_a_core(tmp_path: Path) -> None:
    """Half a minute of all of them, the start of every interpreter included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    processes = []
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        processes.append(start(name, folder))
    time.sleep(30)
    for process in processes:
        stop(process)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    share = cpu_s / (time.monotonic() - begin)
    assert share < 0.10, f"{cpu_s:.2f} s of CPU"
    assert os.path.exists(tmp_path / "archiver.py" / "samples.csv")
