"""A TCP proxy in front of PostgreSQL that cuts a connection in the middle of its next COMMIT."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal

How = Literal["before", "held", "after", "silent"]
_COMMIT = b"COMMIT\0"


class CommitProxy:
    """`cut`: what happens to the next COMMIT. None: nothing.

    `before`: the server never gets it, and hears that the client is gone. `held`: it never gets it, and believes that the
    client is still there. `after`: the server gets it and answers, and the client never hears the answer. `silent`: nor that the
    connection is lost.
    """

    def __init__(self, port: int, answered: Callable[[], object] = lambda: None) -> None:
        """`answered` is called when the server has answered, before the client hears that the connection is lost."""
        self._server_port = port
        self._answered = answered
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut: How | None = None
        self.cuts = 0
        self._is_silent = False
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CommitProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        with self._lock:
            for each in self._open:
                _end(each)
                each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:  # it restarts
                client.close()
                continue
            with self._lock:
                self._open += [client, server]
            answers_wanted = threading.Event()
            answers_wanted.set()
            threading.Thread(target=self._to_server, args=(client, server, answers_wanted), daemon=True).start()
            threading.Thread(target=self._to_client, args=(client, server, answers_wanted), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, answers_wanted: threading.Event) -> None:
        while data := _received(client):
            if self.cut is None or _COMMIT not in data:
                if not _sent(server, data):
                    break
                continue
            how, self.cut = self.cut, None
            self.cuts += 1
            if how in ("after", "silent"):
                answers_wanted.clear()
                self._is_silent = how == "silent"
                _sent(server, data)
                return
            _end(client)
            if how == "before":
                _end(server)
            return
        _end(server)

    def _to_client(self, client: socket.socket, server: socket.socket, answers_wanted: threading.Event) -> None:
        while data := _received(server):
            if not answers_wanted.is_set():
                self._answered()
                if self._is_silent:
                    return
                break
            if not _sent(client, data):
                break
        _end(client)
        if not answers_wanted.is_set():
            _end(server)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _sent(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True
