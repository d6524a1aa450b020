"""The texts of generations of other processes, while they grow: who wants one asks, and the process that has it writes it."""

import threading
from collections.abc import Callable

from llm_service.adapters.memory.single_flight import MemorySharedCall, MemorySingleFlight
from llm_service.core.clock import Waker

from .client import RedisClient
from .relay import Growing, RelayedText, Source, TextRelay
from .streams import Fields, StreamReader


class RedisRemoteTexts:
    """Satisfies `RemoteTexts`. Call `tick` every few seconds, and `wanted` when another process asks for a text."""

    def __init__(
        self, client: RedisClient, reader: StreamReader, relay: TextRelay, ask: Callable[[str], object]
    ) -> None:
        """`ask` tells the other processes that somebody here wants to see the text of this generation grow."""
        self._client = client
        self._reader = reader
        self._relay = relay
        self._ask = ask
        self._lock = threading.Lock()
        # For each generation its text here, and how many want it.
        self._followed: dict[str, tuple[_Text, int]] = {}

    def follow(self, request_id: str) -> "RedisRemoteText":
        with self._lock:
            text, wanted = self._followed.get(request_id, (None, 0))
            begins = text is None
            if text is None:
                text = _Text(request_id)
            self._followed[request_id] = (text, wanted + 1)
        if begins:
            self._reader.follow(self._key(request_id), text)
            self._ask(request_id)
        return RedisRemoteText(text, lambda: self._leave(request_id))

    def wanted(self, request_id: str, source: Source | None) -> None:
        """`source`: the generation, if this process runs it."""
        if source is not None:
            self._relay.want(self._key(request_id), source, ends=True)

    def tick(self) -> None:
        """Ask again for what is still wanted."""
        with self._lock:
            wanted = [request_id for request_id, (text, _) in self._followed.items() if not text.ended]
        for request_id in wanted:
            self._ask(request_id)

    def _leave(self, request_id: str) -> None:
        with self._lock:
            text, wanted = self._followed[request_id]
            if wanted > 1:
                self._followed[request_id] = (text, wanted - 1)
                return
            del self._followed[request_id]
            self._reader.unfollow(self._key(request_id), text)

    def _key(self, request_id: str) -> str:
        return self._client.key(request_id, "text")


class _Text:
    def __init__(self, request_id: str) -> None:
        self.log = MemorySharedCall(MemorySingleFlight(), None, request_id, "")
        self.ended = False
        self._relayed = RelayedText(Growing(self.log.append, self.log.restart))

    def hear(self, fields: Fields) -> None:
        if b"end" in fields:
            self.ended = True
            self.log.wake()
        else:
            self._relayed.hear(fields)


class RedisRemoteText:
    """Satisfies `RemoteText`, for one subscriber."""

    def __init__(self, text: _Text, leave: Callable[[], None]) -> None:
        self._text = text
        self._leave: Callable[[], None] | None = leave
        self._wakers: list[Waker] = []

    @property
    def restarts(self) -> int:
        return self._text.log.restarts

    @property
    def ended(self) -> bool:
        return self._text.ended

    def text_after(self, position: int) -> str:
        return self._text.log.text_after(position)

    def watch(self, waker: Waker) -> None:
        self._wakers.append(waker)
        self._text.log.watch(waker)
        waker.set()  # there may be text already

    def close(self) -> None:
        leave, self._leave = self._leave, None
        for waker in self._wakers:
            self._text.log.unwatch(waker)
        if leave is not None:
            leave()
