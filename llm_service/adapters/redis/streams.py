"""Reads all Redis streams that a process follows, with one connection and in one task."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import redis

from llm_service.core.generation.ports import Spawn

from .client import RedisAway, RedisClient

# A stream that is followed from now on is read after this time at the latest.
BLOCK_MS = 100
# After an error.
PAUSE_S = 0.2
Fields = Mapping[bytes, bytes]


class Follower(Protocol):
    """Gets what a stream has, from its start. It must not wait, nor raise."""

    def hear(self, fields: Fields) -> None: ...


class StreamReader:
    """The task runs while a stream is followed. A stream that Redis cannot read for a while is read on later."""

    def __init__(self, client: RedisClient, spawn: Spawn) -> None:
        self._client = client
        self._spawn = spawn
        self._lock = threading.Lock()
        self._followed: dict[str, tuple[Follower, bytes]] = {}
        self._reads = False
        self._closed = threading.Event()

    def follow(self, key: str, follower: Follower) -> None:
        """Until `unfollow`. Each stream has one follower."""
        with self._lock:
            self._followed[key] = (follower, b"0")
            starts, self._reads = not self._reads, True
        if starts:
            try:
                self._spawn(self._run)
            except BaseException:
                self._reads = False
                raise

    def unfollow(self, key: str) -> None:
        with self._lock:
            self._followed.pop(key, None)

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        try:
            connection = self._client.blocking()
            try:
                while self._goes_on():
                    try:
                        self._read(connection)
                    except (redis.RedisError, RedisAway, OSError):
                        # Whoever needs Redis itself finds out that it is away.
                        self._closed.wait(PAUSE_S)
            finally:
                with suppress(redis.RedisError, OSError):
                    connection.close()
        except BaseException:
            self._reads = False
            raise

    def _goes_on(self) -> bool:
        with self._lock:
            self._reads = bool(self._followed) and not self._closed.is_set()
            return self._reads

    def _read(self, connection: redis.Redis) -> None:
        with self._lock:
            streams: dict[Any, Any] = {key: last for key, (_, last) in self._followed.items()}
        if not self._client.available:
            self._closed.wait(PAUSE_S)
            return
        found: Any = connection.xread(streams, block=BLOCK_MS, count=100) if streams else ()
        for key, entries in found:
            self._hear(key.decode(), entries)

    def _hear(self, key: str, entries: Sequence[tuple[bytes, Fields]]) -> None:
        for entry_id, fields in entries:
            with self._lock:
                found = self._followed.get(key)
                if found is None:
                    return
                follower, _ = found
                self._followed[key] = (follower, entry_id)
            follower.hear(fields)
