"""An HTTP proxy to test through: tunnels with CONNECT, and requests with whole URLs."""

import base64
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret"
LOGIN_NEEDED = b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
Answer = Callable[[socket.socket], object]


class HttpProxy:
    """In threads of its own. `heads` has the head of each request to the proxy, in order.

    `login`: user and password, with a colon in between. `places`: where hosts really are, as "host:port" to the port on
    this machine. `answer`: answers in place of the proxy, and then the connection is closed.
    """

    def __init__(
        self, login: str | None = None, places: Mapping[str, int] | None = None, answer: Answer | None = None
    ) -> None:
        self._login = login
        self._places = places or {}
        self._answer = answer
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.heads: list[str] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def url(self, login: str = "") -> str:
        """`login`: as it is written in a URL."""
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}"

    def _start(self, run: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=run, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._sockets.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = _read_head(client)
            if not head:
                return
            self.heads.append(head)
            method, target, _ = head.split("\r\n")[0].split(" ")
            if self._answer is not None:
                self._answer(client)
            elif not self._knows(head):
                client.sendall(LOGIN_NEEDED)
            elif method == "CONNECT":
                self._tunnel(client, target)
            else:
                self._forward(client, head)

    def _knows(self, head: str) -> bool:
        if self._login is None:
            return True
        encoded = base64.b64encode(self._login.encode()).decode()
        return f"\r\nProxy-Authorization: Basic {encoded}\r\n" in head

    def _dial(self, host: str) -> socket.socket:
        name, _, port = host.rpartition(":")
        place = ("127.0.0.1", self._places[host]) if host in self._places else (name, int(port))
        origin = socket.create_connection(place, 10)
        origin.settimeout(None)
        self._sockets.append(origin)
        return origin

    def _tunnel(self, client: socket.socket, host: str) -> None:
        with self._dial(host) as origin:
            client.sendall(ESTABLISHED)
            self._start(_pump, origin, client)
            _pump(client, origin)

    def _forward(self, client: socket.socket, head: str) -> None:
        """This request, and those that follow on the connection."""
        with self._dial(urlsplit(head.split(" ")[1]).netloc) as origin:
            self._start(_pump, origin, client)
            while head:
                origin.sendall(_for_the_origin(head) + _read_body(client, head))
                if head := _read_head(client):
                    self.heads.append(head)
            origin.shutdown(socket.SHUT_RDWR)


def _for_the_origin(head: str) -> bytes:
    """The path in place of the URL, and no header that is the proxy's own."""
    first, *lines = head.split("\r\n")
    method, url, version = first.split(" ")
    kept = [line for line in lines if not line.lower().startswith("proxy-")]
    return "\r\n".join([f"{method} {urlsplit(url).path} {version}", *kept]).encode()


def _read_head(client: socket.socket) -> str:
    """Byte by byte, because what follows is not the head's."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return ""
        head += byte
    return head.decode("latin-1")


def _read_body(client: socket.socket, head: str) -> bytes:
    lines = head.lower().split("\r\n")
    left = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
    body = b""
    while len(body) < left and (data := client.recv(left - len(body))):
        body += data
    return body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
