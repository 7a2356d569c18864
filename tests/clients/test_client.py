"""The Python client inside real agents, by itself: -I -S, and nothing but its own files."""

import errno
import json
from collections.abc import Iterator

import pytest

from supervisord_asm.client import Client, NotPermitted, NotSupported, Patch
from tests.clients.client_rig import in_scope, run_python
from tests.kernel.daemon_host import Host, eventually, hosted, sh


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_settings(sockets={"agent_requests": "10000/s", "agent_requests_burst": 100_000})
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        host.start()
        host.wait_state("sleeper", "active")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def test_every_method_answers_or_raises_its_kind(host: Host) -> None:
    script = """
from supervisord_asm import client
c = client.Client()
assert c.telemetry()["agents"]["100"]["state"] == "active"
info = c.agent_info()
assert info["name"] == "methods", info
assert c.agent_info(100)["name"] == "sleeper"
c.heartbeat()
assert c.track_tool_call("search") is client.Action.ALLOW
assert c.track_tool_call("search", credits_milli=1, tokens=0) is client.Action.ALLOW
def kind(make):
    try:
        make()
    except client.AsmError as error:
        return f"{type(error).__name__} {error.errno} {error}"
print(kind(lambda: c.agent_info(4711)))
print(kind(lambda: c.telemetry(511)))
print(kind(lambda: c.track_tool_call("")))
print(kind(lambda: c.track_tool_call("x", -1)))
for make in (
    lambda: c.update_policy(100, client.Patch.ADD_CAPABILITY, 2),
    lambda: c.update_policy(100, client.Patch.UPDATE_SCOPE, "/tmp"),
    lambda: c.llm_request("hello", max_tokens=5, temperature=0.5, timeout_ms=10),
    lambda: c.lock("/a").__enter__(),
    lambda: c.compliance_event({"kind": "decision"}),
    lambda: c.budget({"op": "read"}),
    lambda: c.add_dependency(100),
    lambda: c.remove_dependency(100),
):
    assert kind(make).startswith("NotSupported 95 "), kind(make)
with c.profile("work") as guard:
    pass
assert guard.error is None
try:
    with c.profile("work") as guard:
        raise KeyError
except KeyError:
    pass
with c.profile("a b") as guard:  # no name of an operation
    pass
print(guard.error)
"""
    lines = run_python(host, "methods", script)
    assert lines == [
        f"NoSuchAgent {errno.ESRCH} [Errno 3] call 502 agent_info: there is no such agent",
        f"AsmError {errno.ENOSPC} [Errno 28] call 500 telemetry: the room is under 512 bytes",
        f"AsmError {errno.EINVAL} [Errno 22] call 505 track_tool_call: Invalid argument",
        f"AsmError {errno.EINVAL} [Errno 22] call 505 track_tool_call: Invalid argument",
        "[Errno 22] call 508 profile_sample: Invalid argument",
    ]
    profile = json.loads(host.ctl("profile", "methods", "--json").stdout)
    (work,) = [found for found in profile["operations"] if found["operation"] == "work"]
    assert (work["sample_count"], work["success_count"]) == (2, 1)
    view = host.info("methods")
    assert (view["tool_credits_milli"], view["tool_tokens"]) == (1001, 100)


def test_the_functions_of_the_module_are_the_shared_clients(host: Host) -> None:
    script = """
from supervisord_asm import client
client.heartbeat()
print(client.telemetry()["agents_total"] > 1, client.agent_info()["name"])
print(client.track_tool_call("search", 2, 3).name, client.notify("STATUS=from Python"))
with client.profile("work"): pass
try:
    client.llm_request("What is an operating system kernel?")
except client.NotSupported as error:
    print(error)
"""
    assert run_python(host, "module", script) == [
        "True module", "ALLOW True",
        "[Errno 95] call 503 llm_request: asmd has no such part, or not yet, or it is switched off",
    ]  # fmt: skip


def test_a_hundred_calls_at_once_each_get_their_own_answer(host: Host) -> None:
    script = """
import asyncio, os
from supervisord_asm import client

async def one(c, number):
    if number % 4 == 0:
        assert await c.track_tool_call(f"tool-{number}", 1, 1) is client.Action.ALLOW
    elif number % 4 == 1:
        await c.heartbeat()
    else:
        wanted = 100 if number % 4 == 2 else int(os.environ["ASM_AGENT_ID"])
        assert (await c.agent_info(wanted))["agent_id"] == wanted

async def main():
    async with client.AsyncClient() as c:
        for _ in range(3):
            await asyncio.gather(*(one(c, number) for number in range(100)))
        async with c.profile("work") as guard:
            await asyncio.sleep(0)
        print(guard.error, len(os.listdir("/proc/self/fd")) < 16)
        try:
            await c.llm_request("hello")
        except client.NotSupported:
            print("no gateway")
    print(len(os.listdir("/proc/self/fd")) < 10)

asyncio.run(main())
"""
    assert run_python(host, "crowd", script) == ["None True", "no gateway", "True"]
    view = host.info("crowd")
    assert (view["tool_call_count"], view["heartbeat_count"]) == (75, 75)


def test_a_cancelled_call_costs_the_others_nothing(host: Host) -> None:
    script = """
import asyncio, random
from supervisord_asm import client

async def main():
    async with client.AsyncClient() as c:
        for _ in range(100):
            task = asyncio.create_task(c.telemetry())
            await asyncio.sleep(random.random() / 500)
            task.cancel()
            assert (await c.agent_info(100))["agent_id"] == 100
    print("whole")

asyncio.run(main())
"""
    assert run_python(host, "cancelled", script) == ["whole"]


