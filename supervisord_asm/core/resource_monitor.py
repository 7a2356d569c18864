"""The resource monitor of the guide (section 15): one read API over one-second windows. Pure.

Two things are read the same way: what somebody records (`AgentMonitor`, for programs that account
for something themselves) and what the kernel counted (daemon/usage.py, over the sampler). Both hold
the last 60 closed windows, aligned to whole seconds, and answer rates over the last n of them.

Where the guide and its sources leave it open:

- Rates are whole numbers, rounded down, and 0 before the first window is closed. CPU is in
  thousandths of a percent of one core, as everywhere: 100,000 is one core, fully used.
- A rate divides by the windows that exist, at most n; the open one is not among them. An idle
  second is a window of zeros that keeps the memory, so a rate falls while nothing happens.
- The window in which an agent was added counts, although it is only a part of a second.
- The peak is the highest memory ever told, not only among the retained windows.
- None is a figure that has no source; it is never 0. Recorded figures are always known.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from supervisord_asm.core.resources import WINDOW_US, WINDOWS_MAX, Window, span_of, sum_known

Clock = Callable[[], int]
Lifetime = tuple[int | None, int | None, int | None]


class Usage(ABC):
    """What can be asked about one agent."""

    @abstractmethod
    def history(self) -> list[Window]:
        """Return the closed windows, at most 60, oldest first."""

    @abstractmethod
    def current_memory(self) -> int | None:
        """Return the bytes in use, as last told."""

    @abstractmethod
    def peak_memory(self) -> int | None:
        """Return the most bytes that were ever in use."""

    @abstractmethod
    def lifetime_stats(self) -> Lifetime:
        """Return (CPU time in microseconds, syscalls, read and write calls) since the beginning."""

    def cpu_usage_rate(self, last: int) -> int:
        """Return the CPU use over the last windows; more than 100,000 on several cores.

        Raises ValueError for less than one window, as all rates do.
        """
        return span_of(self.history(), last).cpu_percent_milli or 0

    def syscall_rate(self, last: int) -> int | None:
        """Return syscalls per second over the last windows; None: not counted."""
        span = span_of(self.history(), last)
        return span.syscall_rate if span.windows else 0

    def io_rate(self, last: int) -> int | None:
        """Return read and write calls per second, as `syscall_rate` does."""
        span = span_of(self.history(), last)
        return span.io_rate if span.windows else 0


class AgentMonitor(Usage):
    """One agent's figures as they are recorded."""

    def __init__(self, clock: Clock) -> None:
        """Begin with zeros. `clock` returns microseconds and never goes back."""
        self._clock = clock
        self._second = clock() // WINDOW_US
        self._windows: deque[Window] = deque(maxlen=WINDOWS_MAX)
        self._cpu_time_us = self._syscall_count = self._io_ops = 0
        self._memory_bytes = self._peak_bytes = 0
        self._total_cpu_us = self._total_syscalls = self._total_io = 0

    def record_cpu(self, cpu_time_us: int) -> None:
        """Add CPU time to the open window. Raises ValueError below 0, as all records do."""
        self._close_windows()
        self._cpu_time_us += _checked(cpu_time_us)
        self._total_cpu_us += cpu_time_us

    def record_syscall(self, count: int = 1) -> None:
        """Add system calls to the open window."""
        self._close_windows()
        self._syscall_count += _checked(count)
        self._total_syscalls += count

    def record_io(self, count: int = 1) -> None:
        """Add read and write calls to the open window."""
        self._close_windows()
        self._io_ops += _checked(count)
        self._total_io += count

    def update_memory(self, memory_bytes: int) -> None:
        """Say how much memory is in use from now on."""
        self._close_windows()
        self._memory_bytes = _checked(memory_bytes)
        self._peak_bytes = max(self._peak_bytes, memory_bytes)

    def history(self) -> list[Window]:
        """Return the closed windows, at most 60, oldest first."""
        self._close_windows()
        return list(self._windows)

    def current_memory(self) -> int:
        """Return what `update_memory` said last; 0 before."""
        return self._memory_bytes

    def peak_memory(self) -> int:
        """Return the most that `update_memory` ever said."""
        return self._peak_bytes

    def lifetime_stats(self) -> tuple[int, int, int]:
        """Return (CPU time in microseconds, syscalls, read and write calls), up to now."""
        return self._total_cpu_us, self._total_syscalls, self._total_io

    def _close_windows(self) -> None:
        """Close what is over. At most 60 steps, however long nobody looked."""
        second = self._clock() // WINDOW_US
        if second <= self._second:
            return
        self._windows.append(self._window(self._second))
        self._cpu_time_us = self._syscall_count = self._io_ops = 0
        first_idle = max(self._second + 1, second - WINDOWS_MAX)
        self._windows.extend(map(self._window, range(first_idle, second)))
        self._second = second

    def _window(self, second: int) -> Window:
        return Window(
            second * WINDOW_US, self._cpu_time_us, self._memory_bytes, self._syscall_count,
            self._io_ops,
        )  # fmt: skip


SomeUsage = TypeVar("SomeUsage", bound=Usage)


class Monitor(ABC, Generic[SomeUsage]):
    """What can be asked about all agents."""

    @abstractmethod
    def get_agent(self, agent_id: int) -> SomeUsage | None:
        """Return one agent; None: it is not known."""

    @abstractmethod
    def all_agents(self) -> Iterable[SomeUsage]:
        """Return every agent that is known, in any order."""

    def system_memory_usage(self) -> int | None:
        """Return the sum of what the agents use now, in bytes; None when nothing is known."""
        return sum_known(agent.current_memory() for agent in self.all_agents())

    def system_cpu_usage(self, last: int) -> int:
        """Return the sum of the agents' CPU use over the last windows."""
        return sum(agent.cpu_usage_rate(last) for agent in self.all_agents())


class ResourceMonitor(Monitor[AgentMonitor]):
    """All agents' figures as they are recorded."""

    def __init__(self, clock: Clock) -> None:
        """Begin without agents. `clock` is theirs too."""
        self._clock = clock
        self._agents: dict[int, AgentMonitor] = {}

    def add_agent(self, agent_id: int) -> AgentMonitor:
        """Take an agent in; one that is known begins anew."""
        agent = self._agents[agent_id] = AgentMonitor(self._clock)
        return agent

    def remove_agent(self, agent_id: int) -> bool:
        """Drop an agent. False: it is not known."""
        return self._agents.pop(agent_id, None) is not None

    def get_agent(self, agent_id: int) -> AgentMonitor | None:
        """Return one agent; None: it is not known."""
        return self._agents.get(agent_id)

    def all_agents(self) -> list[AgentMonitor]:
        """Return every agent, in the order in which they were added."""
        return list(self._agents.values())

    def system_memory_usage(self) -> int:
        """Return the sum of what the agents use now, in bytes; 0 without agents."""
        return sum(agent.current_memory() for agent in self._agents.values())


def _checked(amount: int) -> int:
    if amount < 0:
        raise ValueError(f"an amount is at least 0, not {amount}")
    return amount
