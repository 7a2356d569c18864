"""asmctl info: what asminfo shows."""

from supervisord_asm.cli.asminfo import COMMAND

__all__ = ["COMMAND"]
