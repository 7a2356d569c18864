"""asmctl status: what asmstatus shows."""

from supervisord_asm.cli.asmstatus import COMMAND

__all__ = ["COMMAND"]
