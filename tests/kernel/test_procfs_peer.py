"""asm-procfs, the daemon's side: who may speak, what breaks the protocol, and the bounds."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_asm.kernel import procfs_channel as frames
from supervisord_asm.kernel.procfs_channel import Verb
from tests.kernel.procfs_rig import Peer, Server, cgroup, cgroup_path, served, wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """One server for many hostile peers: it must survive them all."""
    with served() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """The shared one, alive and answering."""
    assert not shared.has_ended()
    assert_works(shared)
    return shared


def assert_works(server: Server) -> None:
    """Connect and publish: what came before did not spoil the next daemon."""
    with server.connect() as peer:
        peer.send(frames.encode_begin_sync())
        peer.text("status", "works\n")
        peer.send(frames.encode_end_sync(), frames.encode_tick())
        wait_until(lambda: read_or_empty(server) == b"works\n", "a fresh status")
        assert set(os.listdir(server.mount)) == {"agents", "events", "status"}


def read_or_empty(server: Server) -> bytes:
    try:
        return (server.mount / "status").read_bytes()
    except FileNotFoundError:
        return b""


def raw(verb: int, name: bytes, body: bytes, **wrong: int) -> bytes:
    """A frame with a header that lies."""
    header = struct.pack(
        "<IHHQ",
        wrong.get("body_length", len(body)),
        verb,
        wrong.get("name_length", len(name)),
        wrong.get("reserved", 0),
    )
    return header + name + body


MALFORMED = {
    "verb 0": raw(0, b"", b""),
    "verb 9": raw(9, b"a", b""),
    "reserved": raw(Verb.TICK, b"", b"", reserved=1),
    "body too long": raw(Verb.PUT_TEXT, b"a", b"", body_length=(8 << 20) + 1),
    "name too long": raw(Verb.PUT_TEXT, b"a" * 256, b""),
    "no name": raw(Verb.PUT_TEXT, b"", b"x"),
    "a tick with a name": raw(Verb.TICK, b"a", b""),
    "a tick with a body": raw(Verb.TICK, b"", b"x"),
    "a removal with a body": raw(Verb.REMOVE, b"a", b"x"),
    "JSON without text": raw(Verb.PUT_JSON, b"a", b""),
    "absolute": raw(Verb.PUT_TEXT, b"/a", b""),
    "empty component": raw(Verb.PUT_TEXT, b"a//b", b""),
    "trailing slash": raw(Verb.PUT_TEXT, b"a/", b""),
    "dot": raw(Verb.PUT_TEXT, b"./a", b""),
    "dot dot": raw(Verb.PUT_TEXT, b"a/../b", b""),
    "removal of dot dot": raw(Verb.REMOVE, b"..", b""),
    "too deep": raw(Verb.PUT_TEXT, b"a/b/c/d/e", b""),
    "NUL": raw(Verb.PUT_TEXT, b"a\0b", b""),
    "newline": raw(Verb.PUT_TEXT, b"a\nb", b""),
    "a folder as file": raw(Verb.PUT_TEXT, b"agents", b"x"),
    "the stream as file": raw(Verb.PUT_TEXT, b"events", b"x"),
    "below a file": raw(Verb.PUT_TEXT, b"status/a", b"x"),
    "a link out": raw(Verb.PUT_LINK, b"agents/a", b"../../etc"),
    "an absolute link": raw(Verb.PUT_LINK, b"agents/a", b"/etc"),
    "a link with NUL": raw(Verb.PUT_LINK, b"agents/a", b"b\0c"),
    "a link to nothing": raw(Verb.PUT_LINK, b"agents/a", b""),
    "end without begin": raw(Verb.END_SYNC, b"", b""),
    "an empty event": raw(Verb.EVENT, b"", b"\n"),
    "two events in one": raw(Verb.EVENT, b"", b"a\nb"),
    "an event too long": raw(Verb.EVENT, b"", b"", body_length=65537),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_frame_closes_the_peer_and_keeps_the_snapshot(
    server: Server, what: str
) -> None:
    with server.connect() as peer:
        peer.text("status", f"before {what}\n")
        peer.send(MALFORMED[what])
        assert peer.was_closed()
    assert server.read().startswith(f"before {what}\nStale: ")


def test_a_peer_that_sends_byte_by_byte_is_understood(server: Server) -> None:
    with server.connect() as peer:
        stream = frames.encode_put_text("slow", "slowly\n") + frames.encode_put_text("empty", "")
        for byte in stream + frames.encode_put_text("last", "x"):
            peer.send(bytes([byte]))
        server.wait_for("last", "x")
        assert server.read("slow") == "slowly\n"
        assert server.read("empty") == ""


def test_half_a_frame_harms_nobody(server: Server) -> None:
    whole = frames.encode_put_text("half", "x" * 100)
    for cut in (1, 15, 16, 17, 20, 21, len(whole) - 1):
        with server.connect() as peer:
            peer.send(whole[:cut])
        assert_works(server)


def test_the_newest_peer_wins(server: Server) -> None:
    with server.connect() as old:
        old.text("status", "old\n")
        server.wait_for("status", "old")
        with server.connect() as new:
            assert old.was_closed()
            new.text("status", "new\n")
            server.wait_for("status", "new")
            assert server.read() == "new\n"


def test_a_log_that_nobody_reads_delays_nobody() -> None:
    """As when asmd, which drains our stderr, is gone."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    with served() as server:
        server.stop()
        server.log = write_end
        server.start()
        for _ in range(5):
            with server.connect() as peer:
                peer.send(MALFORMED["verb 0"])
                assert peer.was_closed()
        assert "not initialized" in server.read()
    os.close(read_end)
    os.close(write_end)


