"""The door's language and its two ends: codec, numbers, server, client. Imports nothing of the daemon."""
