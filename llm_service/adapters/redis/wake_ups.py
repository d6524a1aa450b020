"""Wake-ups between processes and machines, through one channel of Redis' publish and subscribe.

Redis keeps no message: who is not connected when it is sent misses it. So each handler is called with `ANY` after every
subscription, and who could not send tells all others so as soon as it can.
"""

import secrets
import threading
from typing import Any, Literal

import msgspec
import redis
from redis import exceptions

from llm_service.core.generation.ports import Reporter, Spawn
from llm_service.core.wake_ups import ANY, Handler, Topic

from .client import RedisAway, RedisClient

VERSION: Literal[1] = 1
# A connection that is silent for this long is asked whether it is still there, and given up if there is no answer.
SILENT_S = 5.0
# Between attempts to subscribe.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
# How long `close` waits for the reader.
CLOSE_S = 1.0
# Longer ids are from nobody.
MAX_ID_CHARS = 300


class Message(msgspec.Struct, frozen=True):
    """As JSON. What a later version adds is ignored; what it changes has another `v`, and is ignored whole."""

    v: Literal[1]
    sender: str
    topic: Topic
    about: str = ANY


_decoder = msgspec.json.Decoder(Message)


class RedisWakeUps:
    """Satisfies `WakeUps`. After all handlers are known, `start` begins to listen; without it, it only sends."""

    def __init__(self, client: RedisClient, spawn: Spawn, reporter: Reporter, *, silent_s: float = SILENT_S) -> None:
        self._client = client
        self._spawn = spawn
        self._reporter = reporter
        self._silent_s = silent_s
        self._me = secrets.token_hex(8)
        self._channel = client.key("wake-ups")
        self._handlers: dict[Topic, list[Handler]] = {}
        self._reader: redis.Redis | None = None
        self._closed = False
        # Ends the pause between attempts.
        self._try_now = threading.Event()
        self._ended = threading.Event()
        self._subscribed = threading.Event()
        # What the others may not know, because Redis was away.
        self._unsent: set[Topic] = set()
        self._reported: str | None = None
        client.on_back.append(self._back)

    def send(self, topic: Topic, about: str = ANY) -> None:
        message = msgspec.json.encode(Message(VERSION, self._me, topic, about))
        try:
            self._client.run(lambda client: client.publish(self._channel, message))
        except RedisAway:
            self._unsent.add(topic)
        except Exception as error:
            # redis-py fails in its own ways when its connections are closed meanwhile.
            self._report(error)

    def on(self, topic: Topic, handler: Handler) -> None:
        self._handlers.setdefault(topic, []).append(handler)

    def start(self) -> None:
        self._reader = self._client.blocking()
        self._spawn(lambda reader=self._reader: self._listen(reader))  # type: ignore[misc]

    def wait_subscribed(self, seconds: float) -> bool:
        """Whether it hears the others, within this time."""
        return self._subscribed.wait(seconds)

    def close(self) -> None:
        """Stop listening. Nothing is heard after it has returned."""
        self._closed = True
        self._try_now.set()
        if self._reader is not None:
            self._reader.close()  # wakes the one who reads
            self._ended.wait(CLOSE_S)

    def _back(self) -> None:
        """Redis is back: listen again, and tell the others that they may have missed something."""
        self._try_now.set()
        unsent, self._unsent = self._unsent, set()
        for topic in unsent:
            self.send(topic)

    def _listen(self, reader: redis.Redis) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while not self._closed:
                self._try_now.clear()
                try:
                    with reader.pubsub() as messages:  # type: ignore[no-untyped-call]
                        self._read(messages)
                except Exception as error:
                    self._report(error)
                pause_s = FIRST_PAUSE_S if self._subscribed.is_set() else min(pause_s * 2, LONGEST_PAUSE_S)
                self._subscribed.clear()
                if not self._closed:
                    self._try_now.wait(pause_s)
        finally:
            self._ended.set()

    def _read(self, messages: Any) -> None:
        messages.subscribe(self._channel)
        was_asked = True  # the answer to this is due, too
        while not self._closed:
            message = messages.get_message(timeout=self._silent_s)
            if message is None:
                if was_asked:
                    raise exceptions.TimeoutError("Redis is silent")
                messages.ping()
                was_asked = True
                continue
            was_asked = False
            if message["type"] == "subscribe":
                self._subscribed.set()
                self._reported = None
                self._catch_up()
            elif message["type"] == "message":
                self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        try:
            message = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if message.sender != self._me and len(message.about) <= MAX_ID_CHARS:
            self._call(message.topic, message.about)

    def _catch_up(self) -> None:
        for topic in self._handlers:
            self._call(topic, ANY)

    def _call(self, topic: Topic, about: str) -> None:
        for handler in () if self._closed else self._handlers.get(topic, ()):
            try:
                handler(about)
            except Exception as error:
                self._reporter.unexpected_error(error)

    def _report(self, error: Exception) -> None:
        """That Redis is away is told by its client. Anything else once, until it works again."""
        lost = isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError)
        if not (lost or self._closed or self._reported == repr(error)):
            self._reported = repr(error)
            self._reporter.unexpected_error(error)
