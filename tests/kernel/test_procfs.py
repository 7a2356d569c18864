"""asm-procfs, the tree: what readers see, and what nobody may do. The real program, a real mount.

Its life (start, stop, privileges, staleness) is test_procfs_life.py, its peer
test_procfs_peer.py, the event stream test_procfs_events.py.
"""

import errno
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from supervisord_asm.kernel import procfs_channel as frames
from tests.kernel.procfs_rig import Peer, Server, served

NOT_INITIALIZED = "Agent Supervision Module not initialized"


@pytest.fixture
def server() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    """A connected daemon with two agents."""
    with server.connect() as peer:
        peer.text("status", "ASM Status\n==========\nAgent 100: spawns=1\n")
        peer.send(frames.encode_put_json("telemetry", '{"system": {"active_agents": 2}}'))
        for agent, name in ((100, "watcher"), (1001, "fetcher")):
            peer.text(f"agents/{agent}/status", f"Agent {agent}\nState: active\n")
            peer.text(f"agents/{agent}/resources", "CPU: 1\n")
            peer.send(frames.encode_put_link(f"agents/{name}", str(agent)))
        peer.send(frames.encode_tick())
        server.wait_for("agents/fetcher/resources", "CPU")
        yield peer


def test_before_asmd_ever_connected_the_files_say_so(server: Server) -> None:
    assert server.read("status") == f"{NOT_INITIALIZED}\n"
    assert server.read("resources") == f"{NOT_INITIALIZED}\n"
    telemetry = json.loads(server.read("telemetry"))
    assert telemetry == {"error": NOT_INITIALIZED, "stale": True, "age_ms": None}
    assert sorted(os.listdir(server.mount)) == [
        "agents", "events", "resources", "status", "telemetry",
    ]  # fmt: skip


def test_text_and_json_are_shown_as_sent(server: Server, peer: Peer) -> None:
    assert server.read() == "ASM Status\n==========\nAgent 100: spawns=1\n"
    raw = server.read("telemetry")
    assert raw.endswith("}\n")
    telemetry = json.loads(raw)
    assert telemetry["system"] == {"active_agents": 2}
    assert telemetry["stale"] is False
    assert 0 <= telemetry["age_ms"] < 2500


def test_the_empty_object_and_the_empty_text_are_valid(server: Server, peer: Peer) -> None:
    peer.send(frames.encode_put_json("empty", "{}"), frames.encode_put_text("nothing", ""))
    server.wait_for("empty", "stale")
    assert set(json.loads(server.read("empty"))) == {"stale", "age_ms"}
    assert server.read("nothing") == ""


def test_modes_owners_and_sizes_are_those_of_proc(server: Server, peer: Peer) -> None:
    for path in [server.mount, *server.mount.rglob("*")]:
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        if path.is_symlink():
            continue
        expected = stat.S_IFDIR | 0o555 if path.is_dir() else stat.S_IFREG | 0o444
        assert found.st_mode == expected, path
        assert found.st_size == 0, path
    assert server.mount.stat().st_nlink == 3
    assert (server.mount / "agents").stat().st_nlink == 4


def test_the_mount_is_writable_to_look_at_and_runs_nothing(server: Server) -> None:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    source, _, kind, options = next(
        line.split()[:4] for line in lines if line.split()[1] == str(server.mount)
    )
    assert (source, kind) == ("agentsys", "fuse.agentsys")
    assert {"rw", "nosuid", "nodev", "noexec", "allow_other"} <= set(options.split(","))


def test_any_offset_gives_the_same_text(server: Server, peer: Peer) -> None:
    body = "".join(f"line {number}\n" for number in range(20_000))
    peer.send(frames.encode_put_json("big", json.dumps({"text": body})))
    server.wait_for("big", "line 19999")
    descriptor = os.open(server.mount / "big", os.O_RDONLY)
    try:
        whole = os.pread(descriptor, 1 << 20, 0)
        assert json.loads(whole)["text"] == body
        for offset in (0, 1, 4095, 4096, len(whole) - 60, len(whole) - 20, len(whole) - 1):
            for size in (1, 30, 4096, 1 << 20):
                piece = os.pread(descriptor, size, offset)
                assert piece == whole[offset : offset + size], (offset, size)
        for offset in (len(whole), len(whole) + 1, 1 << 40, (1 << 63) - 4097):
            assert os.pread(descriptor, 4096, offset) == b""
    finally:
        os.close(descriptor)


