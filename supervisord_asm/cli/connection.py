"""From parsed options to a connected client, and the words of agent operands."""

from supervisord_asm.api.client import CONTROL_SOCKET, Client
from supervisord_asm.cli.options import Parsed, UsageError

TIMEOUT_DEFAULT_S = 5.0


def open_client(parsed: Parsed, *, is_patient: bool = False) -> Client:
    """Connect as --socket and --timeout say. Raises Unreachable, UsageError.

    Args:
        parsed: the command line.
        is_patient: what is asked for may rightly take long (a stop with its grace time), so without
            --timeout an answer is waited for without end. Connecting is always bounded.
    """
    timeout_s = read_timeout_s(parsed)
    client = Client(parsed.text("socket") or CONTROL_SOCKET, timeout_s or TIMEOUT_DEFAULT_S)
    if is_patient and timeout_s is None:
        client.set_timeout(None)
    return client


def read_timeout_s(parsed: Parsed) -> float | None:
    """Return --timeout in seconds; None when it was not given. Raises UsageError."""
    text = parsed.text("timeout")
    if text is None:
        return None
    return read_duration_us("timeout", text) / 1_000_000


def read_duration_us(option: str, text: str) -> int:
    """Return "30s" or "500ms" in microseconds; bare digits are seconds, as in sleep(1)."""
    from supervisord_asm.core.units import TIME, UnitError  # 2 ms that most command lines save

    try:
        duration_us = TIME.parse(f"{text}s" if text.isdecimal() else text)
    except UnitError as error:
        raise UsageError(f"option --{option}: {error}") from error
    if duration_us == 0:
        raise UsageError(f"option --{option}: must be more than 0")
    return duration_us
