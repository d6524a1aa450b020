"""The cache that processes and machines share. While Redis is away, each process has a cache of its own."""

import threading
from contextlib import suppress
from typing import Any

import msgspec

from llm_service.adapters.memory.cache import CACHE_EPOCH, EpochStore, MemoryCache
from llm_service.core.errors import StorageError
from llm_service.core.generation.model import CachedAnswer, CacheStats
from llm_service.core.wake_ups import NoWakeUps, Topic, WakeUps

from .cache_buckets import Buckets
from .client import RedisAway, RedisClient

# Of a value's JSON; another one is not understood.
VERSION = 1
BUCKETS = 16
# How long the others see that one has cleared what all have in common: longer than they need to ask.
CLEARED_MS = 60_000
# Deletions that Redis could not be told; with more of them, it is cleared.
MAX_OWED = 10_000


class _Value(msgspec.Struct):
    """An entry in Redis. `epoch`: how often the caches had been cleared when it was made."""

    v: int
    key: str
    epoch: int
    answer: CachedAnswer


_DECODER = msgspec.json.Decoder(_Value)
_ENCODER = msgspec.json.Encoder(enc_hook=dict)


class RedisCache:
    """The oldest entries are dropped first. Values name their key, and their texts' owner: any others are not used.

    A text that was deleted is never served again: the history knows that it is gone, and an entry that is older than the last
    clearing is not used. Deletions that Redis could not be told are made up for by `poll`.
    """

    def __init__(
        self,
        client: RedisClient,
        local: MemoryCache,
        epochs: EpochStore,
        *,
        ttl_s: float,
        max_entries: int,
        max_bytes: int,
        buckets: int = BUCKETS,
        wake_ups: WakeUps | None = None,
    ) -> None:
        """`local`: for the times without Redis; nobody else uses it. The limits are those of all processes together."""
        self._client, self._local, self._epochs = client, local, epochs
        self._wake_ups = wake_ups or NoWakeUps()
        self._max_entries, self._max_bytes = max_entries, max_bytes
        # With fewer entries than buckets, each of these has room for one.
        count = max(1, min(buckets, max_entries))
        self._buckets = Buckets(client, count, ttl_ms=int(ttl_s * 1000), max_entries=max_entries, max_bytes=max_bytes)
        self._epoch = epochs.get(CACHE_EPOCH)
        self._lock = threading.Lock()
        self._hits = self._misses = self._coalesced = 0
        self._owed_keys: set[str] = set()
        self._owed_owners: set[str] = set()
        self._owes_clearing = False

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        answer = self._look_up(key)
        if counted:
            with self._lock:
                if answer is None:
                    self._misses += 1
                else:
                    self._hits += 1
        return answer

    def put(self, key: str, answer: CachedAnswer) -> bool:
        value = self._encoded(key, answer)
        if value is None:
            self.discard(key)
            return False
        try:
            return self._buckets.put(key, value, answer.owner, self._epoch)
        except RedisAway:
            if self._client.available:
                return False  # it refused, and has removed what this would replace
            self._owe(self._owed_keys, key)
            return self._local.put(key, answer)

    def count_coalesced(self) -> None:
        with self._lock:
            self._coalesced += 1

    def discard(self, key: str) -> None:
        self._local.discard(key)
        try:
            self._buckets.remove(key)
        except RedisAway:
            self._owe(self._owed_keys, key)

    def discard_owner(self, owner: str) -> None:
        self._local.discard_owner(owner)
        try:
            self._buckets.remove_owner(owner)
        except RedisAway:
            self._owe(self._owed_owners, owner)
            # Without a history nobody else would know. This way no process uses what Redis still has.
            with suppress(StorageError):
                self._epochs.advance(CACHE_EPOCH)

    def clear(self) -> int:
        self._epoch = self._epochs.advance(CACHE_EPOCH)
        removed = self._local.clear()
        try:
            removed += self._buckets.remove_all(self._epoch)
            self._mark_cleared()
        except RedisAway:
            self._owes_clearing = True
        # Only now: until it is marked, each of the others would clear it, too.
        self._wake_ups.send(Topic.CACHE)
        return removed

    def poll(self) -> None:
        """Do what others or an absent Redis left to do. Call it about once a second. Raises `StorageError`."""
        epoch = self._epochs.get(CACHE_EPOCH)
        if epoch != self._epoch:
            self._epoch = epoch
            self._local.clear()
            self._owes_clearing |= not self._is_cleared()
        if self._client.available:
            self._local.clear()
            with suppress(RedisAway):
                self._settle()

    def health_error(self) -> str | None:
        return self._client.health_error()

    def stats(self) -> CacheStats:
        """`backend` is `memory` while Redis is away."""
        try:
            (entries, size), backend = self._buckets.counts(), "redis"
        except RedisAway:
            local = self._local.stats()
            entries, size, backend = local.entries, local.bytes, local.backend
        with self._lock:
            return CacheStats(
                backend=backend,
                entries=entries,
                max_entries=self._max_entries,
                bytes=size,
                max_bytes=self._max_bytes,
                hits=self._hits,
                misses=self._misses,
                coalesced=self._coalesced,
            )

    def _look_up(self, key: str) -> CachedAnswer | None:
        try:
            raw = self._buckets.get(key)
        except RedisAway:
            return self._local.get(key, counted=False)
        if raw is None:
            return None
        answer = self._decoded(key, raw)
        if answer is None:
            self.discard(key)
        return answer

    def _encoded(self, key: str, answer: CachedAnswer) -> bytes | None:
        """None: it cannot be written as JSON, such as half a surrogate pair."""
        try:
            return _ENCODER.encode(_Value(VERSION, key, self._epoch, answer))
        except (TypeError, ValueError, OverflowError, RecursionError):
            return None

    def _decoded(self, key: str, raw: Any) -> CachedAnswer | None:
        """None: it is not one of ours, or older than the last clearing."""
        try:
            value = _DECODER.decode(raw)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
            return None
        return value.answer if (value.v, value.key) == (VERSION, key) and value.epoch >= self._epoch else None

    def _is_cleared(self) -> bool:
        """Whether another process has done it."""
        try:
            return bool(self._client.run(lambda client: client.exists(self._cleared)))
        except RedisAway:
            return False

    def _mark_cleared(self) -> None:
        """Raises `RedisAway`."""
        self._client.run(lambda client: client.set(self._cleared, 1, px=CLEARED_MS))

    @property
    def _cleared(self) -> str:
        return self._client.key("cache-cleared", str(self._epoch))

    def _owe(self, owed: set[str], name: str) -> None:
        with self._lock:
            owed.add(name)
            if len(self._owed_keys) + len(self._owed_owners) > MAX_OWED:
                self._owes_clearing = True
                self._owed_keys.clear()
                self._owed_owners.clear()

    def _settle(self) -> None:
        """Raises `RedisAway`: then the rest is owed still."""
        if self._owes_clearing:
            self._buckets.remove_all(self._epoch)
            self._mark_cleared()
            self._owes_clearing = False
        for owed, remove in ((self._owed_owners, self._buckets.remove_owner), (self._owed_keys, self._buckets.remove)):
            for name in list(owed):
                owed.discard(name)
                try:
                    remove(name)
                except RedisAway:
                    owed.add(name)
                    raise
