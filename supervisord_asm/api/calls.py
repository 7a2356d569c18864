"""The calls of agents, 500 to 511, as one table: number, name, parameters, who may, what it does.

Everything else about their form follows from here: the C header, libasm's table and docs/calls.md
are written by native/calls_build.py (`make calls`; a test fails while they are stale), and the door
of the daemon and both clients read the table itself. What a call *does* is the daemon's.

Theory. A call has up to four words, as a system call has: numbers, and for each run of bytes its
address and its length. On the socket there are no addresses: the words that are left (numbers, and
the sizes of rooms for answers) stand in their order in the frame's four arguments, and the bytes
that go in are the frame's payload, so their length is the payload's. An answer comes back as the
reply's payload and its length as the result (wire.py).

Numbers are ABI: never reused, never renumbered. 512 and up belong to x32 in the kernel's own table.

Sources: ../shared/spec/CONTRACT.md ("Who is who", "Freezing, doors and effects", "Values"),
spec/asm.md 1.12 and 1.13, spec/sentinel.md, design/ARCHITECTURE.md ("Doors for agents").
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

# 500 and 502 answer whole JSON in this much or say ENOSPC (CONTRACT, "Values").
ANSWER_BYTES_MIN = 512
AGENT_INFO_BYTES_MAX = 4096
PATH_BYTES_MAX = 4096
TOOL_BYTES_MAX = 128
# Beyond any single tool call, and small enough that nine million of them fit 64 bits.
AMOUNT_MAX = 10**12


class Door(enum.IntEnum):
    """What an agent may say, on the agent socket and (inside an agent) as a real syscall."""

    TELEMETRY = 500
    POLICY_PATCH = 501
    AGENT_INFO = 502
    LLM_REQUEST = 503
    HEARTBEAT = 504
    TRACK_TOOL_CALL = 505
    LOCK = 506
    UNLOCK = 507
    PROFILE_SAMPLE = 508
    COMPLIANCE_EVENT = 509
    BUDGET = 510
    DEPENDENCY = 511


class Patch(enum.IntEnum):
    """The patch types of 501: each changes exactly one thing (DECISIONS, "Identity and policy")."""

    ADD_CAPABILITY = 1
    REMOVE_CAPABILITY = 2
    UPDATE_SCOPE = 3
    SET_AUTO_RESTART = 4


class Action(enum.IntEnum):
    """What the sentinel wants of an agent: the result of 505, mildest first (spec/sentinel.md)."""

    ALLOW = 0
    WARN = 1
    THROTTLE = 2
    CHECKPOINT = 3
    ABORT = 4


class DependencyChange(enum.IntEnum):
    """What 511 does to an edge."""

    ADD = 1
    REMOVE = 2


class DependencyType(enum.IntEnum):
    """How strong an edge of 511 is (spec/asm.md 1.10)."""

    REQUIRED = 1
    OPTIONAL = 2
    PEER = 3


# Enumerations that C programs need by number, with the prefix that they have there.
ENUMS: Mapping[type[enum.IntEnum], str] = {
    Patch: "ASM_PATCH",
    Action: "ASM_ACTION",
    DependencyChange: "ASM_DEPENDENCY",
    DependencyType: "ASM_EDGE",
}


class Way(enum.Enum):
    """How a parameter travels; the value is its letter in libasm's table."""

    NUMBER = "n"
    BYTES_IN = "i"  # address and length; on the socket the payload
    ROOM_OUT = "o"  # address and size of room for the answer; on the socket its size
    NUMBER_OR_PATH = "p"  # a number, but with Patch.UPDATE_SCOPE a path; on the socket the payload

    @property
    def words(self) -> int:
        """How many of a system call's words it takes."""
        return 2 if self in (Way.BYTES_IN, Way.ROOM_OUT) else 1


