"""Pure decisions, one noun per file. Values in, values out: no clock, file, socket or log."""
