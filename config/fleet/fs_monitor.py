"""fs_monitor: reports what changes in the folder `watched` of its state directory.

Uses inotify(7) directly, since the standard library has no watcher. Put a file into the folder as
root and it is reported at once. Every half minute the agent tests itself: it writes a file there,
and says how long the kernel took to tell it. SIGTERM ends it with code 0.
"""

import ctypes
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path

FOLDER = Path("watched")
SELF_TEST = ".self-test"
SELF_TEST_SECONDS = 30

# inotify(7); the header of struct inotify_event: wd, mask, cookie, length of the name.
HEADER = struct.Struct("iIII")
IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE = 0x2, 0x4, 0x8
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x40, 0x80, 0x100, 0x200
IN_Q_OVERFLOW = 0x4000
WORDS = {
    IN_CREATE: "created",
    IN_CLOSE_WRITE: "written",
    IN_ATTRIB: "attributes changed",
    IN_MOVED_FROM: "moved away",
    IN_MOVED_TO: "moved here",
    IN_DELETE: "deleted",
}
# More than one event's header and longest name, so that a read never fails for want of room.
READ_BYTES = 64 * 1024


def decode(data: bytes) -> list[tuple[int, str]]:
    """Split what inotify returned into (mask, file name)."""
    events = []
    at = 0
    while at < len(data):
        _, mask, _, length = HEADER.unpack_from(data, at)
        at += HEADER.size
        events.append((mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
        at += length
    return events


def describe(mask: int, name: str) -> str | None:
    """Say what an event means; None for one that nobody wants to read about."""
    if mask & IN_Q_OVERFLOW:
        return "too many changes at once: some are missing here"
    words = [word for bit, word in WORDS.items() if mask & bit]
    return f"{name}: {', '.join(words)}" if words else None


def watch(folder: Path) -> int:
    """Return an inotify descriptor that reports changes of the folder's files."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "unable to use inotify")
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), sum(WORDS)) < 0:
        raise OSError(ctypes.get_errno(), f"unable to watch {folder}")
    return descriptor


def inventory(folder: Path) -> str:
    """Count the folder's files and bytes."""
    sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()]
    return f"{len(sizes)} files, {sum(sizes)} bytes"


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, lambda *_: None)  # seen through the pipe
    FOLDER.mkdir(exist_ok=True)
    changes = watch(FOLDER)
    poll = select.poll()
    poll.register(changes, select.POLLIN)
    poll.register(wake, select.POLLIN)
    print(f"watching {FOLDER.absolute()}: {inventory(FOLDER)}")
    test_due = time.monotonic()
    tested_at: float | None = None
    seen = 0
    while True:
        if time.monotonic() >= test_due:
            test_due += SELF_TEST_SECONDS
            tested_at = time.monotonic()
            (FOLDER / SELF_TEST).write_text("does the watch work?\n")
        ready = dict(poll.poll(max(0.0, test_due - time.monotonic()) * 1000))
        if wake in ready:
            print(f"stopping after {seen} changes")
            return 0
        if changes not in ready:
            continue
        for mask, name in decode(os.read(changes, READ_BYTES)):
            if name == SELF_TEST:
                if mask & IN_CLOSE_WRITE and tested_at is not None:
                    delay_us = (time.monotonic() - tested_at) * 1_000_000
                    print(f"watch works ({delay_us:.0f} us); {inventory(FOLDER)}; {seen} changes")
                    tested_at = None
            elif text := describe(mask, name):
                seen += 1
                print(text)


if __name__ == "__main__":
    sys.exit(main())
