"""Measures what we ourselves cost the host, for `asmctl doctor --cost`.

asmd measures, and not the command: it holds the programs, whoever has them pinned, and so an
operator needs no capability but to be one. The readings are taken in a thread, since walking
descriptors and page tables takes milliseconds.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from supervisord_asm.core.cost import ProcessReading, Reading, cost_between
from supervisord_asm.daemon.refusal import ControlRefusal
from supervisord_asm.daemon.request import Request, whole
from supervisord_asm.kernel import bpf_cost
from supervisord_asm.kernel.process_cost import cpu_time_ns, pss_bytes
from supervisord_asm.kernel.sampler import Sampler

SECONDS_DEFAULT = 2
SECONDS_MAX = 60


class CostMeter:
    """Takes two readings, some seconds apart."""

    def __init__(
        self, *, sampler: Sampler, processes: Callable[[], Mapping[str, Iterable[int]]]
    ) -> None:
        """`processes` gives the pids of each of our programs, by its name, as of now."""
        self._sampler = sampler
        self._processes = processes

    async def measure(self, request: Request) -> dict[str, Any]:
        """COST: measure for "seconds", 1 to 60, and answer then. Raises ControlRefusal."""
        seconds = whole(request, "seconds", SECONDS_DEFAULT)
        if not 1 <= seconds <= SECONDS_MAX:
            raise ControlRefusal(errno.EINVAL, f'"seconds" is from 1 to {SECONDS_MAX}')
        loop = asyncio.get_running_loop()
        held = await loop.run_in_executor(None, bpf_cost.held_objects)
        trouble = None
        with contextlib.ExitStack() as kept:
            try:
                kept.enter_context(bpf_cost.statistics())
            except bpf_cost.BpfCostError as error:
                trouble = str(error)
            before = await loop.run_in_executor(None, self._read, held, self._processes(), False)
            await asyncio.sleep(seconds)
            after = await loop.run_in_executor(None, self._read, held, self._processes(), True)
        return asdict(cost_between(before, after, os.cpu_count() or 1, trouble))

    def _read(
        self, held: bpf_cost.Held, processes: Mapping[str, Iterable[int]], is_last: bool
    ) -> Reading:
        """Read all; sizes, which take longest, only in the last reading."""
        return Reading(
            time.monotonic_ns(),
            bpf_cost.read_programs(held),
            bpf_cost.read_maps(held) if is_last else (),
            {name: _read_process(pids, is_last) for name, pids in processes.items()},
            self._sampler.figures().thread_cpu_us,
        )


def _read_process(pids: Iterable[int], is_last: bool) -> ProcessReading:
    """Sum the processes of one program; those that have just ended are left out."""
    cpu_ns, sizes = 0, []
    for pid in pids:
        with contextlib.suppress(OSError):
            cpu_ns += cpu_time_ns(pid)
            sizes.append(pss_bytes(pid) if is_last else None)
    known = [size for size in sizes if size is not None]
    return ProcessReading(cpu_ns, sum(known) if known else None)