def test_a_reader_keeps_the_text_of_its_open(server: Server, peer: Peer) -> None:
    with (server.mount / "status").open() as old:
        start = old.read(3)
        peer.text("status", "something else\n")
        server.wait_for("status", "something else")
        assert start + old.read() == "ASM Status\n==========\nAgent 100: spawns=1\n"


def mapping_of(path: Path) -> None:
    os.posix_fallocate(os.open(path, os.O_RDWR), 0, 1)


WRITES: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda root: os.open(root / "status", os.O_WRONLY),
    "open for both": lambda root: os.open(root / "status", os.O_RDWR),
    "open to append": lambda root: os.open(root / "status", os.O_WRONLY | os.O_APPEND),
    "open to truncate": lambda root: os.open(root / "status", os.O_RDONLY | os.O_TRUNC),
    "open events for writing": lambda root: os.open(root / "events", os.O_RDWR),
    "create": lambda root: os.open(root / "new", os.O_CREAT | os.O_WRONLY, 0o644),
    "create in an agent's folder": lambda root: (root / "agents/100/new").touch(),
    "truncate": lambda root: os.truncate(root / "status", 0),
    "chmod": lambda root: (root / "status").chmod(0o666),
    "chmod a folder": lambda root: (root / "agents").chmod(0o777),
    "chown": lambda root: os.chown(root / "status", 1, 1),
    "utime": lambda root: os.utime(root / "status", (1, 1)),
    "unlink": lambda root: (root / "status").unlink(),
    "unlink a link": lambda root: (root / "agents/watcher").unlink(),
    "mkdir": lambda root: (root / "new").mkdir(),
    "rmdir": lambda root: (root / "agents").rmdir(),
    "rename": lambda root: (root / "status").rename(root / "other"),
    "rename a folder": lambda root: (root / "agents/100").rename(root / "agents/200"),
    "hard link": lambda root: os.link(root / "status", root / "other"),
    "symlink": lambda root: (root / "other").symlink_to("status"),
    "mkfifo": lambda root: os.mkfifo(root / "fifo"),
    "set an attribute": lambda root: os.setxattr(root / "status", "user.x", b"1"),
    "remove an attribute": lambda root: os.removexattr(root / "status", "user.x"),
    "allocate": lambda root: mapping_of(root / "status"),
    "run": lambda root: subprocess.run([root / "status"], check=True),
}


@pytest.mark.parametrize("what", WRITES)
def test_whatever_would_change_the_tree_is_eacces_even_for_root(
    server: Server, peer: Peer, what: str
) -> None:
    before = sorted(server.mount.rglob("*"))
    with pytest.raises(OSError) as caught:
        WRITES[what](server.mount)
    assert caught.value.errno == errno.EACCES
    assert sorted(server.mount.rglob("*")) == before


def test_access_says_what_open_would_say(server: Server) -> None:
    assert os.access(server.mount / "status", os.R_OK)
    assert not os.access(server.mount / "status", os.W_OK)
    assert not os.access(server.mount / "status", os.X_OK)
    assert not os.access(server.mount, os.W_OK)
    assert os.access(server.mount, os.R_OK | os.X_OK)


def test_wrong_paths_get_the_usual_errors(server: Server, peer: Peer) -> None:
    cases = {
        "absent": errno.ENOENT,
        "agents/7/status": errno.ENOENT,
        "status/below": errno.ENOTDIR,
        "agents/100/status/below": errno.ENOTDIR,
        "agents": errno.EISDIR,
        "": errno.EISDIR,
    }
    for name, expected in cases.items():
        with pytest.raises(OSError) as caught:
            os.read(os.open(server.mount / name, os.O_RDONLY), 1)
        assert caught.value.errno == expected, name
    with pytest.raises(OSError) as caught:
        os.unlink(server.mount / "absent")
    assert caught.value.errno == errno.ENOENT


