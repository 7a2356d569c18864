"""What a look at the tree costs: asm-procfs beside the minimal C server and /proc.

Three files of 2,000 bytes or so are read in turn by one C program (read_files.c): `status` of
asm-procfs, with a daemon that publishes meanwhile; `status` of fuse_floor.c, which does the least
that a FUSE server can do; /proc/self/status. The rounds are short and many; the ratio is the
median over the rounds, since the machine is shared and the two alternate within each round.

The bar: at most 1.3 times the minimal C server. Also measured: a status of 200 KiB, an agent's file
(whose names the kernel may not remember), and the CPU time of asm-procfs while 1,000 agents are
published every second. Needs root.

    bench/fuse_read.py [--json]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from supervisord_asm.kernel.procfs_channel import ProcfsChannel

BENCH = Path(__file__).resolve().parent
PROGRAM = BENCH.parent / "supervisord_asm" / "libexec" / "asm-procfs"
BUILT = BENCH.parent / "build" / "bench"
RATIO_MAX = 1.3

ROUNDS = 25
READS_PER_ROUND = 400
STATUS_BYTES = 2000
LARGE_BYTES = 200 << 10
AGENTS = 1000
PUBLISHED_S = 5


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison: medians in microseconds, and ours over the floor's."""

    name: str
    ours_us: float
    ours_p99_us: float
    floor_us: float
    proc_us: float
    ratio: float


def build(name: str, *libraries: str) -> Path:
    """Compile one source of this folder, if it has changed."""
    source, program = BENCH / f"{name}.c", BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        flags = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-I/usr/include/fuse3"]
        command = ["gcc", *flags, "-D_GNU_SOURCE", "-o", str(program), str(source), *libraries]
        subprocess.run(command, check=True)
    return program


@contextmanager
def running(command: list[str], mount: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until its mount answers; end and unmount it afterwards."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not (mount / "status").exists():
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} has ended: {process.returncode}")
                time.sleep(0.01)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def compare(name: str, reader: Path, ours: Path, floor: Path) -> Result:
    """Read the three files in many short rounds."""
    command = [str(reader), str(READS_PER_ROUND), str(ours), str(floor), "/proc/self/status"]
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run(command, check=True, capture_output=True)
        rounds.append(json.loads(done.stdout))
    first = rounds[0]
    assert abs(first[0]["bytes"] - first[1]["bytes"]) < 64, "the two must serve as much"

    def median_us(index: int, key: str) -> float:
        return round(statistics.median(int(found[index][key]) for found in rounds) / 1000, 2)

    ratio = statistics.median(found[0]["p50_ns"] / found[1]["p50_ns"] for found in rounds)
    return Result(
        name,
        ours_us=median_us(0, "p50_ns"),
        ours_p99_us=median_us(0, "p99_ns"),
        floor_us=median_us(1, "p50_ns"),
        proc_us=median_us(2, "p50_ns"),
        ratio=round(ratio, 3),
    )


def text(size: int) -> str:
    """A status of this size, of lines."""
    line = "Agent 100: spawns=1 exits=0 faults=0\n"
    return (line * (size // len(line) + 1))[: size - 1] + "\n"


def publish(channel: ProcfsChannel, stop: threading.Event) -> None:
    """Be the daemon: a new status and a TICK each second."""
    while not stop.is_set():
        channel.put_text("status", text(STATUS_BYTES))
        channel.put_text("large", text(LARGE_BYTES))
        channel.put_text("agents/100/status", text(STATUS_BYTES))
        channel.tick()
        channel.flush()
        stop.wait(1.0)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_publishing(channel: ProcfsChannel, server: int) -> dict[str, float]:
    """CPU shares of both sides while every file of 1,000 agents changes every second."""
    start_server_s, start_daemon_s = cpu_s(server), time.thread_time()
    for second in range(PUBLISHED_S):
        end = time.monotonic() + 1.0
        for agent in range(AGENTS):
            for name in ("status", "resources", "limits"):
                channel.put_text(f"agents/{agent}/{name}", f"second {second}\n{text(700)}")
        channel.put_text("status", f"second {second}\n{text(120_000)}")
        channel.tick()
        while not channel.flush():
            time.sleep(0.001)
        time.sleep(max(0.0, end - time.monotonic()))
    return {
        "server_cpu_percent": round((cpu_s(server) - start_server_s) / PUBLISHED_S * 100, 2),
        "channel_cpu_percent": round((time.thread_time() - start_daemon_s) / PUBLISHED_S * 100, 2),
        "server_rss_mib": round(
            int(Path(f"/proc/{server}/statm").read_text().split()[1]) * 4096 / (1 << 20), 1
        ),
    }


def run() -> tuple[list[Result], dict[str, float]]:
    """Measure everything."""
    reader = build("read_files")
    floor = build("fuse_floor", "-l:libfuse3.a", "-pthread", "-ldl")
    with tempfile.TemporaryDirectory(prefix=f"asm-bench-{os.getpid()}-") as folder:
        mount, small, large = (Path(folder) / name for name in ("ours", "small", "large"))
        small.mkdir()
        large.mkdir()
        listen = Path(folder) / "procfs.sock"
        command = [str(PROGRAM), "--mount", str(mount), "--listen", str(listen), "--user", "65534"]
        with (
            running(command, mount) as server,
            running([str(floor), str(small), str(STATUS_BYTES)], small),
            running([str(floor), str(large), str(LARGE_BYTES)], large),
        ):
            channel = ProcfsChannel(str(listen))
            channel.connect()
            stop = threading.Event()
            daemon = threading.Thread(target=publish, args=(channel, stop))
            daemon.start()
            try:
                while not (mount / "agents/100/status").exists():
                    time.sleep(0.01)
                results = [
                    compare("status", reader, mount / "status", small / "status"),
                    compare("large", reader, mount / "large", large / "status"),
                    compare(
                        "agent's status", reader, mount / "agents/100/status", small / "status"
                    ),
                ]
            finally:
                stop.set()
                daemon.join()
            publishing = measure_publishing(channel, server.pid)
            channel.close()
    return results, publishing


def main() -> int:
    """Print the figures; status 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    results, publishing = run()
    if arguments.json:
        print(json.dumps({"reads": [asdict(result) for result in results], **publishing}))
    else:
        print(
            f"{'open+read+close, us':<20}{'ours':>8}{'p99':>8}{'floor':>8}{'/proc':>8}{'ratio':>8}"
        )
        for result in results:
            print(
                f"{result.name:<20}{result.ours_us:>8}{result.ours_p99_us:>8}"
                f"{result.floor_us:>8}{result.proc_us:>8}{result.ratio:>8}"
            )
        for name, value in publishing.items():
            print(f"{name}, 1,000 agents all changing: {value}")
    return 0 if results[0].ratio <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
