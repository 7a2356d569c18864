"""Network bytes on the real kernel: those that the programs themselves sent and got, to the last.

Two agents talk over loopback, so each byte is sent by one and received by the other.
"""

from collections.abc import Iterator

import pytest

from supervisord_asm.kernel.probes import Probes
from tests.kernel.counting_rig import BACKENDS, Rig, bind, make_rig, open_probes
from tests.kernel.deeds_rig import DeedsLoad, deeds_loads

SERVER, CLIENT = 3, 4


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Give an agents' root, to be counted by one backend."""
    with make_rig(request.param) as made:
        yield made


@pytest.fixture
def probes(rig: Rig) -> Iterator[Probes]:
    """Give running programs; no packet may have been left out."""
    with open_probes(rig) as opened:
        yield opened
        assert opened.drops()["packet_unreadable"] == 0
        assert opened.drops()["row_missing"] == 0


@pytest.fixture
def pair(rig: Rig, probes: Probes) -> Iterator[tuple[DeedsLoad, DeedsLoad]]:
    """Give two loads: in an agent's cgroup, and nested two cgroups deep in another agent's."""
    server, client = rig.agent("server"), rig.agent("client")
    bind(probes, SERVER, server)
    bind(probes, CLIENT, client)
    rig.agent("client/own")
    with deeds_loads(server, rig.agent("client/own/deeper")) as loads:
        yield loads[0], loads[1]


def network(probes: Probes, slot: int) -> tuple[int, int]:
    """Return (received, sent)."""
    counts = probes.counts(slot)
    return counts.network_receive_bytes, counts.network_transmit_bytes


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("there", "piece", "back"),
    [(1, 1, 0), (100_000, 999, 7), (20_000_000, 65_536, 5_000_000), (300_000, 65_536, 300_000)],
)
def test_tcp_bytes_are_the_programs(
    probes: Probes,
    pair: tuple[DeedsLoad, DeedsLoad],
    family: int,
    there: int,
    piece: int,
    back: int,
) -> None:
    """Small pieces, large sends that pass uncut, both directions; no headers, no empty answers."""
    server, client = pair
    port = server.order("listen", "tcp", family)
    server.begin("accept", back)
    assert client.order("send", "tcp", family, port, there, piece) == back
    assert server.finish() == there
    assert network(probes, SERVER) == (there, back)
    assert network(probes, CLIENT) == (back, there)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("datagrams", "size"), [(1, 1), (500, 700), (40, 60_000)])
def test_udp_bytes_are_the_programs(
    probes: Probes,
    pair: tuple[DeedsLoad, DeedsLoad],
    family: int,
    datagrams: int,
    size: int,
) -> None:
    """Also datagrams that are larger than what the link carries at once."""
    server, client = pair
    port = server.order("listen", "udp", family)
    server.begin("echo", datagrams)
    total = datagrams * size
    assert client.order("send", "udp", family, port, datagrams, size) == total
    assert server.finish() == total
    assert network(probes, SERVER) == (total, total)
    assert network(probes, CLIENT) == (total, total)


def test_within_one_agent_each_byte_counts_both_ways(rig: Rig, probes: Probes) -> None:
    """Loopback is counted: what an agent sends to itself it also receives."""
    agent = rig.agent()
    bind(probes, CLIENT, agent)
    with deeds_loads(agent, rig.agent("agent/inner")) as (server, client):
        port = server.order("listen", "tcp", 4)
        server.begin("accept", 1000)
        client.order("send", "tcp", 4, port, 5000, 5000)
        server.finish()
    assert network(probes, CLIENT) == (6000, 6000)


def echo(server: DeedsLoad, client: DeedsLoad, port: int) -> None:
    """Send 1,000 bytes there and back."""
    server.begin("echo", 10)
    assert client.order("send", "udp", 4, port, 10, 100) == 1000
    assert server.finish() == 1000


def test_strangers_and_unbound_agents_count_for_nobody(rig: Rig, probes: Probes) -> None:
    """What an agent gets from a stranger is its own; the stranger's side is nobody's."""
    agent = rig.agent()
    bind(probes, CLIENT, agent)
    with deeds_loads(rig.agent("unbound"), agent) as (server, client):
        port = server.order("listen", "udp", 4)
        echo(server, client, port)
        assert network(probes, CLIENT) == (1000, 1000)
        probes.unbind(CLIENT)
        echo(server, client, port)
    assert [network(probes, slot) for slot in range(8)] == [(0, 0)] * 8
