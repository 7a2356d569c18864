"""The parts of a configuration that bound an agent: limits, budget, scope, logs.

Each function takes the section's key from its parent and returns the record, merged over a
default: a key that is given replaces, a key that is not keeps.
"""

from dataclasses import replace

from supervisord_asm.configuration.document import Mapping, Scalar
from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.scalars import absolute_path, cpu_list, whole_number
from supervisord_asm.configuration.section import UNLIMITED, Section
from supervisord_asm.configuration.suggestion import suggest
from supervisord_asm.core.spec import (
    LIMITS_PRESETS,
    BudgetSpec,
    LimitsSpec,
    LogsSpec,
    ScopeSpec,
)
from supervisord_asm.core.units import BYTE_RATE, CPU, CREDITS, MONEY, RATE, SIZE, TIME

# Least values below which a limit only kills what it should bound.
CPU_MIN_USEC = 1_000  # cpu.max's own floor (kernel/sched/core.c, min_cfs_quota_period)
MEMORY_MIN_BYTES = 1 << 20  # no libc program starts in less
TIMER_MIN_USEC = 1_000  # our ticks and timers do not resolve less
LOG_MIN_BYTES = 4_096
# pid_max on 64-bit kernels (include/linux/threads.h, PID_MAX_LIMIT) bounds processes and files.
PIDS_LIMIT = 4_194_304
NOFILE_LIMIT = 1_048_576  # fs.nr_open's default: more is refused by setrlimit
LOG_FILES_MAX = 100
COUNT_LIMIT = 10**15


def read_limits(parent: Section, default: LimitsSpec, key: str = "limits") -> LimitsSpec:
    """Read `limits: conservative`, or a mapping with an optional preset below single limits."""
    node = parent.take(key)
    if node is None:
        return default
    if isinstance(node, Scalar):
        return parent.convert(node, parent.name(key), _preset, default)
    section = parent.open(node, parent.name(key))
    if section is None:
        return default
    base = section.read("preset", _preset, default)
    io = section.section("io") or section.absent("io")
    limits = LimitsSpec(
        cpu_quota_usec=section.limit("cpu", CPU, base.cpu_quota_usec, CPU_MIN_USEC),
        cpu_burst_usec=section.limit("cpu_burst", TIME, base.cpu_burst_usec),
        cpus=section.read("cpus", cpu_list, base.cpus),
        memory_bytes=section.limit("memory", SIZE, base.memory_bytes, MEMORY_MIN_BYTES),
        memory_high_bytes=section.limit(
            "memory_high", SIZE, base.memory_high_bytes, MEMORY_MIN_BYTES
        ),
        pids_max=_count(section, "pids", base.pids_max, PIDS_LIMIT),
        syscall_rate=section.limit("syscalls", RATE, base.syscall_rate, 1),
        io_read_bytes=io.limit("read", BYTE_RATE, base.io_read_bytes, 1),
        io_write_bytes=io.limit("write", BYTE_RATE, base.io_write_bytes, 1),
        io_read_ops=io.limit("read_ops", RATE, base.io_read_ops, 1),
        io_write_ops=io.limit("write_ops", RATE, base.io_write_ops, 1),
        watchdog_usec=section.limit("watchdog", TIME, base.watchdog_usec, TIMER_MIN_USEC),
        wall_usec=section.limit("wall", TIME, base.wall_usec, TIMER_MIN_USEC),
        nofile=_count(section, "nofile", base.nofile, NOFILE_LIMIT),
        core_bytes=section.limit("core", SIZE, base.core_bytes),
    )
    io.done()
    section.done()
    return _consistent(section, limits)


def _consistent(section: Section, limits: LimitsSpec) -> LimitsSpec:
    high, most = limits.memory_high_bytes, limits.memory_bytes
    if high is not None and most is not None and high > most:
        if section.has("memory_high"):
            section.refuse(
                "memory_high",
                f"{section.name('memory_high')}: {SIZE.format(high)} is more than memory",
                f"at most {SIZE.format(most)}",
            )
        # An inherited high above a new, lower limit says nothing: fall back to 90 % of it.
        limits = replace(limits, memory_high_bytes=None)
    if limits.cpu_burst_usec is not None and limits.cpu_quota_usec is None:
        section.refuse("cpu_burst", f"{section.name('cpu_burst')} without cpu", 'add cpu, as "50%"')
    return limits


def _preset(text: str) -> LimitsSpec:
    found = LIMITS_PRESETS.get(text)
    if found is None:
        raise Refusal(f'unknown preset "{text[:80]}"', suggest(text, LIMITS_PRESETS))
    return found


def _count(section: Section, key: str, default: int | None, maximum: int) -> int | None:
    def parse(text: str) -> int | None:
        return None if text == UNLIMITED else whole_number(text, 1, maximum)

    return section.read(key, parse, default)


def read_scope(parent: Section, default: ScopeSpec) -> ScopeSpec:
    """Read `scope: /path`, a list of paths, or a mapping with the bounds as well."""
    node = parent.take("scope")
    if node is None:
        return default
    if not isinstance(node, Mapping):
        return ScopeSpec(paths=parent.values("scope", absolute_path, single=True))
    section = Section(parent.report, node, parent.name("scope"))
    scope = ScopeSpec(
        paths=section.values("paths", absolute_path, default.paths, single=True),
        max_file_size_bytes=section.limit("max_file_size", SIZE, default.max_file_size_bytes),
        max_ops_per_sec=section.limit("max_ops", RATE, default.max_ops_per_sec, 1),
    )
    section.done()
    return scope


def read_logs(parent: Section, default: LogsSpec, key: str = "logs") -> LogsSpec:
    """Read the size and number of a log's files."""
    section = parent.section(key)
    if section is None:
        return default
    logs = LogsSpec(
        max_bytes=section.quantity("max_size", SIZE, default.max_bytes, LOG_MIN_BYTES),
        files=section.count("files", default.files, 1, LOG_FILES_MAX),
    )
    section.done()
    return logs


def read_budget(parent: Section) -> BudgetSpec | None:
    """Read what may be spent; None when the section is absent."""
    section = parent.section("budget")
    if section is None:
        return None
    budget = BudgetSpec(
        tokens=section.count("tokens", None, 0, COUNT_LIMIT),
        usd_nanos=section.quantity("usd", MONEY, None),
        iterations=section.count("iterations", None, 0, COUNT_LIMIT),
        credits_millis=section.quantity("credits", CREDITS, None),
        deadline_usec=section.quantity("deadline", TIME, None, TIMER_MIN_USEC),
    )
    if section.is_empty:
        parent.refuse("budget", f"{section.path} bounds nothing", 'add a bound, as usd: "2.50 USD"')
    section.done()
    return budget