def test_names_of_agents_are_links_to_their_numbers(server: Server, peer: Peer) -> None:
    assert (server.mount / "agents/watcher").readlink() == Path("100")
    assert (server.mount / "agents/watcher").lstat().st_size == 3
    assert server.read("agents/fetcher/status").startswith("Agent 1001\n")


def test_a_listing_under_change_has_each_lasting_name_once(server: Server, peer: Peer) -> None:
    lasting = {str(agent) for agent in range(2000, 4000)}
    for agent in lasting:
        peer.text(f"agents/{agent}/status", "x\n")
    for number in range(5000, 6000):
        peer.text(f"agents/{number}/status", "x\n")
    peer.text("done", "1")
    server.wait_for("done", "1")
    seen: list[str] = []
    with os.scandir(server.mount / "agents") as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.name)
            if count == 10:
                for number in range(5000, 6000):
                    peer.send(frames.encode_remove(f"agents/{number}"))
                    peer.text(f"agents/{number + 5000}/status", "x\n")
                    peer.text(f"agents/{number + 15000}/status", "x\n")
                peer.text("done", "2")
                server.wait_for("done", "2")
    assert len(seen) == len(set(seen))
    assert lasting <= set(seen)
    new = {str(number) for number in [*range(10_000, 11_000), *range(20_000, 21_000)]}
    now = set(os.listdir(server.mount / "agents"))
    assert now == lasting | new | {"100", "1001", "watcher", "fetcher"}


def test_a_directory_is_read_anew_after_rewind_and_at_any_offset(
    server: Server, peer: Peer
) -> None:
    descriptor = os.open(server.mount / "agents", os.O_RDONLY)
    try:
        assert "77" not in os.listdir(descriptor)
        peer.text("agents/77/status", "x\n")
        server.wait_for("agents/77/status", "x")
        os.lseek(descriptor, 0, os.SEEK_SET)
        assert "77" in os.listdir(descriptor)
        for offset in (1, 7, 33, 1 << 40):
            os.lseek(descriptor, offset, os.SEEK_SET)
            with os.scandir(descriptor) as entries:
                assert {entry.name for entry in entries} <= set(os.listdir(server.mount / "agents"))
    finally:
        os.close(descriptor)


def test_vanished_agents_vanish_at_once(server: Server, peer: Peer) -> None:
    path = server.mount / "agents/100/status"
    with path.open() as held:
        peer.send(frames.encode_remove("agents/100"), frames.encode_remove("agents/watcher"))
        server.wait_gone("agents/watcher")
        assert not path.exists()
        assert not path.parent.exists()
        # Who has it open reads on, as from a deleted file.
        assert held.read().startswith("Agent 100\n")
        assert os.fstat(held.fileno()).st_nlink == 0
    assert sorted(os.listdir(server.mount / "agents")) == ["1001", "fetcher"]


def test_the_last_name_takes_its_folder_along_but_agents_stays(server: Server, peer: Peer) -> None:
    peer.send(*(frames.encode_remove(f"agents/{agent}/status") for agent in (100, 1001)))
    peer.send(*(frames.encode_remove(f"agents/{agent}/resources") for agent in (100, 1001)))
    peer.send(frames.encode_remove("agents/watcher"), frames.encode_remove("agents/fetcher"))
    server.wait_gone("agents/fetcher")
    assert os.listdir(server.mount / "agents") == []


def test_a_removed_root_file_cannot_be_opened_from_the_cache(server: Server, peer: Peer) -> None:
    with (server.mount / "status").open():
        peer.send(frames.encode_remove("status"), frames.encode_remove("agents/fetcher"))
        server.wait_gone("agents/fetcher")
        with pytest.raises(FileNotFoundError):
            server.read("status")
    with pytest.raises(FileNotFoundError):
        server.read("status")
    peer.text("status", "back\n")
    server.wait_for("status", "back")


