"""A name server that never answers, and a resolver that asks it."""

import socket
import threading
from collections.abc import Sequence
from typing import Self

from llm_service.adapters.providers.names import Address

# One question of type A for "provider.example".
_QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08provider\x07example\x00\x00\x01\x00\x01"


class SilentNameServer:
    """`resolve` satisfies `Resolve`. It waits for the answer, which comes only when the server is closed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._clients: set[tuple[str, int]] = set()
        self.questions = 0
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._receive)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closing:
            closing.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def resolve(self, host: str, port: int) -> Sequence[Address]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect(self._socket.getsockname())
            asking.send(_QUESTION)
            asking.recv(512)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def _receive(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                break
            self._clients.add(client)
            self.questions += 1
            self.asked.set()
        for client in self._clients:
            self._socket.sendto(b"", client)
