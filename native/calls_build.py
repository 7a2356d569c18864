"""Writes what follows from the table of calls (supervisord_asm/api/calls.py): `make calls`.

Three files: native/include/asm_calls.h for C programs, native/libasm/table.h for libasm, and
docs/calls.md for people. They are kept in the repository, so that nobody needs Python to read or
compile them; tests/test_tidy.py fails while one of them is not what `rendered` returns.
"""

import enum
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from supervisord_asm.api import wire
from supervisord_asm.api.calls import (
    AMOUNT_MAX,
    ANSWER_BYTES_MIN,
    CALLS,
    COMMON_ERRORS,
    ENUMS,
    PATH_BYTES_MAX,
    TOOL_BYTES_MAX,
    ActsOn,
    Call,
    Door,
    Patch,
    Way,
)

ROOT = Path(__file__).resolve().parent.parent
BANNER = "Made from supervisord_asm/api/calls.py by `make calls`. Do not edit."
PAGE_COLUMNS = 120
# Who stands in the docs for each bit of ActsOn.
CALLERS = (
    (ActsOn.SELF, "an agent, about itself"),
    (ActsOn.CHILDREN, "an agent, about its children"),
    (ActsOn.ALL, "an agent, about any agent"),
    (ActsOn.OPERATORS, "operators"),
    (ActsOn.STRANGERS, "anybody"),
)


def rendered() -> dict[str, str]:
    """Return each generated file's text by its path below the repository's root."""
    return {
        "native/include/asm_calls.h": public_header(),
        "native/libasm/table.h": library_table(),
        "docs/calls.md": page(),
    }


def main() -> int:
    """Write the files that are not as they should be; say which."""
    for name, text in rendered().items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(name)
    return 0


def _head(about: str) -> list[str]:
    return [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* {about} */",
        f"/* {BANNER} */",
        "#pragma once",
        "",
    ]


def _enum(name: str, prefix: str, members: type[enum.IntEnum]) -> list[str]:
    lines = [f"enum {name} {{"]
    lines += [f"  {prefix}_{member.name} = {member.value}," for member in members]
    return [*lines, "};", ""]


def public_header() -> str:
    """Return asm_calls.h: numbers and enumerations."""
    lines = _head("The calls of agents by number. Programs include asm.h, which includes this.")
    lines += ["/* Each call N of this list is asm_n() in asm.h and syscall(N) inside an agent. */"]
    lines += _enum("asm_call_number", "ASM_CALL", Door)
    for members, prefix in ENUMS.items():
        about = (members.__doc__ or "").split(" (")[0].rstrip(".")
        lines += [f"/* {about}. */", *_enum(prefix.lower(), prefix, members)]
    lines += [
        f"#define ASM_ANSWER_BYTES_MIN {ANSWER_BYTES_MIN} /* smaller rooms are ENOSPC */",
        f"#define ASM_PATH_BYTES_MAX {PATH_BYTES_MAX}",
        f"#define ASM_TOOL_BYTES_MAX {TOOL_BYTES_MAX}",
        f"#define ASM_AMOUNT_MAX {AMOUNT_MAX}LL /* of credits or tokens in one call */",
    ]
    return "\n".join(lines) + "\n"


