"""Configuration: asm.yaml and agents.d/*.yaml as records of core/, or every error in them.

What may live here: reading files, YAML, checking form, messages. What may not: anything about the
running system, and any decision; the records are core/spec.py and core/daemon_spec.py. The layers,
lowest first: document (text to nodes), section (nodes to values), scalars, bounds, life, gateway,
sentinel (values to records), agent and daemon (one file's entry), fleet (all together), load, run.
"""

from supervisord_asm.configuration.errors import ConfigurationError, ConfigurationErrors
from supervisord_asm.configuration.load import (
    DEFAULT_ASM_YAML,
    load_configuration,
    parse_agent_text,
    parse_daemon_text,
)
from supervisord_asm.configuration.run import spec_for_run
from supervisord_asm.core.daemon_spec import Configuration

__all__ = [
    "DEFAULT_ASM_YAML",
    "Configuration",
    "ConfigurationError",
    "ConfigurationErrors",
    "load_configuration",
    "parse_agent_text",
    "parse_daemon_text",
    "spec_for_run",
]
