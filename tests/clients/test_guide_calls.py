"""The guide's C and Python examples, cut out of its own text, run unmodified inside an agent.

All of them say syscall(500 …) themselves. DOORS lists how that reaches asmd: "preload" puts libasm
under libc's syscall(2), so the same program runs over the socket. Once asm-exec's filter answers,
"syscall" joins the list and runs the programs with nothing preloaded: the tests stay as they are.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.client_rig import PROGRAMS, compile_with_libasm, in_scope
from tests.kernel.daemon_host import Host, eventually, hosted, sh

GUIDE = Path(__file__).parents[1] / "golden" / "guide" / "calls.txt"
DOORS = ("preload",)

# What a fragment of the guide leaves to its reader: includes, the variables that it names, main().
FRAME = """
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
{includes}
int main(void) {{
  int agent_id = 100, max_restarts = 3;
  long capability_value = 2, scope_value = (long)"/tmp";
  (void)agent_id, (void)max_restarts, (void)capability_value, (void)scope_value;
{body}
  fflush(stdout);
  return errno;
}}
"""


def examples(language: str) -> list[str]:
    """Cut the blocks of a language out of the guide, in their order; indentation goes."""
    text = GUIDE.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


def example(language: str, sign: str) -> str:
    """Return the one example that contains a text."""
    (found,) = [block for block in examples(language) if sign in block]
    return found


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("sleeper", sh("exec sleep 1000"), agent_id=100)
        compile_with_libasm(
            host.folder / "preload.so", PROGRAMS / "syscall_over_socket.c", "-shared", "-fPIC"
        )
        host.start()
        host.wait_state("sleeper", "active")
        yield host


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    shared.print_logs()


def compiled(host: Host, name: str, text: str) -> list[str]:
    """Compile an example as its reader would; return its command."""
    source = host.folder / f"{name}.c"
    source.write_text(text)
    program = host.folder / name
    # As printed they lack <unistd.h>: newer compilers want to be asked (docs/guide-errata.md).
    command = ["gcc", "-Wno-implicit-function-declaration", "-o", str(program), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return [str(program)]


def fragment(host: Host, name: str, text: str) -> list[str]:
    """Compile lines of the guide inside a main()."""
    includes = "".join(re.findall(r"^#include.*\n", text, re.M))
    body = re.sub(r"^#include.*\n", "", text, flags=re.M)
    return compiled(host, name, FRAME.format(includes=includes, body=body))


def python(host: Host, name: str, text: str) -> list[str]:
    """Write a Python example down; return its command."""
    path = host.folder / f"{name}.py"
    path.write_text(text)
    return ["/usr/bin/python3", "-I", str(path)]


def run(host: Host, door: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as an agent, and wait."""
    return host.ctl("run", "--wait", *door_options(host, door), "--", *command)


def door_options(host: Host, door: str) -> list[str]:
    scope = in_scope(host)
    if door == "syscall":
        return scope
    # libasm would ask the kernel first, by the very function that is replaced.
    return [*scope, "--env", f"LD_PRELOAD={host.folder}/preload.so", "--env", "ASM_DOORS=socket"]


def test_every_example_is_run_here() -> None:
    c, python_ = examples("c"), examples("python")
    assert len(c) == 6
    assert len(python_) == 4
    # Two of each language are lines about what another example returned: they call nothing new.
    called = [block for block in (*c, *python_) if "syscall(" in block]
    assert len(called) == 8


@pytest.mark.parametrize("door", DOORS)
def test_the_telemetry_fragment_prints_json(host: Host, door: str) -> None:
    text = example("c", "Telemetry: %.*s")
    done = run(host, door, fragment(host, "telemetry", text))
    assert re.match(r'Telemetry: \{"system":\{"total_agents_spawned":\d+', done.stdout), done
    assert done.stdout.rstrip().endswith("}")


@pytest.mark.parametrize("door", DOORS)
def test_the_agent_info_fragment_prints_json(host: Host, door: str) -> None:
    done = run(host, door, fragment(host, "info", example("c", "info_buffer")))
    assert done.stdout.startswith('Agent Info: {"agent_id":100,"pid":'), done
    assert '"name":"sleeper"' in done.stdout


@pytest.mark.parametrize("door", DOORS)
def test_the_policy_fragment_is_refused_until_policies_can_change(host: Host, door: str) -> None:
    done = run(host, door, fragment(host, "policy", example("c", "ADD_CAPABILITY")))
    assert done.returncode == 95, done  # EOPNOTSUPP, of the last of its four calls


@pytest.mark.parametrize("door", DOORS)
def test_the_monitoring_tool_prints_again_and_again(host: Host, door: str) -> None:
    command = compiled(host, "monitor", example("c", "ASM Telemetry"))
    options = ["--name", "monitor", *door_options(host, door)]
    # Its output is a pipe, which libc buffers: as in the guide's terminal, line by line.
    done = host.ctl("run", *options, "--", "/usr/bin/stdbuf", "-oL", *command)
    assert done.returncode == 0, done
    eventually(lambda: host.log_text("monitor").count("ASM Telemetry:") >= 2, "two rounds")
    assert host.log_text("monitor").count('{"system":{"total_agents_spawned":') >= 2
    host.ctl("kill", "monitor")


@pytest.mark.parametrize("door", DOORS)
def test_the_python_wrapper_reads_and_its_patch_is_refused(host: Host, door: str) -> None:
    text = example("python", "def get_asm_telemetry")
    done = run(host, door, python(host, "wrapper", text))
    assert re.match(r"Active agents: [1-9]", done.stdout), done
    assert "syscall failed" in done.stderr


@pytest.mark.parametrize("door", DOORS)
def test_the_gateway_examples_say_that_there_is_no_gateway_yet(host: Host, door: str) -> None:
    done = run(host, door, compiled(host, "llm", example("c", "Explain kernel memory")))
    assert (done.returncode, done.stdout) == (0, "Error: -1\n"), done
    done = run(host, door, python(host, "llm", example("python", "def llm_request")))
    assert done.returncode == 1
    assert "LLM request failed" in done.stderr
