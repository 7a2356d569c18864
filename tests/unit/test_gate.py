"""The gate of a birth: what opening and closing it tell whoever waits, in whichever order."""

import os
from collections.abc import Iterator

import pytest

from supervisord_asm.daemon.gate import Gate


@pytest.fixture
def gate_and_reader() -> Iterator[tuple[Gate, int]]:
    """A gate, and the read end that a birth would have."""
    gate = Gate()
    reader = os.dup(gate.read_end)
    yield gate, reader
    gate.close()
    os.close(reader)


def test_opening_lets_one_in(gate_and_reader: tuple[Gate, int]) -> None:
    gate, reader = gate_and_reader
    gate.use()
    gate.open()
    assert os.read(reader, 2) == b"\n"


def test_closing_turns_away(gate_and_reader: tuple[Gate, int]) -> None:
    gate, reader = gate_and_reader
    gate.close()
    assert os.read(reader, 2) == b""


def test_what_was_closed_does_not_open(gate_and_reader: tuple[Gate, int]) -> None:
    gate, reader = gate_and_reader
    gate.close()
    gate.open()  # the record came, but the order could not be given
    assert os.read(reader, 2) == b""


def test_what_was_open_stays_so(gate_and_reader: tuple[Gate, int]) -> None:
    gate, reader = gate_and_reader
    gate.open()  # before the order, too
    gate.use()
    gate.close()
    gate.close()
    assert os.read(reader, 2) == b"\n"
