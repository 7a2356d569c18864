"""Tells when a cgroup has no process left, without polling.

cgroup.events raises POLLPRI when `populated` changes (cgroups(7)); it always looks readable, so
asyncio's own selector would spin on it. A second epoll takes only EPOLLPRI, and its descriptor is
what asyncio watches.
"""

import asyncio
import os
import select
import time
from collections.abc import Callable

from supervisord_asm.kernel.cgroupfs import Cgroup


def wait_until_empty(cgroup: Cgroup, deadline_s: float) -> bool:
    """Wait, blocking, until nothing lives in the cgroup; False at the (monotonic) deadline."""
    fd = cgroup.open_events()
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while cgroup.is_populated():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            poll.poll(left_s * 1000)
            os.pread(fd, 4096, 0)  # re-arms
        return True
    finally:
        os.close(fd)


class EmptinessWatch:
    """One epoll for all cgroups that are being emptied."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._waiting: dict[int, tuple[Cgroup, Callable[[], None]]] = {}
        self._loop = loop
        loop.add_reader(self._epoll.fileno(), self._on_events)

    def watch(self, cgroup: Cgroup, on_empty: Callable[[], None]) -> None:
        """Call `on_empty` once, from the loop, when nothing lives in the cgroup any more."""
        fd = cgroup.open_events()
        self._waiting[fd] = (cgroup, on_empty)
        self._epoll.register(fd, select.EPOLLPRI)
        # It may have emptied between the caller's look and the registration.
        if not cgroup.is_populated():
            self._loop.call_soon(self._check, fd)

    def close(self) -> None:
        """Stop watching everything."""
        self._loop.remove_reader(self._epoll.fileno())
        for fd in self._waiting:
            os.close(fd)
        self._waiting.clear()
        self._epoll.close()

    def _on_events(self) -> None:
        for fd, _ in self._epoll.poll(0):
            self._check(fd)

    def _check(self, fd: int) -> None:
        waiting = self._waiting.get(fd)
        if waiting is None:
            return
        cgroup, on_empty = waiting
        if cgroup.is_populated():
            # Reading re-arms POLLPRI, and is_populated reads another descriptor: read this one too.
            os.pread(fd, 4096, 0)
            if cgroup.is_populated():
                return
        self._epoll.unregister(fd)
        os.close(fd)
        del self._waiting[fd]
        on_empty()
