"""How long asmd waits before it replaces a keeper that it lost."""

from supervisord_asm.daemon.keeper_link import LossPause


def test_the_first_loss_is_made_good_at_once() -> None:
    assert LossPause().next(1000.0) == 0


def test_losses_in_a_row_wait_longer_and_longer_up_to_a_bound() -> None:
    pause = LossPause()
    waits = [pause.next(1000.0 + number) for number in range(8)]
    assert waits == [0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_quiet_time_is_a_new_beginning() -> None:
    pause = LossPause()
    for number in range(5):
        pause.next(1000.0 + number)
    assert pause.next(1004.0 + LossPause.FORGOTTEN_S + 1) == 0
