"""The door in both directions: codec, numbers, server, client. Imports nothing of the daemon."""
