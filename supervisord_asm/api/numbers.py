"""The numbers of calls: 500 to 511 for agents, 1024 upward for operators.

One table of each. Numbers are ABI: never reused, never renumbered. 512 and up belong to x32 in the
kernel's own table and are left alone. A call whose subsystem is not built yet answers EOPNOTSUPP;
ENOSYS means that there is no door at all (../shared/spec/CONTRACT.md, "Who is who").
"""

import enum


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


class Control(enum.IntEnum):
    """What an operator may say, on the control socket only. Payloads are one JSON object each."""

    STATUS = 1024
    LIST = 1025
    INFO = 1026
    START = 1027
    STOP = 1028
    RESTART = 1029
    KILL = 1030
    RESET = 1031
    RUN = 1032
    WAIT = 1033
    RELOAD = 1034
    DOCTOR = 1035
    EVENTS = 1036
    BACKUP = 1037
    SHUTDOWN = 1038
    RESOURCES = 1039
    PROFILE = 1040
    FREEZE = 1041
    THAW = 1042
    COST = 1043
    HISTORY = 1044
    SYSCALLS = 1045


DOOR_FIRST = int(min(Door))
DOOR_LAST = int(max(Door))
CONTROL_FIRST = int(min(Control))

# The guide promises whole JSON for buffers of 8 KiB (500) and 4 KiB (502); below this size not
# even an empty, valid answer with its totals fits: ENOSPC is the honest reply (CONTRACT, Values).
ANSWER_BYTES_MIN = 512
AGENT_INFO_BYTES_MAX = 4096
