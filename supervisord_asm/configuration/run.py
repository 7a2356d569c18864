"""`asmctl run`: a request of the control socket, turned into the spec of an agent without a file.

The request is JSON; it is made into the nodes that a file would have given and read by the same
code, so a limit means the same on the command line and in agents.d. Only the keys of RUN are
taken: the rest is for files, and Admin is for files alone (DECISIONS.md, "Identity and policy").
"""

import re
from collections.abc import Collection, Mapping

from supervisord_asm.configuration import document
from supervisord_asm.configuration.agent import read_agent, without_passed
from supervisord_asm.configuration.document import NOWHERE, Node, Scalar, Sequence
from supervisord_asm.configuration.errors import ConfigurationErrors, Report
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.suggestion import suggest
from supervisord_asm.core.capability import Capability
from supervisord_asm.core.daemon_spec import DaemonSpec
from supervisord_asm.core.spec import AgentSpec

RUN_FILE = "asmctl run"
RUN_KEYS = frozenset(
    {
        "name", "command", "environment", "user", "group", "working_directory", "limits",
        "capabilities", "scope",
    }
)  # fmt: skip
NAME_MAX = 48  # of a name made from a program's, so that a number fits behind it


def spec_for_run(
    request: Mapping[str, object],
    daemon: DaemonSpec,
    names_taken: Collection[str] = (),
) -> AgentSpec:
    """Build the spec of an agent that is run once: no restart, started by hand.

    The working directory is kept if it lies in the scope, else the agent starts in its own. A
    request without a name gets one from its program's, free among `names_taken`. Values that
    are None count as absent. Raises ConfigurationErrors.
    """
    report = Report(RUN_FILE)
    given = {key: value for key, value in request.items() if value is not None}
    for key in sorted(given.keys() - RUN_KEYS):
        report.add(NOWHERE, f'"{key}" cannot be given here', suggest(key, RUN_KEYS - given.keys()))
        del given[key]
    if "name" not in given:
        given["name"] = _free_name(given.get("command"), names_taken)
    if not _is_in_scope(given.get("working_directory"), given.get("scope")):
        given.pop("working_directory", None)
    # What defaults: say about restarts is for agents that are kept; and nobody starts this one.
    given |= {"restart": "no", "start": "manual"}
    node = _node(given)
    assert isinstance(node, document.Mapping)
    agent = read_agent(Section(report, node), daemon)
    if agent is not None and agent.spec.capabilities & Capability.ADMIN:
        report.add(NOWHERE, "capabilities: Admin", "Admin is given in a file of agents.d only")
    if report.errors:
        raise ConfigurationErrors(report.errors)
    assert agent is not None  # without a name there was an error
    return without_passed(agent.spec)


def _is_in_scope(folder: object, scope: object) -> bool:
    """Tell whether the caller's folder is one that the agent may work in (CONTRACT, "asmctl run").

    By name only, and to choose a comfortable start: what the agent can open is the kernel's word.
    """
    prefixes = [scope] if isinstance(scope, str) else scope if isinstance(scope, list) else []
    return isinstance(folder, str) and any(
        f"{folder}/".startswith(f"{str(prefix).rstrip('/')}/") for prefix in prefixes
    )


def _free_name(command: object, names_taken: Collection[str]) -> str:
    program = command[0] if isinstance(command, list) and command else ""
    stem = re.sub("[^a-z0-9_.-]+", "-", str(program).rpartition("/")[2].lower())
    stem = stem.lstrip("0123456789_.-")[:NAME_MAX] or "run"
    name, number = stem, 1
    while name in names_taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _node(value: object, depth: int = 0) -> Node:
    """Make the node that a file would have given; what is nested too deep becomes nothing."""
    if depth > document.DEPTH_MAX:
        return Scalar("", True, NOWHERE)
    if isinstance(value, Mapping):
        pairs: list[tuple[Node, Node]] = [
            (Scalar(str(key), False, NOWHERE), _node(item, depth + 1))
            for key, item in value.items()
        ]
        return document.Mapping(pairs, NOWHERE)
    if isinstance(value, list | tuple):
        return Sequence([_node(item, depth + 1) for item in value], NOWHERE)
    if isinstance(value, bool):
        return Scalar("true" if value else "false", True, NOWHERE)
    return Scalar("" if value is None else str(value), not isinstance(value, str), NOWHERE)
