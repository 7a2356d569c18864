"""What agents say of themselves by the thousand: counts that outlive asmd without a record each.

Heartbeats and tool calls come as fast as an agent likes; an event in the journal for each would let
one agent fill it. So they are words in a small mapped file: an increment costs no write, survives
kill -9 of asmd and an orderly reboot, and at most the last seconds are lost with the host's power.

The file is a header and rows of 64 bytes, one for each agent, in the machine's byte order:

    header  8s magic, u32 version, u32 rows, 48s boot id
    row     8 words of 64 bits: agent id (0 = free), then the fields of Tally; the last is unused

One process writes, asmd. A file that is not so (another version, cut off) begins anew: these are
counts, and nothing is decided by them.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"ASMTALLY"
VERSION = 1
HEADER = struct.Struct("=8sII48s")
ROW = struct.Struct("=8q")
COUNT_MAX = (1 << 63) - 1
assert HEADER.size == ROW.size == 64


@dataclass(frozen=True, slots=True)
class Tally:
    """One agent's counts over all its runs. `last_heartbeat_us` is of this boot, else None."""

    heartbeat_count: int = 0
    last_heartbeat_us: int | None = None
    tool_call_count: int = 0
    tool_credits_milli: int = 0
    tool_tokens: int = 0


NOTHING = Tally()


class Tallies:
    """The open file."""

    def __init__(self, path: Path, rows: int, boot_id: str) -> None:
        """Open or make the file with at least so many rows. Raises OSError."""
        boot = boot_id.encode()[:48].ljust(48, b"\0")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._rows = max(rows, _rows_of(fd))
            self._is_new = _rows_of(fd) == 0
            if self._is_new:
                os.ftruncate(fd, 0)
            os.ftruncate(fd, ROW.size * (1 + self._rows))
            self._map = mmap.mmap(fd, ROW.size * (1 + self._rows))
        finally:
            os.close(fd)
        is_same_boot = self._map[16:64] == boot
        HEADER.pack_into(self._map, 0, MAGIC, VERSION, self._rows, boot)
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        for row in range(self._rows, 0, -1):
            words = list(ROW.unpack_from(self._map, ROW.size * row))
            if words[0] <= 0 or words[0] in self._row_of:
                self._free.append(row)
                continue
            self._row_of[words[0]] = row
            if not is_same_boot:
                words[2] = 0
                ROW.pack_into(self._map, ROW.size * row, *words)

    def close(self) -> None:
        """Let go of the file; what it holds stays."""
        self._map.close()

    def get(self, agent_id: int) -> Tally:
        """Return the agent's counts; zeros for one that has none."""
        row = self._row_of.get(agent_id)
        if row is None:
            return NOTHING
        words = ROW.unpack_from(self._map, ROW.size * row)
        return Tally(words[1], words[2] or None, words[3], words[4], words[5])

    def beat(self, agent_id: int, now_us: int) -> bool:
        """Count a heartbeat. False: there is no room for one more agent."""
        return self._add(agent_id, (1, 0, 0, 0, 0), now_us)

    def count_tool_call(self, agent_id: int, credits_milli: int, tokens: int) -> bool:
        """Count a tool call. False: there is no room for one more agent."""
        return self._add(agent_id, (0, 0, 1, credits_milli, tokens), None)

    def forget(self, agent_id: int) -> None:
        """Free the row of an agent that is gone for good."""
        row = self._row_of.pop(agent_id, None)
        if row is not None:
            ROW.pack_into(self._map, ROW.size * row, *(0,) * 8)
            self._free.append(row)

    def keep_only(self, agent_ids: set[int]) -> None:
        """Free the rows of all others: agents that went while nobody looked."""
        for agent_id in self._row_of.keys() - agent_ids:
            self.forget(agent_id)

    def _add(self, agent_id: int, amounts: tuple[int, ...], beat_us: int | None) -> bool:
        row = self._row_of.get(agent_id)
        if row is None:
            if not self._free:
                return False
            row = self._row_of[agent_id] = self._free.pop()
        _, *words, _, _ = ROW.unpack_from(self._map, ROW.size * row)
        sums = [min(had + more, COUNT_MAX) for had, more in zip(words, amounts, strict=True)]
        if beat_us is not None:
            sums[1] = beat_us
        ROW.pack_into(self._map, ROW.size * row, agent_id, *sums, 0, 0)
        return True


def _rows_of(fd: int) -> int:
    """Return how many rows a file of ours has; 0 for anything else."""
    head = os.pread(fd, HEADER.size, 0)
    if len(head) < HEADER.size:
        return 0
    magic, version, rows, _ = HEADER.unpack(head)
    is_ours = magic == MAGIC and version == VERSION and 0 < rows <= 1 << 20
    return rows if is_ours and os.fstat(fd).st_size == ROW.size * (1 + rows) else 0
