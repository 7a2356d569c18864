"""What NOTIFY_SOCKET's datagrams say, and what readiness does to a life that waits for it."""

from dataclasses import replace

import pytest

from supervisord_asm.core.events import EventType
from supervisord_asm.core.lifecycle import (
    Adopted,
    Arm,
    Disarm,
    ExecDone,
    Exited,
    Extend,
    Extended,
    Ready,
    Spawned,
    Start,
    State,
    Stop,
    Timer,
    TimerFired,
)
from supervisord_asm.core.notification import (
    EXTENSION_MAX_USEC,
    STATUS_LENGTH_MAX,
    Notification,
    NotificationError,
    parse_notification,
)
from tests.lifecycle_driver import Life, records


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"READY=1", Notification(is_ready=True)),
        (b"READY=1\nSTATUS=up\n", Notification(is_ready=True, status="up")),
        (b"STATUS=a=b", Notification(status="a=b")),
        (b"STATUS=", Notification(status="")),
        (b"STOPPING=1\0", Notification(is_stopping=True)),
        (b"WATCHDOG=1", Notification(is_alive=True)),
        (b"WATCHDOG=trigger\nREADY=0\nMAINPID=1\nFDSTORE=1\nBARRIER=1", Notification()),
        (b"EXTEND_TIMEOUT_USEC=5000000", Notification(extend_usec=5_000_000)),
        (b"EXTEND_TIMEOUT_USEC=99999999999999999", Notification(extend_usec=EXTENSION_MAX_USEC)),
        *((b"EXTEND_TIMEOUT_USEC=" + text, Notification()) for text in (b"0", b"-1", b"x", b"")),
        ("EXTEND_TIMEOUT_USEC=٣".encode(), Notification()),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 3000, Notification()),
        (b"", Notification()),
        (b"no equals sign", Notification()),
    ],
)
def test_a_datagram_says_what_sd_notify_means(datagram: bytes, expected: Notification) -> None:
    assert parse_notification(datagram) == expected


def test_a_status_is_one_printable_line_of_bounded_length() -> None:
    assert parse_notification("STATUS=\x1b[31mré\td\u202e".encode()).status == "[31mréd"
    long = parse_notification(b"STATUS=" + b"x" * 2000).status
    assert long == "x" * STATUS_LENGTH_MAX


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(NotificationError):
        parse_notification(b"STATUS=\xff")


def waiting() -> Life:
    """Return a life whose policy waits for READY=1, with a process, before its exec is known."""
    life = Life()
    life.life.policy = replace(life.life.policy, waits_for_ready=True)
    life.do(Start("me"), Spawned(42, 7))
    return life


def test_who_waits_for_ready_is_active_when_both_are_known_in_either_order() -> None:
    for first, second in ((ExecDone(), Ready()), (Ready(), ExecDone())):
        life = waiting()
        assert life.do(first) == []
        assert life.life.state is State.STARTING
        effects = life.do(second)
        assert life.life.state.value == "active"
        assert effects[0] == Disarm(Timer.START)
        assert records(effects) == [EventType.STARTED]


def test_who_never_says_ready_has_not_come_up_in_time() -> None:
    life = waiting()
    life.do(ExecDone(), TimerFired(Timer.START))
    assert life.life.state is State.STOPPING


def test_ready_is_asked_for_anew_in_each_run() -> None:
    life = waiting()
    life.do(ExecDone(), Ready())
    life.end()
    assert life.life.state is State.STARTING
    life.do(Spawned(43, 8), ExecDone())
    assert life.life.state.value == "starting"


def test_an_adopted_run_that_was_starting_may_be_told_both_again() -> None:
    life = Life()
    life.life.policy = replace(life.life.policy, waits_for_ready=True)
    life.do(Adopted(5, 55, False), ExecDone(), Ready())
    assert life.life.state is State.ACTIVE


def test_ready_means_nothing_to_who_does_not_wait_for_it() -> None:
    life = Life()
    life.do(Start("me"), Spawned(42, 7), Ready())
    assert life.life.state is State.STARTING
    life.do(ExecDone())
    assert life.life.state.value == "active"


def test_more_time_is_given_to_a_start_and_not_to_a_stop() -> None:
    life = waiting()
    assert life.do(Extended(7)) == [Extend(Timer.START, 7)]
    assert Arm(Timer.GRACE, 10_000_000) in life.do(Stop("me"))
    assert life.do(Extended(7)) == []
    life.do(Exited(0, None))
    assert life.do(Extended(7)) == []
