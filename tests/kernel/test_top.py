"""`asmctl top` on a real terminal, against a real daemon: what is seen, and what each key does.

Every test has a shell in its window, which starts the view and prints its exit status when it is
over, on the screen that the view must have given back.
"""

import re
import shlex
import signal
from collections.abc import Iterator

import pytest

from tests.kernel.daemon_host import Host, hosted, sh
from tests.kernel.tmux import Tmux, terminal

pytestmark = pytest.mark.drawing
SLEEPS = sh("exec sleep 1000")
TITLES = [
    "ID", "NAME", "STATE", "CPU%", "MEM", "SYSC/S", "NET/S", "PROCS", "RESTARTS", "UPTIME",
]  # fmt: skip
# The escape sequence of a colour, as tmux writes it: 31 to 37, and of text only.
COLOUR = re.compile(r"\x1b\[([0-9]+;)*3[1-7]m")
BEFORE = "what stood here before"
# Of a row, as far as every row has it: the id, the name, the state.
ROW = re.compile(r"^ +(\d+) (\S+) +([a-z]+) ")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosted() as host:
        host.write_agent("busy", sh("while :; do :; done"), agent_id=103)
        host.write_agent("alpha", SLEEPS, agent_id=101)
        host.write_agent("beta", SLEEPS, agent_id=102)
        host.write_agent("victim", SLEEPS, agent_id=104)
        host.write_agent("resting", SLEEPS, agent_id=105, start="manual")
        host.start()
        for name in ("busy", "alpha", "beta", "victim"):
            host.wait_state(name, "active")
        host.wait_view(
            "busy", lambda view: (view["cpu_percent_milli"] or 0) > 1000, "busy is seen to be busy"
        )
        yield host


def shell(host: Host, *options: str) -> list[str]:
    """Return the command of a window: it starts the view and then tells how that ended."""
    top = shlex.join(host.command("asmctl", "top", *options))
    return [f"echo {BEFORE}; {top}; echo exit=$?; exec cat"]


@pytest.fixture
def screen(host: Host) -> Iterator[Tmux]:
    """A window of 80 by 24 with the view in it, sorted by name."""
    with terminal(host.folder, shell(host, "--sort", "name"), host.environment) as tmux:
        tmux.wait(lambda lines: len(rows(lines)) == 5, "five agents")
        yield tmux


def rows(lines: list[str]) -> dict[str, str]:
    """Return the table's agents and their states, from top to bottom."""
    found = filter(None, map(ROW.match, lines))
    return {match.group(2): match.group(3) for match in found}


def leave(tmux: Tmux) -> list[str]:
    """Press q; return the screen that is seen then."""
    tmux.type("q")
    return tmux.wait_text("exit=")


def test_it_shows_the_system_and_every_agent_in_eighty_columns(screen: Tmux) -> None:
    lines = screen.lines()
    assert list(rows(lines)) == ["alpha", "beta", "busy", "resting", "victim"]
    assert rows(lines)["resting"] == "stopped"
    assert lines[0].startswith("asmd ")
    assert "agents 5: 4 active, 1 stopped" in lines[0]
    assert re.match(r"CPU \d+\.\d%  memory \S+  syscalls \S+  network \S+  drops ", lines[1])
    assert lines[4].replace("▲", " ").split() == TITLES
    assert lines[23].startswith("q Quit")
    assert all(len(line) <= 80 for line in lines)


def test_keys_change_the_order(screen: Tmux) -> None:
    screen.type("4")
    lines = screen.wait_text("by CPU% descending")
    assert next(iter(rows(lines))) == "busy"
    screen.type("2", "R")
    lines = screen.wait_text("by NAME descending")
    assert list(rows(lines)) == ["victim", "resting", "busy", "beta", "alpha"]
    screen.type("<")
    lines = screen.wait_text("by ID ascending")
    assert list(rows(lines)) == ["alpha", "beta", "busy", "victim", "resting"]


def test_a_filter_narrows_while_it_is_typed_and_esc_drops_it(screen: Tmux) -> None:
    screen.type("/", "bE")
    lines = screen.wait_text('filter "bE" of 5')
    assert list(rows(lines)) == ["beta"]
    screen.type("Enter", "k")  # kept, and keys are keys again
    screen.wait_text("kill -9 agent 102 (beta)?")
    screen.type("n")
    screen.wait_text("kill -9 beta: not done")
    screen.type("Escape")
    screen.wait(lambda lines: len(rows(lines)) == 5, "all agents again")


def test_enter_looks_closely_and_esc_no_longer(screen: Tmux, host: Host) -> None:
    screen.type("Enter")
    lines = screen.wait_text("CPU: ")
    pid = host.info("alpha")["pid"]
    assert any(f"101 alpha: active, pid {pid}, user asm-101" in line for line in lines)
    assert any(re.match("[▁▂▃▄▅▆▇█]", line) for line in lines)
    assert rows(lines) == {}  # 24 lines have room for one of both
    screen.type("End")
    screen.wait_text("log ")
    screen.resize(100, 50)
    lines = screen.wait(lambda lines: len(rows(lines)) == 5, "the table above the detail")
    screen.type("Escape")
    screen.wait(lambda lines: not any("CPU: " in line for line in lines), "the table alone")


def test_unknown_figures_are_called_unknown(screen: Tmux) -> None:
    screen.resize(100, 60)
    screen.type("End", "Up", "Enter")  # resting, which has none
    lines = screen.wait_text("resting: stopped, pid none")
    assert any("No window of a second" in line for line in lines)
    assert any(re.search(r"started +unknown( |$)", line) for line in lines)


