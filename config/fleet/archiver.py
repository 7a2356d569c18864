"""archiver: keeps a record of the host's load and memory, and compacts it.

Every five seconds it appends a line to `samples.csv` in its state directory. At 64 KiB (about a
quarter of a day) the file becomes `samples-NUMBER.csv.gz`: compressed, read back, compared, and
only then does the original go. The eight newest are kept. SIGTERM ends it with code 0.
"""

import gzip
import os
import signal
import sys
import time
from pathlib import Path

CURRENT = Path("samples.csv")
SAMPLE_SECONDS = 5.0
SEGMENT_BYTES = 64 * 1024
SEGMENTS_KEPT = 8
SAMPLES_PER_REPORT = 24


def sample(loadavg: str, meminfo: str, now: float) -> str:
    """Make a line: UTC time, load of 1 minute, available and total memory in KiB."""
    fields = {name: rest.split()[0] for name, _, rest in map(_partition, meminfo.splitlines())}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return f"{moment},{loadavg.split()[0]},{fields['MemAvailable']},{fields['MemTotal']}\n"


def _partition(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def segments(folder: Path) -> list[Path]:
    """List the compressed segments, the oldest first."""
    return sorted(folder.glob("samples-*.csv.gz"))


def next_number(existing: list[Path]) -> int:
    """Return the number after the newest segment's."""
    if not existing:
        return 1
    return int(existing[-1].name.removeprefix("samples-").removesuffix(".csv.gz")) + 1


def compact(current: Path) -> Path:
    """Compress the current file into a segment of its own; returns the segment."""
    data = current.read_bytes()
    folder = current.parent
    target = folder / f"samples-{next_number(segments(folder)):06d}.csv.gz"
    new = target.with_suffix(".new")
    with gzip.open(new, "wb") as file:
        file.write(data)
    with gzip.open(new, "rb") as file:
        if file.read() != data:
            raise OSError(f"{new} does not read back as it was written")
    os.replace(new, target)
    current.unlink()
    return target


def prune(folder: Path, kept: int) -> int:
    """Remove the oldest segments beyond the number to keep; returns how many went."""
    surplus = segments(folder)[:-kept]
    for path in surplus:
        path.unlink()
    return len(surplus)


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print(f"recording load and memory, {len(segments(Path()))} segments kept so far")
    samples = 0
    while True:
        line = sample(
            Path("/proc/loadavg").read_text(), Path("/proc/meminfo").read_text(), time.time()
        )
        with CURRENT.open("a") as file:
            file.write(line)
        samples += 1
        size = CURRENT.stat().st_size
        if size >= SEGMENT_BYTES:
            segment = compact(CURRENT)
            packed = segment.stat().st_size
            gone = prune(Path(), SEGMENTS_KEPT)
            print(f"{segment.name}: {size} bytes became {packed}, read back; {gone} old removed")
        elif samples % SAMPLES_PER_REPORT == 0:
            print(f"{samples} samples, {size} bytes; last: {line.strip()}")
        if signal.sigtimedwait({signal.SIGTERM}, SAMPLE_SECONDS):
            print(f"stopping after {samples} samples")
            return 0


if __name__ == "__main__":
    sys.exit(main())
