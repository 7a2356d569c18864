"""A stand-in for asmd's control socket: answers from a function, in this process.

For what the real daemon cannot be made to say on demand: refusals, silence, broken frames. What the
commands do with a real daemon is tested against a real daemon.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from supervisord_asm.api.wire import Decoder, Frame, encode_frame

# Takes (verb, request), returns (result, reply). Raising ends the connection without an answer.
Answer = Callable[[int, Mapping[str, Any]], tuple[int, Mapping[str, Any]]]


class FakeAsmd:
    """Listens while the `with` block lasts. `calls` holds every request, in order."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.calls: list[tuple[int, dict[str, Any]]] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "FakeAsmd":
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed by __exit__
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        decoder = Decoder()
        with connection:
            while data := connection.recv(1 << 16):
                for frame in decoder.feed(data):
                    request = json.loads(frame.payload)
                    self.calls.append((frame.number, request))
                    try:
                        result, reply = self._answer(frame.number, request)
                    except ConnectionError:
                        return
                    payload = json.dumps(reply).encode()
                    connection.sendall(
                        encode_frame(Frame(frame.number, frame.request_id, payload, result))
                    )
