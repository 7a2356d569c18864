"""net_agent [PORT]: asks net_server on 127.0.0.1:7101 and checks what it answers.

Every two seconds it has five random texts digested and compares with its own arithmetic: it finds
a server that is gone, slow or wrong. Every half minute it prints the counts and the median time of
a round trip. A wrong answer ends it with code 1; SIGTERM with code 0.
"""

import hashlib
import os
import signal
import socket
import statistics
import sys
import time

HOST = "127.0.0.1"
PORT = 7101
PAUSE_SECONDS = 2.0
REQUESTS_PER_TURN = 5
TURNS_PER_REPORT = 15
TIMEOUT_SECONDS = 5.0
ANSWER_BYTES_MAX = 4096


class WrongAnswer(Exception):
    """The server answered something else than it should have."""


def check(text: bytes, answer: bytes) -> None:
    """Compare an answer with what it should be. Raises WrongAnswer."""
    expected = b"ok " + hashlib.sha256(text).hexdigest().encode()
    if answer != expected:
        raise WrongAnswer(f"digest {text[:40]!r}: got {answer[:80]!r}")


def ask(connection: socket.socket, text: bytes) -> float:
    """Send one request and check its answer; returns the seconds that it took."""
    begin = time.perf_counter()
    connection.sendall(b"digest " + text + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        data = connection.recv(ANSWER_BYTES_MAX)
        if not data or len(answer) > ANSWER_BYTES_MAX:
            raise ConnectionError("the server hung up")
        answer += data
    check(text, answer[:-1])
    return time.perf_counter() - begin


def report(times_s: list[float], failures: int) -> str:
    """Sum up the round trips since the last report."""
    if not times_s:
        return f"no answers, {failures} failures"
    median_us = statistics.median(times_s) * 1_000_000
    return f"{len(times_s)} answers, all right, median {median_us:.0f} us, {failures} failures"


def turn(connection: socket.socket | None, port: int, times_s: list[float]) -> socket.socket:
    """Make one turn's requests, on a new connection if there is none; returns it."""
    if connection is None:
        connection = socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS)
        print(f"connected to {HOST}:{port}")
    try:
        texts = (os.urandom(12).hex().encode() for _ in range(REQUESTS_PER_TURN))
        times_s.extend(ask(connection, text) for text in texts)
    except BaseException:  # whatever it was, the next turn needs a new connection
        connection.close()
        raise
    return connection


def main(port: int) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    connection: socket.socket | None = None
    times_s: list[float] = []
    failures = turns = 0
    while True:
        try:
            connection = turn(connection, port, times_s)
        except OSError as error:
            failures += 1
            connection = None
            print(f"unable to ask the server: {error}; again in {PAUSE_SECONDS:.0f} s")
        except WrongAnswer as error:
            print(f"wrong answer: {error}", file=sys.stderr)
            return 1
        turns += 1
        if turns % TURNS_PER_REPORT == 0:
            print(report(times_s, failures))
            times_s, failures = [], 0
        if signal.sigtimedwait({signal.SIGTERM}, PAUSE_SECONDS):
            print(f"stopping; {report(times_s, failures)}")
            return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
