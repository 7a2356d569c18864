"""Single values of a configuration: names, paths, users, ports, signals, modes.

Each function takes the text as written and returns the value, or raises Refusal with what would be
right. None looks at this host: whether a path or a user exists is not a question of form.
"""

import enum
import re
import signal
from typing import TypeVar

from supervisord_asm.configuration.errors import Refusal
from supervisord_asm.configuration.suggestion import nearest, suggest
from supervisord_asm.core.capability import NAMES, Capability, parse_name
from supervisord_asm.core.spec import (
    ALLOW_GROUPS,
    DOORS,
    ENVIRONMENT_RESERVED,
    NAME_PATTERN,
    WITNESSES,
)

E = TypeVar("E", bound=enum.Enum)

PATH_MAX_BYTES = 4_095  # PATH_MAX without its NUL
PORT_MAX = 65_535
ID_MAX = (1 << 32) - 2  # uid_t without the -1 that means "unchanged"

_NAME = re.compile(NAME_PATTERN)
# useradd(8), NAME_REGEX of Debian's adduser; systemd calls it the strict mode.
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SIGNALS = {member.name: int(member) for member in signal.Signals}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def truth(text: str) -> bool:
    """Read true or false; nothing else of YAML 1.1's eleven spellings."""
    if text in ("true", "false"):
        return text == "true"
    raise Refusal(f'"{text}" is neither true nor false', "write true or false")


def plain_text(text: str) -> str:
    """Pass a text on that exec, open and the journal can take."""
    if "\0" in text:
        raise Refusal("a NUL character", "remove it: no argument, path or variable can hold one")
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair; YAML cannot.
        raise Refusal("half of a character", "remove it: it has no bytes") from None
    return text


def choose(text: str, choices: type[E]) -> E:
    """Find an enumeration's member by its value."""
    try:
        return choices(text)
    except ValueError:
        words = [str(choice.value) for choice in choices]
        raise Refusal(f'unknown value "{text}"', suggest(text, words)) from None


def whole_number(text: str, minimum: int, maximum: int) -> int:
    """Read decimal digits; neither 0x10 nor 1e3."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
        raise Refusal(f'"{text}" is not a whole number', f"{minimum} to {maximum}")
    value = int(text)
    if not minimum <= value <= maximum:
        raise Refusal(f"{text} is out of range", f"{minimum} to {maximum}")
    return value


def agent_name(text: str) -> str:
    """Check the name of an agent or of a group of agents."""
    if _NAME.fullmatch(text):
        return text
    if text.isdecimal():
        raise Refusal(f'the name "{text}" is a number', f"write a-{text}: numbers are agents' ids")
    raise Refusal(
        f'"{text[:80]}" is no name',
        "a lower-case letter, then up to 62 of a-z 0-9 _ . -",
    )


def absolute_path(text: str) -> str:
    """Check a path: absolute and in its shortest form."""
    if not text.startswith("/"):
        raise Refusal(f'"{text[:80]}" is not absolute', "begin with /")
    return text if text == "/" else "/" + relative_path(text[1:])


def relative_path(text: str) -> str:
    """Check a path below some other: in its shortest form, a slash at its end is dropped."""
    plain_text(text)
    length_bytes = len(text.encode()) + 1  # with the slash before it
    if length_bytes > PATH_MAX_BYTES:
        raise Refusal(f"a path of {length_bytes} bytes", f"at most {PATH_MAX_BYTES} bytes")
    parts = text.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Refusal(f'"{text[:80]}" is not in its shortest form', "write it without . .. and //")
    return "/".join(parts)


def always_path(text: str) -> str:
    """Check an entry of the always-list: a path whose last component may end in `*`."""
    path = absolute_path(text)
    if "*" in path.removesuffix("*"):
        raise Refusal(f'"{text[:80]}" has a * in the middle', "* may only be the last character")
    return path


def user_name(text: str) -> str:
    """Check a user: a name or a uid. Root must be spelled out."""
    return _account(text, "user")


def group_name(text: str) -> str:
    """Check a group: a name or a gid."""
    return _account(text, "group")


def _account(text: str, what: str) -> str:
    if text.isascii() and text.isdecimal() and len(text) <= 10:
        number = int(text)
        if number == 0:
            raise Refusal(f"{what} {text} is root", f"spell it out: {what}: root")
        if number <= ID_MAX:
            return str(number)
    elif _USER.fullmatch(text):
        return text
    raise Refusal(f'"{text[:80]}" is no {what}', f"a {what} name, or a number up to {ID_MAX}")


def variable_name(text: str) -> str:
    """Check the name of an environment variable that a spec may set."""
    if text in ENVIRONMENT_RESERVED:
        raise Refusal(f"{text} is set by the daemon", "remove it")
    if not _VARIABLE.fullmatch(text):
        raise Refusal(f'"{text[:80]}" is no variable name', "letters, digits and _, no digit first")
    return text


def credential_name(text: str) -> str:
    """Check the name under which a credential is handed over: a file name."""
    if not _FILE_NAME.fullmatch(text):
        raise Refusal(
            f'"{text[:80]}" is no credential name', "letters, digits, _ . - (a file name)"
        )
    return text


def signal_number(text: str) -> int:
    """Read SIGTERM, TERM or 15."""
    number = _SIGNALS.get(text) or _SIGNALS.get(f"SIG{text}")
    if number is not None:
        return number
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= 64:
        return int(text)
    hint = nearest(text, _SIGNALS) or "a name as SIGTERM, or a number from 1 to 64"
    raise Refusal(f'unknown signal "{text[:80]}"', hint)


def exit_status(text: str) -> int:
    """Read an exit code (0..255), or a signal's name as its negated number."""
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    try:
        if not text[:1].isdigit():
            return -signal_number(text)
    except Refusal:
        pass  # said below, with both kinds of what would be right
    raise Refusal(f'"{text[:80]}" is no exit status', "a code 0 to 255, or a signal as SIGTERM")


def file_mode(text: str) -> int:
    """Read a umask as octal digits."""
    if not re.fullmatch("0?[0-7]{3}", text):
        raise Refusal(f'"{text[:80]}" is no mask', "three octal digits, as 022")
    return int(text, 8)


def port(text: str) -> int:
    """Read a port number."""
    return whole_number(text, 1, PORT_MAX)


def cpu_list(text: str) -> tuple[int, ...]:
    """Read cores as cpusets spell them: 0-3,5."""
    cores: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise Refusal(f'"{text[:80]}" is no list of cores', 'write "0-3,5"')
        cores.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(cores))


def capability(text: str) -> Capability:
    """Read one capability by its name."""
    found = parse_name(text)
    if found is None:
        raise Refusal(f'unknown capability "{text[:80]}"', suggest(text, NAMES.values()))
    return found


def allow_group(text: str) -> str:
    """Check the name of a group of syscalls."""
    return _one_of(text, ALLOW_GROUPS, "group of syscalls")


def door(text: str) -> str:
    """Check the name of a door."""
    return _one_of(text, DOORS, "door")


def witness(text: str) -> str:
    """Check the name of a witness of progress."""
    return _one_of(text, WITNESSES, "witness")


def _one_of(text: str, words: frozenset[str], what: str) -> str:
    if text not in words:
        raise Refusal(f'unknown {what} "{text[:80]}"', suggest(text, words))
    return text
