"""Pure decisions, one noun per file. Values in, values out: no clock, no file, no socket, no log."""
