"""net_server [PORT]: answers small requests on 127.0.0.1:7101, or on another port.

One request per line, at most 4 KiB; one answer line each, beginning with `ok` or `error`:

    digest TEXT   the SHA-256 of TEXT, in hexadecimal
    time          nanoseconds since the epoch
    count         how many requests have been answered

Try it: printf 'digest hello\\ncount\\n' | nc -q1 127.0.0.1 7101. SIGTERM ends it with code 0.
"""

import hashlib
import os
import selectors
import signal
import socket
import sys
import time

HOST = "127.0.0.1"
PORT = 7101
LINE_BYTES_MAX = 4096
CONNECTIONS_MAX = 64
REPORT_SECONDS = 30


def answer(request: bytes, served: int) -> bytes:
    """Answer one request line."""
    verb, _, text = request.partition(b" ")
    if verb == b"digest":
        return b"ok " + hashlib.sha256(text).hexdigest().encode()
    if verb == b"time":
        return b"ok %d" % time.time_ns()
    if verb == b"count":
        return b"ok %d" % served
    return b"error unknown request: one of digest TEXT, time, count"


class Server:
    """The listener and its connections; each holds at most one unfinished line."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.listener = socket.create_server(address, backlog=CONNECTIONS_MAX)
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.unfinished: dict[socket.socket, bytes] = {}
        self.served = 0

    def turn(self, timeout_s: float) -> list[int]:
        """Serve what is ready; returns the ready descriptors that are not ours."""
        strangers = []
        for key, _ in self.selector.select(timeout_s):
            if key.fileobj is self.listener:
                self.accept()
            elif isinstance(key.fileobj, socket.socket):
                self.serve(key.fileobj)
            else:
                strangers.append(key.fd)
        return strangers

    def accept(self) -> None:
        """Take a connection, or turn it away when there are too many."""
        try:
            connection, _ = self.listener.accept()
        except OSError:  # it hung up before its turn
            return
        if len(self.unfinished) >= CONNECTIONS_MAX:
            connection.close()
            return
        connection.setblocking(False)
        self.unfinished[connection] = b""
        self.selector.register(connection, selectors.EVENT_READ)

    def serve(self, connection: socket.socket) -> None:
        """Answer the lines that have come; a client that misbehaves loses its connection."""
        try:
            data = connection.recv(LINE_BYTES_MAX)
            *lines, rest = (self.unfinished[connection] + data).split(b"\n")
            for line in lines:
                self.served += 1
                # A client that never reads fills its socket and is dropped here, not waited for.
                connection.sendall(answer(line.rstrip(b"\r"), self.served) + b"\n")
            if not data or len(rest) > LINE_BYTES_MAX:
                raise ConnectionError("ended, or a line without an end")
            self.unfinished[connection] = rest
        except OSError:
            self.drop(connection)

    def drop(self, connection: socket.socket) -> None:
        """Forget a connection."""
        self.selector.unregister(connection)
        connection.close()
        del self.unfinished[connection]


def main(port: int) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, lambda *_: None)  # seen through the pipe
    server = Server((HOST, port))
    server.selector.register(wake, selectors.EVENT_READ)
    print(f"listening on {HOST}:{port}")
    report_due = time.monotonic() + REPORT_SECONDS
    while True:
        if server.turn(max(0.0, report_due - time.monotonic())):
            print(f"stopping after {server.served} requests")
            return 0
        if time.monotonic() >= report_due:
            report_due += REPORT_SECONDS
            print(f"{server.served} requests served, {len(server.unfinished)} connections open")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
