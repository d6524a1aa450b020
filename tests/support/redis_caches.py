"""Caches over a real Redis, each as a process of its own would have it."""

import uuid
from types import TracebackType
from typing import Any

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.redis.cache import BUCKETS, RedisCache
from llm_service.adapters.redis.client import RedisClient
from llm_service.adapters.runtime.clock import SystemClock
from tests.support.fakes import CountedEpochs, RecordingReporter


class RedisCaches:
    """Caches that share a namespace and a database's epochs. At the end their clients are closed."""

    def __init__(self, url: str) -> None:
        self.url, self.namespace = url, uuid.uuid4().hex[:16]
        self.epochs, self.reporter = CountedEpochs(), RecordingReporter()
        self.clients: list[RedisClient] = []

    def __enter__(self) -> "RedisCaches":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self.clients:
            client.close()

    def client(self, *, shares: bool = True) -> RedisClient:
        """`shares`: False = in a namespace of its own."""
        namespace = self.namespace if shares else uuid.uuid4().hex[:16]
        client = RedisClient(self.url, namespace, SystemClock(), self.reporter)
        self.clients.append(client)
        return client

    def make(
        self,
        *,
        ttl_s: float = 60,
        max_entries: int = 1600,
        max_bytes: int = 16_000_000,
        buckets: int = BUCKETS,
        shares: bool = True,
    ) -> RedisCache:
        limits: dict[str, Any] = {"ttl_s": ttl_s, "max_entries": max_entries, "max_bytes": max_bytes}
        local = MemoryCache(**limits)
        return RedisCache(self.client(shares=shares), local, self.epochs, buckets=buckets, **limits)