def test_threads_and_children_never_get_each_others_answers(host: Host) -> None:
    script = """
import os, threading
from supervisord_asm import client
c = client.Client()
own = int(os.environ["ASM_AGENT_ID"])
wrong = []

def work():
    for number in range(40):
        wanted = own if number % 2 else 100
        if c.agent_info(wanted)["agent_id"] != wanted:
            wrong.append(number)

def threads():
    made = [threading.Thread(target=work) for _ in range(8)]
    for thread in made: thread.start()
    for thread in made: thread.join()

c.heartbeat()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        threads()
        os._exit(len(wrong) != 0)
    children.append(pid)
threads()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
print(wrong)
"""
    assert run_python(host, "family", script) == ["[]"]


def test_heartbeats_come_while_the_block_lasts_and_only_for_progress(host: Host) -> None:
    script = """
import asyncio, time
from supervisord_asm import client
c = client.Client()
with c.heartbeats(0.01) as beats:
    while beats.sent_count < 5: time.sleep(0.005)
sent = beats.sent_count
with c.heartbeats(0.005, needs_progress=True) as careful:
    while careful.sent_count < 1: time.sleep(0.005)
    time.sleep(0.1)
    assert careful.sent_count == 1, careful.sent_count
    careful.progress()
    while careful.sent_count < 2: time.sleep(0.005)
async def main():
    async with client.AsyncClient() as a, a.heartbeats(0.01) as beats:
        while beats.sent_count < 3: await asyncio.sleep(0.005)
    return beats.sent_count
print(sent + 2 + asyncio.run(main()), beats.error)
"""
    (line,) = run_python(host, "beating", script)
    count, error = line.split()
    assert error == "None"
    # The last beat of a block may have been answered and not counted there.
    assert int(count) <= host.info("beating")["heartbeat_count"] <= int(count) + 1


def test_asmds_death_is_an_error_and_then_it_goes_on(host: Host) -> None:
    script = """
import time
from supervisord_asm import client
c = client.Client()
kinds = set()
while True:
    for make in (c.telemetry, lambda: c.track_tool_call("loop", 0, 1)):
        try:
            make()
        except client.AsmError as error:
            if type(error).__name__ not in kinds:
                kinds.add(type(error).__name__)
                print(type(error).__name__, flush=True)
    time.sleep(0.002)
"""
    path = host.folder / "away.py"
    path.write_text(f"import sys\nsys.path.insert(0, '{host.folder}/alone')\n{script}")
    run_python(host, "warm", "")
    command = ["/usr/bin/python3", "-I", "-S", str(path)]
    assert host.ctl("run", "--name", "away", *in_scope(host), "--", *command).returncode == 0
    host.wait_view("away", lambda view: view["tool_call_count"] > 5, "some calls")
    host.kill_asmd()
    before = host.info("away")["tool_call_count"]
    host.wait_view("away", lambda view: view["tool_call_count"] > before + 5, "more calls")
    assert set(host.said("away")) <= {"TryAgain", "NoDoor", "OutcomeUnknown"}
    host.ctl("kill", "away")


def test_doors_are_chosen_and_what_is_not_there_is_said(host: Host) -> None:
    script = """
import os
from supervisord_asm import client
for doors in (("socket",), ("syscall", "socket"), ("socket", "syscall")):
    client.Client(doors=doors).heartbeat()
for doors, path in ((("syscall",), None), (("socket",), "/nowhere"), (None, "/nowhere")):
    try:
        client.Client(doors=doors, socket=path).heartbeat()
        print("answered")
    except client.NoDoor as error:
        print(error.errno)
os.environ["ASM_DOORS"] = "telephone"
try:
    client.Client()
except ValueError as error:
    print("ValueError")
"""
    assert run_python(host, "doors", script) == ["38", "38", "38", "ValueError"]


def test_outside_every_agent_it_says_what_is_not_for_the_caller(host: Host) -> None:
    with Client(doors=("socket",), socket=str(host.paths.agent_socket)) as operator:
        assert operator.agent_info(100)["name"] == "sleeper"
        with pytest.raises(NotPermitted):
            operator.heartbeat()
        with pytest.raises(NotSupported):
            operator.update_policy(100, Patch.SET_AUTO_RESTART, 3)
        with pytest.raises(ValueError, match="no agent"):
            operator.agent_info()


def test_an_agent_sees_its_own_status_where_operators_do(host: Host) -> None:
    script = """
from supervisord_asm import client
import time
client.notify("READY=1\\nSTATUS=three of seven")
time.sleep(1000)
"""
    path = host.folder / "speaker.py"
    path.write_text(f"import sys\nsys.path.insert(0, '{host.folder}/alone')\n{script}")
    run_python(host, "warmer", "")
    command = ["/usr/bin/python3", "-I", "-S", str(path)]
    assert host.ctl("run", "--name", "speaker", *in_scope(host), "--", *command).returncode == 0

    def look() -> bool:
        answer = json.loads(host.ctl("speaker", "--json", name="asminfo").stdout)
        return bool(answer["notify_status"] == "three of seven")

    eventually(look, "its status")
    host.ctl("kill", "speaker")