def test_kill_asks_and_then_kills(screen: Tmux, host: Host) -> None:
    screen.type("End", "k")
    screen.wait_text("kill -9 agent 104 (victim)?")
    assert host.info("victim")["state"] == "active"
    before = screen.lines()[0]
    screen.wait(lambda lines: lines[0] != before, "looks go on behind the question")
    screen.type("y")
    screen.wait_text("kill -9 victim: sent SIGKILL")
    view = host.wait_state("victim", "failed", "stopped")
    assert view["last_exit_signal"] == signal.SIGKILL
    screen.wait(lambda lines: rows(lines).get("victim") == view["state"], "the new state")


def test_restart_and_stop_keys(screen: Tmux, host: Host) -> None:
    before = host.info("beta")["pid"]
    screen.type("Down", "r")
    screen.wait_text("restart agent 102 (beta)?")
    screen.type("y")
    host.wait_view(
        "beta", lambda view: view["state"] == "active" and view["pid"] != before, "another run"
    )
    screen.type("s")
    screen.wait_text("stop agent 102 (beta)?")
    screen.type("y")
    host.wait_state("beta", "stopped")
    screen.wait(lambda lines: rows(lines)["beta"] == "stopped", "the new state")


def test_freeze_tells_what_asmd_says_of_it(screen: Tmux) -> None:
    screen.type("f")
    screen.wait_text("freeze alpha: freezing agents is not built yet")


def test_it_can_do_without_colours(host: Host) -> None:
    with terminal(host.folder, shell(host, "--color", "never"), host.environment) as tmux:
        tmux.wait(lambda lines: len(rows(lines)) == 5, "five agents")
        assert not COLOUR.search("\n".join(tmux.lines(with_colours=True)))
        tmux.type("Enter", "k")
        tmux.wait_text("kill -9 agent ")
    with terminal(host.folder, shell(host, "--color", "always"), host.environment) as tmux:
        tmux.wait(lambda lines: len(rows(lines)) == 5, "five agents")
        assert COLOUR.search("\n".join(tmux.lines(with_colours=True)))


def test_sigterm_gives_the_screen_back_too(screen: Tmux) -> None:
    screen.program().send(signal.SIGTERM)
    lines = screen.wait_text("exit=")
    assert [line for line in lines if line] == [BEFORE, "exit=143"]


def test_q_ends_it_and_gives_the_screen_back(screen: Tmux) -> None:
    lines = leave(screen)
    assert [line for line in lines if line] == [BEFORE, "exit=0"]


def test_ctrl_c_ends_it_as_a_shell_expects(screen: Tmux) -> None:
    screen.type("C-c")
    lines = screen.wait_text("exit=")
    assert [line for line in lines if line] == [BEFORE, "exit=130"]


@pytest.mark.parametrize("size", [(200, 60), (40, 10), (80, 24)])
def test_it_follows_the_window(screen: Tmux, size: tuple[int, int]) -> None:
    screen.resize(120, 30)
    screen.resize(*size)
    lines = screen.wait(
        lambda lines: lines[size[1] - 1].startswith("q Quit") and "alpha" in rows(lines),
        "the whole view",
    )
    assert all(len(line) <= size[0] for line in lines)


def test_an_asmd_that_is_away_is_said_and_found_again(screen: Tmux, host: Host) -> None:
    with host.asmd_kept_away():
        lines = screen.wait_text("asmd is away, last seen ")
        assert "alpha" in rows(lines)
        screen.type("f")
        screen.wait_text("freeze alpha: unable to reach asmd")
    screen.wait(lambda lines: lines[0].startswith("asmd ") and "away" not in lines[0], "asmd again")


def test_an_asmd_that_hangs_keeps_nobody_from_leaving(host: Host) -> None:
    with terminal(host.folder, shell(host, "--timeout", "60s"), host.environment) as tmux:
        tmux.wait_text("q Quit")
        asmd = host.part("asmd")
        asmd.send(signal.SIGSTOP)
        try:
            tmux.type("f")
            lines = leave(tmux)
        finally:
            asmd.send(signal.SIGCONT)
    assert [line for line in lines if line] == [BEFORE, "exit=0"]


def test_without_asmd_it_does_not_begin(host: Host) -> None:
    command = ["asmctl", "top", "--socket", str(host.folder / "nobody.sock")]
    line = shlex.join(host.command(*command[:2], *command[2:]))
    with terminal(host.folder, [f"{line}; echo exit=$?; exec cat"], host.environment) as tmux:
        lines = tmux.wait_text("exit=3")
    assert "unable to reach asmd" in lines[0]


def test_a_bug_is_a_line_below_a_screen_that_was_given_back(host: Host) -> None:
    broken = (
        "import sys; from supervisord_asm.cli import asmctl, top_app\n"
        "def fail(*_): raise RuntimeError('on purpose')\n"
        "top_app.header_lines = fail; sys.exit(asmctl.main())"
    )
    python, _, _, verb, *rest = host.command("asmctl", "top")
    line = shlex.join([python, "-c", broken, verb, *rest])
    with terminal(host.folder, [f"{line}; echo exit=$?; exec cat"], host.environment) as tmux:
        lines = tmux.wait_text("exit=5")
    words = "asmctl top: internal error, please report it: RuntimeError: on purpose"
    assert [text for text in lines if text] == [words, "exit=5"]
