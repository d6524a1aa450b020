"""Callers for the soak: each kind is a thread or more that does the same until it is told to stop."""

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.keys import bearer
from tests.support.processes import Server

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST
GENERATE = "/api/v1/generate"
Client = Callable[["Soak", random.Random], None]


@dataclass
class Soak:
    """`done`: how often each kind of caller did its part. `wrong`: answers that nobody should get."""

    server: Server
    key: str
    over: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, kind: Client, threads: int) -> list[threading.Thread]:
        made = [threading.Thread(target=self._repeat, args=(kind, number), daemon=True) for number in range(threads)]
        for thread in made:
            thread.start()
        return made

    def count(self, what: str) -> None:
        with self._lock:
            self.done[what] += 1

    def _repeat(self, kind: Client, number: int) -> None:
        dice = random.Random(f"{kind.__name__}-{number}")
        while not self.over.is_set():
            try:
                kind(self, dice)
            except OSError:
                self.count(f"{kind.__name__}: disconnected")
                self.over.wait(0.05)
            except Exception as error:  # reported at the end: a caller that died would prove nothing
                self.wrong.append(f"{kind.__name__}: {error!r}")
                return

    def connect(self, timeout_s: float = 30, buffer: int | None = None) -> socket.socket:
        host, _, port = self.server.base_url.removeprefix("http://").partition(":")
        made = socket.socket()
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.settimeout(timeout_s)
        made.connect((host, int(port)))
        return made

    def head(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        given = {"Host": "localhost", **bearer(self.key), **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in given.items()), "\r\n"]).encode()

    def ask(self, connection: socket.socket, body: dict[str, object]) -> None:
        data = json.dumps({"template_id": "basic_chat_v1", **body}).encode()
        connection.sendall(self.head("POST", GENERATE, data) + data)


def read_response(connection: socket.socket) -> tuple[int, bytes]:
    """One response with a length. Raises `ConnectionError` if the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0"))
    while len(body) < length:
        body += _more(connection)
    return int(head.split(b" ", 2)[1]), body


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    if not piece:
        raise ConnectionResetError("closed")
    return piece


def hits_and_misses(soak: Soak, dice: random.Random) -> None:
    """A program that keeps its connection: half of what it asks was asked before."""
    with soak.connect() as connection:
        while not soak.over.wait(0.02):
            text = (
                f"again {dice.randrange(20)}" if dice.random() < 0.5 else f"new {dice.getrandbits(64):x} " + "w " * 200
            )
            soak.ask(connection, {"input": text})
            status, body = read_response(connection)
            if status != 200 or text.strip() not in json.loads(body)["output"]:
                soak.wrong.append(f"{status} {body[:200]!r} for {text[:40]}")
                return
            soak.count("hits" if json.loads(body)["cached"] else "misses")


def hang_ups(soak: Soak, dice: random.Random) -> None:
    """Asks for a stream, and leaves in its middle, politely or not."""
    with soak.connect() as connection:
        soak.ask(connection, {"input": f"{dice.getrandbits(64):x} " * 50, "model": "echo-20", "stream": True})
        data = b""
        while b"event: delta" not in data:
            data += _more(connection)
        if dice.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    soak.count("streams left in the middle")
    soak.over.wait(0.05)


def slow_readers(soak: Soak, dice: random.Random) -> None:
    """Reads an export in small pieces, to its end."""
    with soak.connect(buffer=32_768) as connection:
        connection.sendall(soak.head("GET", "/api/v1/history/export?format=jsonl&model=seed", Connection="close"))
        data = bytearray()
        while piece := connection.recv(60_000):
            data += piece
            if soak.over.wait(0.02):
                return
    if not data.endswith(b"0\r\n\r\n"):
        soak.wrong.append(f"an export ended early, after {len(data)} bytes")
    soak.count("exports read slowly to the end")


def stopped_readers(soak: Soak, dice: random.Random) -> None:
    """Asks for an export and reads nothing, until the server hangs up."""
    with soak.connect(buffer=32_768) as connection:
        connection.sendall(soak.head("GET", "/api/v1/history/export?format=csv&model=seed"))
        soak.count("exports that nobody reads")
        began = time.monotonic()
        while not soak.over.wait(0.5):
            if _is_reset(connection):
                soak.count("readers that were disconnected")
                return
            if time.monotonic() - began > 150:
                soak.wrong.append("a reader that stopped was not disconnected")
                return


def _is_reset(connection: socket.socket) -> bool:
    """Whether the other side has closed; the data it sent stays unread."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] != 1  # TCP_ESTABLISHED


def slow_writers(soak: Soak, dice: random.Random) -> None:
    """A request a byte at a time: of its headers, or of the body, with a key or at the public sign-in."""
    body = json.dumps({"template_id": "basic_chat_v1", "input": "slow"}).encode()
    kinds = [
        (soak.head("POST", GENERATE, body), body),
        (b"", soak.head("GET", "/api/v1/health")),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
         b"Content-Type: application/x-www-form-urlencoded\r\n\r\n", b"key=" + b"a" * 96),
    ]  # fmt: skip
    whole, slow = dice.choice(kinds)
    with soak.connect() as connection:
        connection.sendall(whole)
        for byte in _bytes_of(slow):
            connection.sendall(byte)
            if soak.over.wait(0.1):
                return
        read_response(connection)
    soak.count("slow requests answered")


def _bytes_of(data: bytes) -> Iterator[bytes]:
    return (data[index : index + 1] for index in range(len(data)))


def idle_connections(soak: Soak, dice: random.Random) -> None:
    """Twenty that ask for one thing each and then keep silent, until the server closes them."""
    kept = [soak.connect() for _ in range(20)]
    try:
        for connection in kept:
            connection.sendall(soak.head("GET", "/api/v1/templates"))
            if read_response(connection)[0] != 200:
                soak.wrong.append("the list of templates")
        for connection in kept:
            while not soak.over.is_set() and connection.recv(1):
                pass
            soak.count("idle connections closed")
    finally:
        for connection in kept:
            connection.close()


def strangers(soak: Soak, dice: random.Random) -> None:
    """Wrong keys, from many addresses, and what is no HTTP."""
    address = ".".join(str(dice.randrange(1, 255)) for _ in range(4))
    wrong: dict[str, Any] = {"Authorization": f"Bearer llms_{dice.getrandbits(200):x}", "X_Forwarded_For": address}
    path = dice.choice(
        ["/api/v1/history", f"/api/v1/history/{dice.getrandbits(64):x}", "/", f"/{dice.getrandbits(64):x}"]
    )
    requests = [
        soak.head("GET", path, **wrong),
        soak.head("POST", GENERATE, b"{}", **wrong) + b"{}",
        dice.randbytes(dice.randrange(1, 3000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(200),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200,
        b"POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]
    with soak.connect() as connection:
        connection.sendall(dice.choice(requests))
        if dice.random() < 0.8:
            connection.shutdown(socket.SHUT_WR)
            first = connection.recv(65_536)
            if first.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")):
                soak.wrong.append(f"a stranger got {first[:60]!r}")
    soak.count("strangers")
    soak.over.wait(0.02)
