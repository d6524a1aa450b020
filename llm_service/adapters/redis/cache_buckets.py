"""The entries of the cache in Redis, in buckets that each have an index. All methods raise `RedisAway`."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any
from zlib import crc32

import redis

from .cache_scripts import COUNT, PUT, REMOVE, REMOVE_SOME, REMOVE_UNKNOWN
from .client import RedisClient

# What Redis itself needs for an entry, with its places in the index.
ENTRY_BYTES = 500
# A longer value takes too long to read from a server that is not near, and would look like one that is away.
MAX_VALUE_BYTES = 1024 * 1024
# Of entries and keys that one command looks at: it takes about a millisecond.
STEP = 500
# How long values older than the last clearing are refused: longer than a process needs to hear of it.
EPOCH_MS = 60_000


class _Bucket:
    """`index`: the keys of its index. `prefix`: what the keys of its values begin with."""

    def __init__(self, client: RedisClient, number: int) -> None:
        tag = f"cache-{number:x}"
        self.index = [client.key(tag, part) for part in ("order", "sizes", "epoch")]
        self.prefix = client.key(tag, "v", "")


class Buckets:
    """Each has its part of the limits. On a cluster they may be on several servers."""

    def __init__(self, client: RedisClient, count: int, *, ttl_ms: int, max_entries: int, max_bytes: int) -> None:
        self._client, self._ttl_ms = client, ttl_ms
        self._buckets = [_Bucket(client, number) for number in range(count)]
        self._limits = max_bytes // count, max_entries // count
        self._put, self._remove = client.script(PUT), client.script(REMOVE)
        self._remove_some, self._remove_unknown = client.script(REMOVE_SOME, _three), client.script(REMOVE_UNKNOWN, int)

    def get(self, key: str) -> Any:
        """Bytes; None = there is none."""
        name = self._of(key).prefix + key
        return self._client.run(lambda client: client.get(name))

    def put(self, key: str, value: bytes, owner: str, epoch: int) -> bool:
        """False: there is no room for it, or it is older than the last clearing."""
        bucket = self._of(key)
        if len(value) > MAX_VALUE_BYTES:
            self.remove(key)
            return False
        place = (bucket.prefix, key, value, len(value) + ENTRY_BYTES, self._ttl_ms)
        return bool(self._put(bucket.index, [*place, *self._limits, _digest(owner), epoch]))

    def remove(self, key: str) -> None:
        bucket = self._of(key)
        self._remove(bucket.index, [bucket.prefix, key])

    def remove_owner(self, owner: str) -> None:
        ending = f":{_digest(owner)}".encode()
        for bucket in self._buckets:
            for sizes in self._sizes_of(bucket):
                names = [name for name, size in sizes.items() if size.endswith(ending)]
                if names:
                    self._remove(bucket.index, [bucket.prefix, *names])

    def remove_all(self, epoch: int) -> int:
        """In steps; what was removed before an error is. What others add of this epoch meanwhile stays."""
        removed = 0
        for bucket in self._buckets:
            found, until_ms = STEP, 0
            while found == STEP:
                steps = (self._ttl_ms, STEP, until_ms, epoch, EPOCH_MS)
                found, some, until_ms = self._remove_some(bucket.index, [bucket.prefix, *steps])
                removed += some
        return removed + sum(self._remove_lost(bucket) for bucket in self._buckets)

    def counts(self) -> tuple[int, int]:
        """Entries and bytes."""
        counts = self._client.run(self._count)
        return sum(count[0] for count in counts), sum(count[1] for count in counts)

    def _of(self, key: str) -> _Bucket:
        return self._buckets[crc32(key.encode()) % len(self._buckets)]

    def _sizes_of(self, bucket: _Bucket) -> Iterator[Mapping[bytes, bytes]]:
        def step(client: redis.Redis) -> Any:
            return client.hscan(bucket.index[1], cursor, count=STEP)

        cursor = -1
        while cursor != 0:
            cursor = max(cursor, 0)
            cursor, found = self._client.run(step)
            yield found

    def _remove_lost(self, bucket: _Bucket) -> int:
        """Values that are in no index."""

        def step(client: redis.Redis) -> Any:
            return client.scan(cursor, match=f"{bucket.prefix}*", count=STEP)

        removed, cursor = 0, -1
        while cursor != 0:
            cursor = max(cursor, 0)
            cursor, found = self._client.run(step)
            if found:
                names = [name.removeprefix(bucket.prefix.encode()) for name in found]
                removed += self._remove_unknown(bucket.index, [bucket.prefix, *names])
        return removed

    def _count(self, client: redis.Redis) -> list[tuple[int, int]]:
        with client.pipeline(transaction=False) as pipeline:
            for bucket in self._buckets:
                pipeline.eval(COUNT, len(bucket.index), *bucket.index, bucket.prefix)
            return [(int(entries), int(size)) for entries, size in pipeline.execute()]


def _three(answer: Any) -> tuple[int, int, int]:
    found, removed, until_ms = answer
    return int(found), int(removed), int(until_ms)


def _digest(owner: str) -> str:
    return sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
