"""asmctl VERB: everything that operators do. The table of verbs; each is a file in verbs/.

The summaries stand here again so that `asmctl help` imports no verb; a test compares them.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from supervisord_asm.cli import exit as code
from supervisord_asm.cli.command import Command, execute
from supervisord_asm.cli.terminal import Terminal

# In the order in which help shows them: looking, acting on agents, running, the daemon itself.
VERBS = {
    "status": "Show the system's totals, the last ten events and what is degraded.",
    "list": "List the agents: id, pid, name, capabilities, restarts and state.",
    "info": "Show one agent in detail.",
    "logs": "Show what an agent wrote to stdout and stderr.",
    "events": "Show the last 1,024 events, oldest first.",
    "history": "Show the last 64 programs that an agent ran and how they ended.",
    "syscalls": "Show which syscalls an agent makes most, by name.",
    "resources": "Show what agents use, over the last seconds and second by second.",
    "profile": "Show how long operations take: spawn, exec, restart, stop, calls.",
    "doctor": "Show the source of each figure and limit and, where one is off, why.",
    "top": "Show the agents live on the whole screen: sort, filter, look closely, kill.",
    "plot": "Draw an agent's last minute into a PNG or SVG file.",
    "start": "Start agents and wait until they are active.",
    "stop": "Stop agents: SIGTERM, the grace time, then every process of the cgroup is killed.",
    "restart": "Stop agents and start them again. Does not count towards the restart limit.",
    "kill": "Send a signal to agents (default KILL); the restart policy decides what follows.",
    "reset": "Clear the restart count of agents, so that failed ones can be started again.",
    "run": "Run a command as a new agent.",
    "wait-ready": "Wait until asmd answers and no agent is starting any more.",
    "check-config": "Check configuration files without applying them.",
    "reload": "Apply the changed configuration, or nothing of it if a file is wrong.",
    "journal": "Verify the journal's chain of hashes, or show its records.",
    "backup": "Write a consistent copy of the journal to PATH while asmd runs.",
    "shutdown": "Stop every agent and end asmd.",
    "version": "Show the versions of asmctl and asmd.",
}

_HELP_WORDS = frozenset({"help", "--help", "-h"})


def load_verb(verb: str) -> Command:
    """Import one verb of the table and return its command."""
    module = import_module(f"supervisord_asm.cli.verbs.{verb.replace('-', '_')}")
    command = module.COMMAND
    assert isinstance(command, Command)
    return command


def help_text() -> str:
    """Return what `asmctl help` prints."""
    lines = [f"  {verb:<13} {summary}" for verb, summary in VERBS.items()]
    return "\n".join(
        (
            "usage: asmctl VERB [OPTIONS] [ARGUMENTS]",
            "",
            *lines,
            "",
            "asmctl VERB --help explains a verb, asmctl(8) all of them.",
            "",
        )
    )


def dispatch(arguments: Sequence[str]) -> int:
    """Run the verb that the command line names."""
    terminal = Terminal("asmctl")
    if not arguments:
        terminal.say(help_text().rstrip())
        return code.USAGE
    verb, *rest = arguments
    if verb in _HELP_WORDS:
        if rest and rest[0] in VERBS:
            return execute(f"asmctl {rest[0]}", load_verb(rest[0]), ["--help"])
        terminal.write(help_text())
        return code.OK
    if verb == "--version":
        verb = "version"
    if verb not in VERBS:
        terminal.complain(f'unknown verb "{verb}"{_did_you_mean(verb)}; see asmctl help')
        return code.USAGE
    return execute(f"asmctl {verb}", load_verb(verb), rest)


def _did_you_mean(verb: str) -> str:
    import difflib  # 4 ms, and only for a mistake

    close = difflib.get_close_matches(verb, VERBS, n=1)
    return f", did you mean {close[0]}?" if close else ""


def main() -> int:
    """Run the command line of this process."""
    return dispatch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