def test_inode_numbers_are_stable_and_never_reused(server: Server, peer: Peer) -> None:
    names = ["status", "agents", "agents/100", "agents/100/status", "agents/1001/status"]
    before = {name: (server.mount / name).stat().st_ino for name in names}
    assert len(set(before.values())) == len(names)
    for name in ("status", "agents/100/status", "agents/1001/status"):
        peer.text(name, "new\n")
    server.wait_for("agents/1001/status", "new")
    assert {name: (server.mount / name).stat().st_ino for name in names} == before
    listed = {entry.name: entry.inode() for entry in os.scandir(server.mount / "agents")}
    assert listed["100"] == before["agents/100"]
    peer.send(frames.encode_remove("agents/100"))
    server.wait_gone("agents/100")
    peer.text("agents/100/status", "again\n")
    server.wait_for("agents/100/status", "again")
    assert (server.mount / "agents/100").stat().st_ino > max(before.values())


def test_fifty_readers_during_updates_each_see_one_version(server: Server, peer: Peer) -> None:
    def body(version: int) -> str:
        return f"{version}\n" * 3000

    def read_versions(_: int) -> set[int]:
        versions = set()
        for _ in range(40):
            with (server.mount / "status").open("rb", buffering=0) as file:
                lines = b"".join(iter(lambda: file.read(1000), b"")).split()
            assert len(lines) == 3000
            assert len(set(lines)) == 1
            versions.add(int(lines[0]))
        return versions

    peer.text("status", body(1))
    server.wait_for("status", "1\n")
    with ThreadPoolExecutor(50) as pool:
        readers = [pool.submit(read_versions, number) for number in range(50)]
        version = 1
        while not all(reader.done() for reader in readers):
            version += 1
            peer.text("status", body(version))
            peer.text("agents/100/status", body(version))
            peer.send(frames.encode_tick())
    seen = set().union(*(reader.result() for reader in readers))
    assert len(seen) > 2, "the readers must have seen updates"


def test_the_usual_tools_work(server: Server, peer: Peer, tmp_path: Path) -> None:
    # A sanitizer preloaded for our own C would find dd's faults.
    plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}

    def run(*command: object, status: int = 0) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True, text=True, timeout=20, check=False, env=plain,
        )  # fmt: skip
        assert done.returncode == status, done
        return done.stdout

    root = server.mount
    status = server.read("status")
    assert run("cat", root / "status") == status
    assert run("head", "-c1", root / "status") == status[0]
    assert run("head", "-n1", root / "status") == status.splitlines(keepends=True)[0]
    assert run("tail", "-n1", root / "status") == status.splitlines(keepends=True)[-1]
    assert run("tail", "-c3", root / "status") == status[-3:]
    assert run("wc", "-c", root / "status").split()[0] == str(len(status))
    assert run("grep", "-c", "spawns=", root / "status") == "1\n"
    assert run("awk", "-F:", "/^Agent/ {print $1}", root / "status") == "Agent 100\n"
    assert run("dd", f"if={root}/status", "bs=7", "status=none") == status
    assert len(run("find", root).splitlines()) == 14
    assert run("find", root, "-type", "l", "-name", "watcher").endswith("/watcher\n")
    assert "fetcher -> 1001" in run("ls", "-lR", root)
    # events has no end: grep opens it without blocking, and says EAGAIN (status 2) at the end.
    found = run("grep", "-rs", "State: active", root, status=2)
    assert len(found.splitlines()) == 2
    run("cp", root / "status", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == status
    run("df", root)
    run("stat", root / "events")
    assert run("sh", "-c", f"while read line; do echo $line; done < {root}/status") == status


def test_copying_through_sendfile_gives_the_text_or_says_it_cannot(
    server: Server, peer: Peer, tmp_path: Path
) -> None:
    """The known limit of size 0 (README): from 6.5 on, splice reads the page cache, up to size."""
    shutil.copyfile(server.mount / "status", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() in ("", server.read())
