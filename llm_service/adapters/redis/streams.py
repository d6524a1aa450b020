"""Reads all Redis streams that a process follows, with one connection and in one task."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import redis

from llm_service.core.generation.ports import Spawn

from .client import RedisClient

# A stream that is followed from now on is read after this time at the latest.
BLOCK_MS = 100
# After an error.
PAUSE_S = 0.2
# How long `close` waits for the task.
CLOSE_S = 1.0
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
        self._connection: redis.Redis | None = None
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    def follow(self, key: str, follower: Follower) -> None:
        """Until `unfollow`. Each stream has one follower: the last one."""
        with self._lock:
            self._followed[key] = (follower, b"0")
            starts, self._reads = not self._reads, True
        if starts:
            self._idle.clear()
            try:
                self._spawn(self._run)
            except BaseException:
                self._stopped()
                raise

    def unfollow(self, key: str, follower: Follower) -> None:
        with self._lock:
            found = self._followed.get(key)
            if found is not None and found[0] is follower:
                del self._followed[key]

    def close(self) -> None:
        """Nothing is read after it has returned, unless Redis does not answer."""
        self._closed.set()
        self._idle.wait(CLOSE_S)

    def _run(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._client.blocking()
            while self._goes_on():
                for key, entries in self._read(self._connection):
                    self._hear(key.decode(), entries)
            self._idle.set()
        except BaseException as error:
            self._stopped()
            if not self._closed.is_set():  # the connection may be closed while it reads
                raise error

    def _stopped(self) -> None:
        """The next stream that is followed starts the task again."""
        self._reads = False
        self._idle.set()

    def _goes_on(self) -> bool:
        with self._lock:
            self._reads = bool(self._followed) and not self._closed.is_set()
            return self._reads

    def _read(self, connection: redis.Redis) -> Any:
        with self._lock:
            streams: dict[Any, Any] = {key: last for key, (_, last) in self._followed.items()}
        if self._client.available:
            try:
                return connection.xread(streams, block=BLOCK_MS, count=100) if streams else ()
            except Exception:
                # Whoever needs Redis itself finds out that it is away, or none at all. For that redis-py has many errors.
                if self._closed.is_set():
                    raise
        self._closed.wait(PAUSE_S)
        return ()

    def _hear(self, key: str, entries: Sequence[tuple[bytes, Fields]]) -> None:
        for entry_id, fields in entries:
            with self._lock:
                found = self._followed.get(key)
                if found is None:
                    return
                follower, _ = found
                self._followed[key] = (follower, entry_id)
            follower.hear(fields)