class ActsOn(enum.Flag):
    """Whom a call may be about, and thereby who may make it."""

    SELF = enum.auto()  # an agent, about itself
    CHILDREN = enum.auto()  # an agent, about children carved from its own budget
    OPERATORS = enum.auto()  # operators, about any agent
    ALL = enum.auto()  # an agent, about any agent: figures that are everybody's
    STRANGERS = enum.auto()  # whoever opens the socket


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `meaning` is one clause for the docs."""

    name: str
    way: Way
    meaning: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `errors` maps names of errno to when; those of every call stand in COMMON_ERRORS.

    `has_effect`: done twice is not the same as once, so it is never repeated by a client that does
    not know whether it was done (CONTRACT, "Freezing, doors and effects"). `is_patient`: the answer
    may rightly take longer than asmd takes to think.
    """

    number: Door
    summary: str
    parameters: tuple[Parameter, ...]
    result: str
    acts_on: ActsOn
    has_effect: bool = False
    is_patient: bool = False
    is_built: bool = True
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in C and Python: asm_NAME, client.NAME."""
        return self.number.name.lower()

    @property
    def shape(self) -> str:
        """One letter for each parameter (Way)."""
        return "".join(parameter.way.value for parameter in self.parameters)


COMMON_ERRORS: Mapping[str, str] = {
    "EAGAIN": "more calls than this agent may make, or asmd is away for the moment: try again",
    "EINVAL": "an argument is out of its range",
    "ENOSYS": "no door at all: not an agent with the syscall door",
    "EOPNOTSUPP": "the part of asmd that would answer is not built, or off",
    "EPERM": "not for this caller",
}

_BUFFER = Parameter("buffer", Way.ROOM_OUT, "receives the JSON; 8,192 bytes or more are good")
_NAME = Parameter("name", Way.BYTES_IN, "of the lock: a path, or any other word")
_FAULT = {"EFAULT": "an address is not the caller's"}
_ROOM = {**_FAULT, "ENOSPC": f"the room is under {ANSWER_BYTES_MIN} bytes"}
_NO_AGENT = {"ESRCH": "there is no such agent"}
_GONE = {"ESRCH": "the caller's agent is not configured any more"}

CALLS: tuple[Call, ...] = (
    Call(
        Door.TELEMETRY, "Read the counters of the system and of all agents.",
        (_BUFFER,), "length of the JSON",
        ActsOn.SELF | ActsOn.ALL | ActsOn.OPERATORS | ActsOn.STRANGERS, errors=_ROOM,
    ),
    Call(
        Door.POLICY_PATCH, "Change one thing of an agent's policy.",
        (
            Parameter("agent_id", Way.NUMBER, "whose policy"),
            Parameter("patch", Way.NUMBER, "what to change: enum asm_patch"),
            Parameter("value", Way.NUMBER_OR_PATH, "capability bits, path prefix or restarts"),
        ),
        "0", ActsOn.OPERATORS, has_effect=True, is_built=False, errors={**_FAULT, **_NO_AGENT},
    ),
    Call(
        Door.AGENT_INFO, "Read about one agent.",
        (Parameter("agent_id", Way.NUMBER, "which agent"), _BUFFER), "length of the JSON",
        ActsOn.SELF | ActsOn.ALL | ActsOn.OPERATORS, errors={**_ROOM, **_NO_AGENT},
    ),
    Call(
        Door.LLM_REQUEST, "Ask a language model through the gateway.",
        (
            Parameter("request", Way.BYTES_IN, "the JSON of the request"),
            Parameter("response", Way.ROOM_OUT, "receives the JSON of the answer"),
        ),
        "length of the JSON", ActsOn.SELF, has_effect=True, is_patient=True, is_built=False,
        errors={
            **_FAULT, "EIO": "all providers failed", "ETIMEDOUT": "not within `timeout_ms`",
            "ENOSPC": "the answer does not fit",
        },
    ),
    Call(
        Door.HEARTBEAT, "Say that the agent makes progress.", (), "0", ActsOn.SELF, errors=_GONE,
    ),
    Call(
        Door.TRACK_TOOL_CALL, "Account for one use of a tool, and ask whether to go on.",
        (
            Parameter("tool", Way.BYTES_IN, f"its name: UTF-8, 1 to {TOOL_BYTES_MAX} bytes"),
            Parameter("credits_milli", Way.NUMBER, "thousandths of a credit; 0 to 10^12"),
            Parameter("tokens", Way.NUMBER, "tokens; 0 to 10^12"),
        ),
        "enum asm_action", ActsOn.SELF, has_effect=True, errors={**_FAULT, **_GONE},
    ),
    Call(
        Door.LOCK, "Take a named lock.",
        (_NAME, Parameter("timeout_ms", Way.NUMBER, "how long to wait for it; 0 = not at all")),
        "0", ActsOn.SELF, has_effect=True, is_patient=True, is_built=False,
        errors={
            **_FAULT, "EDEADLK": "waiting would close a cycle", "ETIMEDOUT": "somebody holds it",
        },
    ),
    Call(
        Door.UNLOCK, "Give a named lock back.", (_NAME,), "0", ActsOn.SELF, has_effect=True,
        is_built=False, errors=_FAULT,
    ),
    Call(
        Door.PROFILE_SAMPLE, "Tell how long one operation took.",
        (
            Parameter("operation", Way.BYTES_IN, "its name: 1 to 64 printable ASCII characters"),
            Parameter("duration_us", Way.NUMBER, "microseconds, 0 or more"),
            Parameter("success", Way.NUMBER, "1 when it succeeded, 0 when it failed"),
        ),
        "0", ActsOn.SELF, errors={
            **_FAULT, **_GONE, "ENOSPC": "the agent has too many operations already",
        },
    ),
    Call(
        Door.COMPLIANCE_EVENT, "Put an event into the agent's compliance record.",
        (
            Parameter("event", Way.BYTES_IN, "the JSON of the event"),
        ),
        "0", ActsOn.SELF, is_built=False, errors=_FAULT,
    ),
    Call(
        Door.BUDGET, "Reserve, settle, observe or read a budget.",
        (
            Parameter("request", Way.BYTES_IN, "the JSON of the request; a client-made id in it"),
            Parameter("answer", Way.ROOM_OUT, "receives the JSON of the answer"),
        ),
        "length of the JSON", ActsOn.SELF | ActsOn.CHILDREN, has_effect=True, is_built=False,
        errors=_ROOM,
    ),
    Call(
        Door.DEPENDENCY, "Add or remove an edge from this agent onto another.",
        (
            Parameter("change", Way.NUMBER, "what to do: enum asm_dependency"),
            Parameter("agent_id", Way.NUMBER, "the agent that is depended on"),
            Parameter("edge", Way.NUMBER, "how strong: enum asm_edge"),
        ),
        "0", ActsOn.SELF | ActsOn.OPERATORS, is_built=False, errors=_NO_AGENT,
    ),
)  # fmt: skip

BY_NUMBER: Mapping[int, Call] = {int(call.number): call for call in CALLS}
assert [call.number for call in CALLS] == list(Door)
assert all(sum(p.way.words for p in call.parameters) <= 4 for call in CALLS)


def may_call(call: Call, *, is_agent: bool, is_operator: bool) -> bool:
    """Whether such a caller may make the call at all; about whom is the daemon's to check."""
    if is_agent:
        return bool(call.acts_on & (ActsOn.SELF | ActsOn.CHILDREN | ActsOn.ALL))
    return bool(call.acts_on & (ActsOn.OPERATORS if is_operator else ActsOn.STRANGERS))
