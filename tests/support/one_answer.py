"""A server that sends the bytes of one answer, whatever they are."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EVENTS, JSON = "text/event-stream", "application/json"


@dataclass
class OneAnswer:
    """`request`: what was received, up to the first 64 KiB."""

    base_url: str
    request: bytes = b""


@contextmanager
def answering(
    body: bytes, *, status: int = 200, media: str = EVENTS, length: int | None = None, hold: bool = False
) -> Iterator[OneAnswer]:
    """`length`: the Content-Length, if one is sent; otherwise the end of the connection ends the body.

    `hold`: after the body, leave the connection open until the client closes it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answer = OneAnswer(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", "Connection: close"]
        lines += [] if length is None else [f"Content-Length: {length}"]

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted:
                answer.request = accepted.recv(65536)
                accepted.sendall("\r\n".join([*lines, "", ""]).encode() + body)
                while hold and accepted.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield answer
        thread.join()
