"""The cache that processes and machines share. While Redis is away, each process has a cache of its own."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any
from zlib import crc32

import msgspec
import redis

from llm_service.adapters.memory.cache import CACHE_EPOCH, EpochStore, MemoryCache
from llm_service.core.errors import StorageError
from llm_service.core.generation.model import CachedAnswer, CacheStats
from llm_service.core.wake_ups import NoWakeUps, Topic, WakeUps

from .cache_scripts import COUNT, PUT, REMOVE, REMOVE_SOME, REMOVE_UNKNOWN
from .client import RedisAway, RedisClient

# Of a value's JSON; another one is not understood.
VERSION = 1
# What Redis itself needs for an entry, with its places in the index.
ENTRY_BYTES = 500
# Each has its own index, and its part of the limits. On a cluster they may be on several servers.
BUCKETS = 16
# Of entries and keys that one command looks at: it takes about a millisecond.
STEP = 500
# How long the others see that one has cleared what all have in common: longer than they need to ask.
CLEARED_MS = 60_000
# Deletions that Redis could not be told; with more of them, it is cleared.
MAX_OWED = 10_000
_HEX = "0123456789abcdef"


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
        self._ttl_ms = int(ttl_s * 1000)
        self._max_entries, self._max_bytes = max_entries, max_bytes
        # With fewer entries than buckets, each of these has room for one.
        self._buckets = [_Bucket(client, _HEX[number]) for number in range(max(1, min(buckets, max_entries)))]
        self._epoch = epochs.get(CACHE_EPOCH)
        self._lock = threading.Lock()
        self._hits = self._misses = self._coalesced = 0
        self._owed_keys: set[str] = set()
        self._owed_owners: set[str] = set()
        self._owes_clearing = False
        self._put, self._remove, self._remove_some, self._remove_unknown = (
            client.script(source) for source in (PUT, REMOVE, REMOVE_SOME, REMOVE_UNKNOWN)
        )

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
        bucket, count = self._bucket(key), len(self._buckets)
        limits = (self._max_bytes // count, self._max_entries // count)
        try:
            stored = self._put(
                bucket.index,
                [
                    bucket.prefix,
                    key,
                    value,
                    len(value) + ENTRY_BYTES,
                    self._ttl_ms,
                    *limits,
                    _digest(answer.owner),
                    self._epoch,
                ],
            )
        except RedisAway:
            if self._client.available:
                return False  # it refused, and has removed what this would replace
            self._owe(self._owed_keys, key)
            return self._local.put(key, answer)
        return bool(stored)

    def count_coalesced(self) -> None:
        with self._lock:
            self._coalesced += 1

    def discard(self, key: str) -> None:
        self._local.discard(key)
        bucket = self._bucket(key)
        try:
            self._remove(bucket.index, [bucket.prefix, key])
        except RedisAway:
            self._owe(self._owed_keys, key)

    def discard_owner(self, owner: str) -> None:
        self._local.discard_owner(owner)
        try:
            self._remove_owner(_digest(owner))
        except RedisAway:
            self._owe(self._owed_owners, _digest(owner))
            # Without a history nobody else would know. This way no process uses what Redis still has.
            with suppress(StorageError):
                self._epochs.advance(CACHE_EPOCH)

    def clear(self) -> int:
        self._epoch = self._epochs.advance(CACHE_EPOCH)
        removed = self._local.clear()
        try:
            removed += self._remove_all()
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
            counts = self._client.run(self._counts)
        except RedisAway:
            local = self._local.stats()
            backend, entries, size = local.backend, local.entries, local.bytes
        else:
            backend, entries, size = "redis", sum(count[0] for count in counts), sum(count[1] for count in counts)
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
        name = self._bucket(key).prefix + key
        try:
            raw = self._client.run(lambda client: client.get(name))
        except RedisAway:
            return self._local.get(key, counted=False)
        if raw is None:
            return None
        answer = self._decoded(key, raw)
        if answer is None:
            self.discard(key)
        return answer

    def _bucket(self, key: str) -> "_Bucket":
        return self._buckets[crc32(key.encode()) % len(self._buckets)]

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

    def _remove_owner(self, digest: str) -> None:
        ending = f":{digest}".encode()
        for bucket in self._buckets:
            for found in self._sizes_of(bucket):
                names = [name for name, size in found.items() if size.endswith(ending)]
                if names:
                    self._remove(bucket.index, [bucket.prefix, *names])

    def _sizes_of(self, bucket: "_Bucket") -> Iterator[Mapping[bytes, bytes]]:
        cursor = 0
        while True:
            at = cursor
            cursor, found = self._client.run(lambda client, at=at: client.hscan(bucket.index[1], at, count=STEP))  # type: ignore[misc]
            yield found
            if cursor == 0:
                return

    def _remove_all(self) -> int:
        """In steps. What others add meanwhile stays. Raises `RedisAway`; what was removed until then is."""
        removed = 0
        for bucket in self._buckets:
            count, until_ms = STEP, 0
            while count == STEP:
                count, some, until_ms = self._remove_some(
                    bucket.index, [bucket.prefix, self._ttl_ms, STEP, until_ms, self._epoch, CLEARED_MS]
                )
                removed += some
        return removed + sum(self._remove_lost(bucket) for bucket in self._buckets)

    def _remove_lost(self, bucket: "_Bucket") -> int:
        """Values that are in no index."""
        removed, cursor, pattern = 0, 0, f"{bucket.prefix}*"
        while True:
            at = cursor
            cursor, found = self._client.run(lambda client, at=at: client.scan(at, match=pattern, count=STEP))  # type: ignore[misc]
            if found:
                names = [name.removeprefix(bucket.prefix.encode()) for name in found]
                removed += self._remove_unknown(bucket.index, [bucket.prefix, *names])
            if cursor == 0:
                return removed

    def _counts(self, client: redis.Redis) -> list[tuple[int, int]]:
        with client.pipeline(transaction=False) as pipeline:
            for bucket in self._buckets:
                pipeline.eval(COUNT, len(bucket.index), *bucket.index, bucket.prefix)
            return list(pipeline.execute())

    def _is_cleared(self) -> bool:
        """Whether another process has done it."""
        try:
            return bool(self._client.run(lambda client: client.exists(self._cleared)))
        except RedisAway:
            return False

    def _mark_cleared(self) -> None:
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
            self._remove_all()
            self._mark_cleared()
            self._owes_clearing = False
        for owner in list(self._owed_owners):
            self._remove_owner(owner)
            self._owed_owners.discard(owner)
        for key in list(self._owed_keys):
            bucket = self._bucket(key)
            self._remove(bucket.index, [bucket.prefix, key])
            self._owed_keys.discard(key)


class _Bucket:
    """`index`: the keys of its index. `prefix`: what the keys of its values begin with."""

    def __init__(self, client: RedisClient, digit: str) -> None:
        tag = f"cache-{digit}"
        self.index = [client.key(tag, part) for part in ("order", "sizes", "epoch")]
        self.prefix = client.key(tag, "v", "")


def _digest(owner: str) -> str:
    return sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
