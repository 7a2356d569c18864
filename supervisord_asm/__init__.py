"""supervisord-asm: keeps AI agents alive, bounded, permitted, accounted and visible."""

__version__ = "0.1.0"