def library_table() -> str:
    """Return what libasm must know of each call, and of the frame."""
    shapes = " ".join(f"'{way.value}' {way.name.lower()}," for way in Way).rstrip(",")
    lines = _head("What libasm knows of each call, and the frame of the socket (api/wire.py).")
    lines += [
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "",
        f"#define FRAME_MAGIC 0x{wire.MAGIC:08X}u",
        f"#define FRAME_VERSION {wire.VERSION}",
        f"#define FRAME_BYTES_MAX {wire.PAYLOAD_BYTES_MAX} /* of payload */",
        f"#define FIRST_CALL {int(min(Door))}",
        f"#define LAST_CALL {int(max(Door))}",
        f"#define PATH_PATCH {int(Patch.UPDATE_SCOPE)} /* its value is a path */",
        "",
        "struct frame {",
        "  uint32_t magic;",
        "  uint16_t version;",
        "  uint16_t number;",
        "  uint32_t flags;",
        "  uint64_t request_id;",
        "  uint32_t length; /* of what follows */",
        "  int64_t result;",
        "} __attribute__((packed));",
        "",
        f"/* {shapes}: one letter for each parameter. */",
        "struct call_shape {",
        "  const char *parameters;",
        "  bool has_effect; /* never repeated without knowing that it was not done */",
        "  bool is_patient; /* the answer may take as long as it takes */",
        "};",
        "",
        "static const struct call_shape call_shapes[] = {",
    ]
    lines += [
        f'  {{"{call.shape}", {_bool(call.has_effect)}, {_bool(call.is_patient)}}},'
        f" /* {int(call.number)} {call.name} */"
        for call in CALLS
    ]
    return "\n".join([*lines, "};"]) + "\n"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def page() -> str:
    """Return docs/calls.md."""
    lines = [
        "# The calls of agents",
        "",
        f"<!-- {BANNER} -->",
        "",
        *_wrapped(
            "Inside an agent whose `doors` have `syscall` these are system calls: "
            "`syscall(500, buffer, size)`. The same calls go over the socket `/run/asm/asm.sock` "
            "(`ASM_SOCKET`). `libasm` (`asm(3)`) and `supervisord_asm.client` use whichever is "
            "there. A result below zero is `-errno` (through the C library: -1 and `errno`)."
        ),
        "",
        "| number | name | what it does | who | |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {int(call.number)} | [{call.name}](#{int(call.number)}-{call.name}) "
        f"| {call.summary} | {_who(call)} | {_marks(call)} |"
        for call in CALLS
    ]
    lines += [
        "",
        *_wrapped(
            "**Effect**: done twice is not the same as once. Such a call is never repeated by a "
            "client that does not know whether it was done; `ECONNRESET` says so. **Not built**: "
            "answers EOPNOTSUPP to agents and operators."
        ),
        "",
        "## On the socket",
        "",
        *_wrapped(
            "A request is a frame (`supervisord_asm/api/wire.py`) whose payload begins with four "
            "signed 64-bit words, little-endian: the numbers and the sizes of rooms for answers, "
            "in the order of the parameters; addresses are left out, and so are the lengths of "
            "bytes that go in: these follow the words. The answer is the reply's payload, its "
            "length the result."
        ),
        "",
        "## Errors of every call",
        "",
        *_errors(COMMON_ERRORS),
    ]
    for call in CALLS:
        lines += ["", *_section(call)]
    return "\n".join(lines) + "\n"


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(paragraph, PAGE_COLUMNS, break_on_hyphens=False)


def _who(call: Call) -> str:
    if call.acts_on & ActsOn.STRANGERS:
        return "anybody"
    return "; ".join(words for bit, words in CALLERS if call.acts_on & bit)


def _marks(call: Call) -> str:
    marks = ["effect"] if call.has_effect else []
    return ", ".join(marks if call.is_built else [*marks, "not built"])


def _section(call: Call) -> list[str]:
    words: list[str] = []
    socket: list[str] = []
    for parameter in call.parameters:
        words.append(parameter.name)
        if parameter.way is Way.BYTES_IN:
            words.append(f"{parameter.name}_length")
        elif parameter.way is Way.ROOM_OUT:
            words.append(f"{parameter.name}_size")
            socket.append(f"{parameter.name}_size")
        else:
            socket.append(parameter.name)
    has_payload = any(p.way is Way.BYTES_IN for p in call.parameters)
    payload = next((p.name for p in call.parameters if p.way is Way.BYTES_IN), "")
    on_socket = f"`({', '.join(socket) or 'none'})`" + (f" + `{payload}`" if has_payload else "")
    lines = [
        f"## {int(call.number)} {call.name}",
        "",
        call.summary + ("" if call.is_built else " **Not built yet: EOPNOTSUPP.**"),
        "",
        f"- system call: `syscall({', '.join([str(int(call.number)), *words])})`",
        f"- words on the socket: {on_socket}",
        f"- result: {call.result}",
        f"- who: {_who(call)}{'; has an effect' if call.has_effect else ''}",
    ]
    lines += [f"- `{parameter.name}`: {parameter.meaning}" for parameter in call.parameters]
    return [*lines, *_errors(call.errors)]


def _errors(errors: Mapping[str, str]) -> list[str]:
    return [f"- **{name}**: {meaning}" for name, meaning in errors.items()]


if __name__ == "__main__":
    sys.exit(main())
