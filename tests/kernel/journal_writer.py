"""A program to be killed: writes a journal, prints what it was told is durable, dies where asked.

    journal_writer.py PATH FAILPOINT HITS     kill -9 itself at the HITSth pass of the failpoint
    journal_writer.py PATH never 0            write until somebody else kills it

Event number n of the journal carries {"number": n} and is about agent 1000 + n % 7, so that whoever
finds the journal can tell what should be in it. Each line of the output is the number of the newest
event of an append that is durable; it is written before anything else is done.
"""

import os
import signal
import sys
import time
from pathlib import Path

from supervisord_asm.core.events import Event, EventType, Value
from supervisord_asm.store.journal import Journal

KINDS = (
    EventType.REGISTER, EventType.SPAWN, EventType.STARTED, EventType.FAULT, EventType.EXIT,
    EventType.RESTART, EventType.STOPPED, EventType.NOTE,
)  # fmt: skip
APPEND_SIZES = (1, 3, 1, 40, 2)


def numbered(number: int) -> Event:
    """Return the event that must be number `number` of the journal."""
    agent_id = 1_000 + number % 7
    data: dict[str, Value] = {"number": number}
    kind = KINDS[number % len(KINDS)]
    if kind is EventType.REGISTER:
        data["name"] = f"agent-{agent_id}"
    if kind is EventType.EXIT:
        data.update(code=number // 8 % 2, signal=None, crashed=number // 8 % 2 == 1)
    return Event(kind, agent_id, number, number * 1_000, data, "boot-of-the-test")


def main() -> None:
    """Append until killed: some 10,000 events a second, few of them ahead of the disk."""
    path, failpoint, hits = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    passed = 0

    def reached(name: str) -> None:
        nonlocal passed
        if name == failpoint:
            passed += 1
            if passed == hits:
                os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal.open(path, clock=time.monotonic_ns, reached=reached)
    number = journal.last_seq
    while True:
        for size in APPEND_SIZES:
            events = [numbered(number + 1 + index) for index in range(size)]
            number += size

            def durable(error: BaseException | None, newest: int = number) -> None:
                os.write(1, f"{error or newest}\n".encode())

            journal.append(events, durable)
        time.sleep(0.003)


if __name__ == "__main__":
    main()
