"""The operand that names an agent: an id or a name, checked before anybody is asked.

Ids are decimal digits only, 1 to 2^31 - 1; names are what the configuration allows. Anything else
is "Invalid agent ID", the old shell's words (spec/asm.md 1.14).
"""

from collections.abc import Sequence

from supervisord_asm.cli.options import UsageError

# core.spec says the same and costs 15 ms to import; a test compares them.
_ID_MAX = (1 << 31) - 1
_NAME_LENGTH_MAX = 63
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz")
_REST = _FIRST | frozenset("0123456789_.-")


class InvalidAgent(UsageError):
    """The operand can be neither an id nor a name."""

    def __init__(self, operand: str) -> None:
        super().__init__("Invalid agent ID")
        self.operand = operand


def check_agent(operand: str) -> str:
    """Return the operand if it can name an agent. Raises InvalidAgent."""
    if operand.isascii() and operand.isdigit():
        is_valid = len(operand) <= 10 and 0 < int(operand) <= _ID_MAX
    else:
        is_valid = (
            0 < len(operand) <= _NAME_LENGTH_MAX
            and operand[0] in _FIRST
            and _REST.issuperset(operand)
        )
    if not is_valid:
        raise InvalidAgent(operand)
    return operand


def check_agents(operands: Sequence[str]) -> list[str]:
    """Return the operands if each can name an agent. Raises InvalidAgent for the first other."""
    return [check_agent(operand) for operand in operands]