STRANGER = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
try:
    peer.connect(sys.argv[1])
    peer.settimeout(5)
    print("closed" if peer.recv(1) == b"" else "open")
except OSError as error:
    print(type(error).__name__)
"""


def test_a_peer_must_be_root(server: Server) -> None:
    assert server.listen.stat().st_mode & 0o777 == 0o600
    command = ["/usr/bin/python3", "-c", STRANGER, str(server.listen)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, user=64125, group=64125
    )
    assert done.stdout == "PermissionError\n"
    # Also when the mode is not in the way.
    server.listen.chmod(0o666)
    with server.connect() as daemon:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, user=64125, group=64125
        )
        assert done.stdout == "closed\n"
        daemon.text("status", "undisturbed\n")
        server.wait_for("status", "undisturbed")
        assert server.read() == "undisturbed\n"
    server.listen.chmod(0o600)


def test_an_agent_is_no_peer_even_as_root() -> None:
    with (
        cgroup("agents/7") as folder,
        served("--agents-cgroup", cgroup_path(folder.parent)) as server,
    ):
        enter = f"echo $$ >{folder}/cgroup.procs && exec "
        done = subprocess.run(
            ["sh", "-c", f'{enter} "$@"', "sh", sys.executable, "-c", STRANGER, server.listen],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "closed\n"


def test_a_body_of_eight_mebibytes_is_shown_whole(server: Server) -> None:
    body = "0123456\n" * (1 << 20)
    with server.connect() as peer:
        peer.text("large", body)
        server.wait_for("large", "0123456")
        assert server.read("large") == body


def test_files_over_the_bound_are_refused_and_the_others_stay() -> None:
    with served() as server, server.connect() as peer:
        for number in range(13000):
            peer.text(f"agents/{number}/status", f"{number}\n")
        peer.text("status", "still follows\n")
        server.wait_for("status", "still follows")
        # status, telemetry, resources and events count as well.
        assert len(os.listdir(server.mount / "agents")) == 12288 - 4
        assert server.read("agents/12283/status") == "12283\n"
        assert "too many files" in server.errors.read_text()
        peer.send(frames.encode_remove("agents/5"))
        peer.text("agents/13001/status", "now there is room\n")
        server.wait_for("agents/13001/status", "room")


def test_bytes_over_the_bound_are_refused() -> None:
    with served() as server, server.connect() as peer:
        for number in range(33):
            peer.send(raw(Verb.PUT_TEXT, b"big%d" % number, b"x" * (8 << 20)))
        peer.text("small", "there is some room\n")
        server.wait_for("small", "room")
        assert not (server.mount / "big32").exists()
        # Less of one is more for another.
        peer.text("big0", "")
        peer.text("big32", "y" * (4 << 20))
        server.wait_for("big32", "y")


NAMES = st.one_of(
    st.sampled_from([b"status", b"events", b"agents", b"agents/1/status", b"agents/x", b"a/b/c"]),
    st.binary(max_size=300),
)
FRAMES = st.one_of(
    st.binary(max_size=64),
    st.builds(raw, st.integers(0, 10), NAMES, st.binary(max_size=200)),
    st.builds(
        raw,
        st.sampled_from(list(Verb)).map(int),
        NAMES,
        st.binary(max_size=40),
        body_length=st.integers(0, 100),
    ),
    st.sampled_from(
        [
            frames.encode_begin_sync(),
            frames.encode_end_sync(),
            frames.encode_tick(),
            frames.encode_put_link("agents/x", "1"),
            frames.encode_put_text("agents/1/status", "one\n"),
            frames.encode_put_json("telemetry", "{}"),
            frames.encode_remove("agents"),
            frames.encode_event("{}"),
        ]
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=st.lists(FRAMES, max_size=12), cut=st.integers(1, 400))
def test_no_stream_of_bytes_breaks_the_server(
    shared: Server, stream: list[bytes], cut: int
) -> None:
    data = b"".join(stream)
    with Peer(shared.listen) as peer:
        try:
            for start in range(0, len(data), cut):
                peer.send(data[start : start + cut])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was malformed, and the server has hung up
        for path in shared.mount.rglob("*"):
            if path.is_file() and path.name != "events":
                path.read_bytes()
    assert not shared.has_ended()
    assert_works(shared)
