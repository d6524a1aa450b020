"""Passes a growing text on to other processes, through a stream, while somebody there wants it.

Each entry has a piece of text, its position, and its epoch: which text it belongs to. A text that begins anew has a greater
epoch. What a reader has already, or is of an earlier epoch, is ignored, so a writer may write all of it again: it does when
the stream is gone.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from llm_service.core.clock import Clock, Waker
from llm_service.core.generation.ports import Spawn

from .client import RedisAway, RedisClient
from .flight_scripts import KEEP_TEXT_MS
from .streams import Fields

# Pieces of text within this time are one entry.
BATCH_S = 0.05
# Who wants a text says so again, more often than this.
WANTED_S = 10.0
# A writer looks whether it is still wanted.
LOOK_S = 1.0
# While Redis is away, or full.
PAUSE_S = 0.5
Epoch = tuple[int, int]


class Source(Protocol):
    """A growing text."""

    @property
    def restarts(self) -> int: ...

    @property
    def is_over(self) -> bool:
        """Whether no more text comes."""
        ...

    def text_after(self, position: int) -> str: ...

    def watch(self, waker: Waker) -> None: ...

    def unwatch(self, waker: Waker) -> None: ...


class TextRelay:
    """Built once per process. Each stream that is wanted has a task that writes it."""

    def __init__(self, client: RedisClient, clock: Clock, spawn: Spawn) -> None:
        self._client = client
        self._clock = clock
        self._spawn = spawn
        self._lock = threading.Lock()
        self._wanted_until: dict[tuple[str, int], float] = {}

    def want(self, key: str, source: Source, turn: int = 0, *, ends: bool = False) -> None:
        """Write the text to the stream until it is over, or was not wanted for a while. Returns at once.

        `turn`: texts with a greater one are newer. `ends`: the stream says when the text is over.
        """
        with self._lock:
            starts = (key, turn) not in self._wanted_until
            self._wanted_until[key, turn] = self._clock.monotonic() + WANTED_S
        if starts:
            try:
                self._spawn(lambda: self._run(_Writer(self._client, key, source, turn), ends))
            except BaseException:
                self._wanted_until.pop((key, turn), None)
                raise

    def _run(self, writer: "_Writer", ends: bool) -> None:
        waker = threading.Event()
        writer.source.watch(waker)
        try:
            while self._clock.monotonic() < self._wanted_until[writer.key, writer.turn]:
                # First this: no text is added after it is over.
                over = writer.source.is_over
                try:
                    writer.write(over and ends)
                except RedisAway:
                    self._clock.sleep(PAUSE_S)
                    waker.set()  # what is not written yet
                if over:
                    return
                self._clock.sleep(BATCH_S)
                self._clock.wait(waker, LOOK_S)
                waker.clear()
        finally:
            writer.source.unwatch(waker)
            self._wanted_until.pop((writer.key, writer.turn), None)


class _Writer:
    def __init__(self, client: RedisClient, key: str, source: Source, turn: int) -> None:
        self.key = key
        self.source = source
        self._client = client
        self.turn = turn
        self._restarts = source.restarts
        self._position = 0
        self._began = False

    def write(self, ends: bool) -> None:
        """What is new. Raises `RedisAway`."""
        restarts = self.source.restarts
        if restarts != self._restarts:
            self._restarts, self._position = restarts, 0
        text = self.source.text_after(self._position)
        if self.source.restarts != restarts:
            return  # the text is of neither; its waker is set
        if text and not self._add(self._entry(text)):
            # The stream is gone: evicted, flushed, or expired in a long pause.
            self._position = 0
            text = self.source.text_after(0)
            self._began = False
            self._add(self._entry(text))
        self._position += len(text)
        if ends:
            self._add({"end": 1})

    def _entry(self, text: str) -> dict[str, Any]:
        return {"epoch": f"{self.turn}.{self._restarts}", "at": self._position, "text": text}

    def _add(self, fields: dict[Any, Any]) -> bool:
        """False: the stream that it began is gone."""
        began = self._began

        def command(client: Any) -> bool:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(self.key, fields, nomkstream=began)
                pipeline.pexpire(self.key, KEEP_TEXT_MS)
                added, _ = pipeline.execute()
            return added is not None

        added = self._client.run(command)
        self._began = True
        return added


@dataclass(frozen=True, slots=True)
class Growing:
    """Where a text is kept as it comes from a stream."""

    append: Callable[[str], None]
    restart: Callable[[], None]


class RelayedText:
    """Puts the pieces of a stream together. `length`: of the text so far."""

    def __init__(self, growing: Growing, epoch: Epoch = (0, 0)) -> None:
        """Texts of earlier epochs are ignored."""
        self._growing = growing
        self._epoch = epoch
        self.length = 0

    def hear(self, fields: Fields) -> None:
        """Anything that is no such piece is ignored."""
        try:
            turn, restarts = fields[b"epoch"].split(b".")
            epoch, at, text = (int(turn), int(restarts)), int(fields[b"at"]), fields[b"text"].decode()
        except (KeyError, ValueError):
            return
        if epoch < self._epoch:
            return
        if epoch > self._epoch:
            if self.length:
                self._growing.restart()
            self._epoch, self.length = epoch, 0
        # A gap: the rest comes with the end.
        if at <= self.length < at + len(text):
            new = text[self.length - at :]
            self.length += len(new)
            self._growing.append(new)
