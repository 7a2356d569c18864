"""libasm in real programs inside real agents: every call, threads, forks, signals, asmd's death."""

import contextlib
import errno
import random
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_asm.api.calls import CALLS
from tests.clients.client_rig import (
    DEVEL,
    IS_SANITIZED,
    PROGRAMS,
    SANITIZER,
    compile_with_libasm,
    in_scope,
)
from tests.kernel.daemon_host import DEADLINE_S, Host, eventually, hosted, sh


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_settings(sockets={"agent_requests": "10000/s", "agent_requests_burst": 100_000})
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        compile_with_libasm(host.folder / "door_client", PROGRAMS / "door_client.c")
        host.start()
        host.wait_state("sleeper", "active")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def run(host: Host, what: str) -> list[str]:
    """Run the program as an agent of that name; return what it printed before its "ok"."""
    command = [str(host.folder / "door_client"), what]
    done = host.ctl("run", "--wait", "--name", what, *in_scope(host), "--", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "ok"
    return lines


def test_every_call_answers_or_sets_errno(host: Host) -> None:
    unbuilt = f"-1 {errno.EOPNOTSUPP}"
    fault, invalid = f"-1 {errno.EFAULT}", f"-1 {errno.EINVAL}"
    assert run(host, "calls") == [
        "telemetry 1 {}", "agent_info 1", f"no such agent -1 {errno.ESRCH}",
        f"small room -1 {errno.ENOSPC}", f"null room {fault}", f"bad room {fault}",
        "heartbeat 0 0", "tool 0 0", f"null tool {fault}", f"bad tool {fault}",
        f"huge tool {invalid}", f"negative credits {invalid}", f"policy {unbuilt}",
        f"scope {unbuilt}", f"null scope {fault}", f"llm {unbuilt}", f"lock {unbuilt}",
        f"unlock {unbuilt}", "profile 0 0", f"compliance {unbuilt}", f"budget {unbuilt}",
        f"dependency {unbuilt}", f"below {invalid}", f"above {invalid}", f"doors {invalid}",
        "notify 1 0", "errno 0 77",
    ]  # fmt: skip
    view = host.info("calls")
    assert (view["heartbeat_count"], view["tool_credits_milli"]) == (2, 1500)


def test_threads_never_get_each_others_answers_and_few_connections_stay(host: Host) -> None:
    assert run(host, "threads") == ["wrong 0", "kept 1"]
    assert host.info("threads")["tool_call_count"] == 3 * 12 * 20


def test_children_of_fork_never_get_their_parents_answers(host: Host) -> None:
    assert run(host, "forks") == ["wrong 0"]
    assert host.info("forks")["tool_call_count"] == 7 * 25


def test_descriptors_that_became_somebody_elses_are_left_alone(host: Host) -> None:
    assert run(host, "closed") == ["answer 1", "touched 0", "closed 0"]


def test_calls_in_signal_handlers_and_under_signals_are_whole(host: Host) -> None:
    assert run(host, "signals") == ["wrong 0", "alarms 1"]


def test_a_call_allocates_nothing(host: Host) -> None:
    assert run(host, "allocations") == ["allocated 0"]


def test_asmds_death_is_an_errno_and_then_it_goes_on(host: Host) -> None:
    command = [str(host.folder / "door_client"), "away"]
    assert host.ctl("run", "--name", "away", *in_scope(host), "--", *command).returncode == 0
    host.wait_view("away", lambda view: view["tool_call_count"] > 10, "some calls")
    host.kill_asmd()
    before = host.info("away")["tool_call_count"]
    host.wait_view("away", lambda view: view["tool_call_count"] > before + 10, "more calls")
    said = set(host.said("away"))
    allowed = {errno.EAGAIN, errno.ENOSYS, errno.ECONNRESET}
    assert said <= {f"{call} -1 {code}" for call in ("telemetry", "tool") for code in allowed}
    assert not {line for line in said if line == f"telemetry -1 {errno.ECONNRESET}"}
    host.ctl("stop", "away")


@pytest.mark.parametrize(
    ("doors", "expected"),
    [
        ("syscall", errno.ENOSYS), ("socket", 0), ("socket,syscall", 0), ("syscall,socket", 0),
        ("nonsense", 0),
    ],
)  # fmt: skip
def test_the_environment_chooses_the_doors(host: Host, doors: str, expected: int) -> None:
    # From outside every agent: no filter answers there, and 500 is for everybody.
    call = (
        "#include <asm.h>\n#include <errno.h>\n#include <stdio.h>\n"
        "int main(void) { char b[8192]; errno = 0;"
        ' asm_telemetry(b, sizeof b); printf("%d", errno); }'
    )
    source = host.folder / "one.c"
    source.write_text(call)
    program = compile_with_libasm(host.folder / "one", source)
    environment = {"ASM_SOCKET": str(host.paths.agent_socket), "ASM_DOORS": doors}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == str(expected)
    environment["ASM_SOCKET"] = "/nowhere/asm.sock"
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == str(errno.ENOSYS)


class Liar:
    """A server whose answers are true, mangled, cut or none at all, by a seed."""

    def __init__(self, path: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thread.join()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            # Cut by a client that had not read everything: that is what it should do.
            with peer, contextlib.suppress(ConnectionResetError):
                while request := peer.recv(1 << 16):
                    if not self._answer(peer, request):
                        break

    def _answer(self, peer: socket.socket, request: bytes) -> bool:
        """Answer somehow; False cuts the connection."""
        chance = self._random
        number, request_id = struct.unpack_from("<H", request, 6)[0], request[12:20]
        payload = chance.randbytes(chance.choice([0, 1, 900, 1024, 1025, 5000]))
        result = chance.choice([0, 1, len(payload), -1, -11, -(2**40), 2**40])
        header = bytearray(struct.pack("<IHHI", 0x314D5341, 1, number, 0) + request_id)
        header += struct.pack("<Iq", len(payload), result)
        is_mangled = chance.random() < 0.3
        if is_mangled:
            header[chance.randrange(32)] = chance.randrange(256)
        data = bytes(header) + payload
        cut = chance.choice([len(data), len(data), 31, 40, 0])
        try:
            peer.sendall(data[:cut])
        except OSError:
            return False
        # Not left open in the middle of an answer: the time-outs of so many would take hours.
        return cut == len(data) and not is_mangled and chance.random() < 0.8


@pytest.mark.parametrize("seed", range(5))
def test_no_answer_makes_it_crash_hang_or_write_too_far(tmp_path: Path, seed: int) -> None:
    program = compile_with_libasm(tmp_path / "door_client", PROGRAMS / "door_client.c")
    liar = Liar(tmp_path / "s", seed)
    environment = {"ASM_SOCKET": str(tmp_path / "s"), "ASM_DOORS": "socket"}
    try:
        done = subprocess.run(
            [program, "hostile"], env=environment, capture_output=True, text=True, check=False,
            timeout=4 * DEADLINE_S,
        )  # fmt: skip
    finally:
        liar.close()
    assert (done.returncode, done.stdout) == (0, "failed 1\nok\n"), done.stderr


@pytest.mark.timing
def test_a_call_over_the_socket_takes_less_than_a_millisecond(host: Host) -> None:
    (line,) = run(host, "times")
    found = re.fullmatch(r"median (\d+) p99 (\d+)", line)
    assert found
    print(f"heartbeat over the socket: {line}")
    assert int(found[1]) < 1_000_000


def test_the_shared_library_and_its_pkg_config_file_serve_c_and_cpp(
    tmp_path: Path, host: Host
) -> None:
    source = tmp_path / "one.cpp"
    source.write_text(
        "#include <asm.h>\n#include <cstdio>\nint main() { char b[8192];"
        ' std::printf("%d", asm_telemetry(b, sizeof b) > 0); }\n'
    )
    environment = {"PKG_CONFIG_PATH": f"{DEVEL}/lib/pkgconfig", "PATH": "/usr/bin:/bin"}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libasm"], env=environment, capture_output=True,
        text=True, check=True,
    ).stdout.split()  # fmt: skip
    program = tmp_path / "one"
    command = ["g++", *(SANITIZER if IS_SANITIZED else ()), "-o", str(program), str(source)]
    subprocess.run([*command, *flags], check=True, timeout=DEADLINE_S)
    done = subprocess.run(
        [program], env={"ASM_SOCKET": str(host.paths.agent_socket)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "1"
    needed = subprocess.run(
        ["readelf", "-dW", program], capture_output=True, text=True, check=True
    ).stdout
    assert "[libasm.so.0]" in needed


def test_the_library_knows_every_call() -> None:
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", f"{DEVEL}/lib/libasm.so.0"], capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert all(f" asm_{call.name}@@ASM_0" in symbols for call in CALLS)


def test_an_agent_over_its_rate_is_told_to_try_again() -> None:
    with hosted() as host:
        host.write_settings(sockets={"agent_requests": "20/s", "agent_requests_burst": 30})
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        compile_with_libasm(host.folder / "door_client", PROGRAMS / "door_client.c")
        host.start()
        command = [str(host.folder / "door_client"), "away"]
        assert host.ctl("run", "--name", "greedy", *in_scope(host), "--", *command).returncode == 0
        eventually(lambda: f"tool -1 {errno.EAGAIN}" in host.said("greedy"), "a refusal")
        assert host.info("greedy")["tool_call_count"] < 1000
