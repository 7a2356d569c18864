"""Random events, as Hypothesis draws them: mostly lives that could be, always some that could not.

Ids and names come from small pools, so that they collide, come back and outlive each other.
"""

from hypothesis import strategies as st

from supervisord_asm.core.events import Event, EventType

AGENT_IDS = st.sampled_from([0, 1, 100, 101, 102, 1000, 1001, 70_000])
NAMES = st.sampled_from(["crawler", "writer", "ünï", "x"])
SMALL = st.integers(min_value=0, max_value=5)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
ODD_DATA = st.dictionaries(
    st.sampled_from(["name", "run", "pid", "code", "signal", "attempt", "crashed", "cause", "by"]),
    st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
    max_size=4,
)
LIKELY_DATA = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "run": SMALL,
        "pid": SMALL,
        "start_time_ticks": SMALL,
        "cgroup_id": SMALL,
        "code": st.one_of(st.none(), SMALL),
        "signal": st.one_of(st.none(), SMALL),
        "crashed": st.booleans(),
        "cause": st.sampled_from(["clean", "error", "signal"]),
        "attempt": SMALL,
        "fault": st.just("Crashed"),
        "cpu_time_us": SMALL,
        "syscall_count": SMALL,
        "transient": st.booleans(),
        "before_realtime_ns": st.integers(min_value=0, max_value=40_000),
    },
)
EVENTS = st.builds(
    Event,
    type=st.sampled_from(EventType),
    agent_id=AGENT_IDS,
    timestamp_us=st.integers(min_value=0, max_value=1 << 40),
    realtime_ns=st.integers(min_value=0, max_value=50_000),
    data=st.one_of(LIKELY_DATA, LIKELY_DATA, ODD_DATA),
    boot_id=st.sampled_from(["", "boot-1", "boot-2"]),
)
BATCHES = st.lists(st.lists(EVENTS, max_size=12), max_size=8)
