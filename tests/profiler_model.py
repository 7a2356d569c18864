"""What tests of the profiler hold it against."""

from supervisord_asm.core.profiler import OperationStats


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_us = 1_000

    def __call__(self) -> int:
        return self.now_us


def naive(operation: str, samples: list[tuple[int, bool]]) -> OperationStats:
    """Say the definition in the plainest way, with floats where the sources have them."""
    if not samples:
        return OperationStats(operation)
    ordered = sorted(duration for duration, _ in samples)
    count = len(ordered)
    return OperationStats(
        operation, count, len([1 for _, success in samples if success]), min(ordered), max(ordered),
        sum(ordered) // count, ordered[count // 2],
        ordered[min(int(0.95 * count), count - 1)], ordered[min(int(0.99 * count), count - 1)],
    )  # fmt: skip
