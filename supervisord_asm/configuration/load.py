"""From files to a Configuration, or to every error in them.

Nothing starts from a bad file: either all of asm.yaml and agents.d is right, or nothing of it is
used. Agents come out sorted by name, so that two daemons that read the same files do the same.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from supervisord_asm.configuration.agent import LocatedAgent, read_agent, without_passed
from supervisord_asm.configuration.daemon import LocatedDaemon, read_daemon
from supervisord_asm.configuration.document import (
    Mapping,
    Node,
    Sequence,
    YamlRefused,
    parse_document,
)
from supervisord_asm.configuration.errors import (
    ConfigurationError,
    ConfigurationErrors,
    Report,
)
from supervisord_asm.configuration.fleet import check_fleet
from supervisord_asm.configuration.section import Section
from supervisord_asm.configuration.source import list_sources, read_source
from supervisord_asm.core.daemon_spec import Configuration, DaemonSpec
from supervisord_asm.core.spec import AgentSpec

# Missing here, a file means the defaults; missing anywhere else, it is a mistake of whoever named
# it (below's rule).
DEFAULT_ASM_YAML = Path("/etc/asm/asm.yaml")


def load_configuration(
    asm_yaml: Path = DEFAULT_ASM_YAML,
    agents_dir: Path | None = None,
    *,
    require_root_owner: bool = True,
) -> Configuration:
    """Read asm.yaml and every *.yaml of its agents' folder.

    `agents_dir` overrides the folder that asm.yaml names. A missing default asm.yaml, and a
    missing folder that nobody named, are no errors. Raises ConfigurationErrors with all of them.
    """
    errors: list[ConfigurationError] = []
    digest = hashlib.sha256()
    report = Report(str(asm_yaml))
    daemon = _defaults(asm_yaml)
    if asm_yaml != DEFAULT_ASM_YAML or asm_yaml.exists():
        data = read_source(asm_yaml, report, require_root_owner=require_root_owner)
        if data is not None:
            _feed(digest, "asm.yaml", data)
            daemon = _daemon(data, report)
    errors += report.errors
    daemon_is_read = not report.errors

    folder = agents_dir or asm_yaml.parent / daemon.spec.agents_dir
    agents: list[LocatedAgent] = []
    complete = daemon_is_read
    if agents_dir is not None or daemon.names_folder or folder.exists():
        report = Report(str(folder))
        sources = list_sources(folder, report, require_root_owner=require_root_owner)
        complete = complete and not report.errors
        errors += report.errors
        for path in sources:
            report = Report(str(path))
            data = read_source(path, report, require_root_owner=require_root_owner)
            if data is not None:
                _feed(digest, path.name, data)
                found, whole = _agents(data, report, daemon.spec)
                agents += found
            complete = complete and data is not None and whole
            errors += report.errors
    errors += check_fleet(agents, daemon, complete)
    if errors:
        raise ConfigurationErrors(errors)
    specs = sorted((without_passed(agent.spec) for agent in agents), key=lambda spec: spec.name)
    return Configuration(daemon.spec, tuple(specs), digest.hexdigest())


def parse_daemon_text(text: str, file_name: str) -> DaemonSpec:
    """Read an asm.yaml that is at hand as text."""
    report = Report(file_name)
    daemon = _daemon(text.encode("utf-8", "surrogatepass"), report)
    if report.errors:
        raise ConfigurationErrors(report.errors)
    return daemon.spec


def parse_agent_text(
    text: str, file_name: str, daemon: DaemonSpec | None = None, *, is_alone: bool = True
) -> tuple[AgentSpec, ...]:
    """Read one file of agents that is at hand as text.

    `is_alone` = there are no other files: a dependency on an agent that is not in it dangles.
    """
    report = Report(file_name)
    located = _defaults(Path(file_name))
    # Groups name agents of the whole folder: nothing that one file could be wrong about.
    located.spec = replace(daemon or located.spec, groups=())
    agents, whole = _agents(text.encode("utf-8", "surrogatepass"), report, located.spec)
    errors = report.errors + check_fleet(agents, located, whole and is_alone)
    if errors:
        raise ConfigurationErrors(errors)
    return tuple(without_passed(agent.spec) for agent in agents)


def _feed(digest: "hashlib._Hash", name: str, data: bytes) -> None:
    # Lengths between, so that no two different sets of files run together to one text.
    digest.update(f"{name}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
    digest.update(data)


def _parse(data: bytes, report: Report) -> tuple[Node | None, bool]:
    try:
        return parse_document(data), True
    except YamlRefused as error:
        report.add(error.mark, error.message, error.hint)
        return None, False


def _defaults(file: Path) -> LocatedDaemon:
    return LocatedDaemon(DaemonSpec(), str(file), False, {})


def _daemon(data: bytes, report: Report) -> LocatedDaemon:
    node, _ = _parse(data, report)
    if isinstance(node, Mapping):
        return read_daemon(Section(report, node))
    if node is not None:
        report.add(node.mark, "asm.yaml is no mapping", "`key: value` lines belong here")
    return _defaults(Path(report.file))


def _agents(data: bytes, report: Report, daemon: DaemonSpec) -> tuple[list[LocatedAgent], bool]:
    """Read an agent or a list of them; tell also whether every agent's name is known."""
    node, whole = _parse(data, report)
    if node is None:
        return [], whole
    found: list[LocatedAgent] = []
    for item in node.items if isinstance(node, Sequence) else [node]:
        if not isinstance(item, Mapping):
            report.add(item.mark, "this is no agent", "name: and command: belong here")
            whole = False
            continue
        agent = read_agent(Section(report, item), daemon)
        if agent is None:
            whole = False
        else:
            found.append(agent)
    return found, whole
