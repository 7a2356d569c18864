"""The numbers of calls: 500 to 511 for agents, 1024 upward for operators.

Numbers are ABI: never reused, never renumbered. The calls of agents are a table of their own
(calls.py). A call whose subsystem is not built yet answers EOPNOTSUPP; ENOSYS means that there is
no door at all (../shared/spec/CONTRACT.md, "Who is who").
"""

import enum

from supervisord_asm.api.calls import Door as Door


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
