"""The cache in a real Redis: what others wrote, lost or deleted there, and the times without it.

Longer than other modules: Redis can lose, keep and refuse many things.
"""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_service.adapters.memory.cache import CACHE_EPOCH
from llm_service.adapters.redis.cache import RedisCache
from tests.support.builders import answer
from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.redis_caches import RedisCaches
from tests.support.redis_server import RedisServer

KEYS = [f"{number:064x}" for number in range(200)]
KEY = KEYS[0]
CANARY = "canary-text"


@pytest.fixture(name="caches")
def _caches(redis_server: RedisServer) -> Iterator[RedisCaches]:
    with RedisCaches(redis_server.url) as caches:
        yield caches


class OwnServer:
    """A server that a test may end, and two caches as two processes have them."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.server = RedisServer(folder, *arguments).start()
        self.caches = RedisCaches(self.server.url)
        self.first, self.second = self.caches.make(), self.caches.make()

    def tick(self) -> None:
        for client in self.caches.clients:
            client.tick()

    def wait_until_back(self) -> None:
        def are_back() -> bool:
            self.tick()
            return all(client.available for client in self.caches.clients)

        until(are_back)


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Iterator[OwnServer]:
    own = OwnServer(tmp_path)
    with own.caches:
        yield own
    own.server.close()


def _stored(caches: RedisCaches) -> dict[str, Any]:
    """All that is in Redis in this namespace, by key."""
    with RedisServer.client_of(caches.url) as direct:
        found: dict[str, Any] = {}
        for key in direct.scan_iter(f"llms:{caches.namespace}:*"):
            kind = direct.type(key)
            read: Any = {"string": direct.get, "hash": direct.hgetall, "zset": lambda key: direct.zrange(key, 0, -1)}
            found[key] = read[str(kind)](key)
        return found


def _key_of(caches: RedisCaches, key: str) -> str:
    """Where the value of a key is."""
    return next(name for name in _stored(caches) if name.endswith(f":v:{key}"))


def test_processes_share_it(caches: RedisCaches) -> None:
    first, second = caches.make(), caches.make()
    assert first.put(KEY, answer())
    assert second.get(KEY) == answer()
    second.discard(KEY)
    assert first.get(KEY) is None
    stats = second.stats()
    assert (stats.backend, stats.entries, stats.bytes) == ("redis", 0, 0)
    assert (stats.hits, stats.misses, stats.max_entries, stats.max_bytes) == (1, 0, 1600, 16_000_000)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\x00",
        b"null",
        b"[" * 100_000,
        b'{"v": 1}',
        pytest.param("version", id="another version"),
        pytest.param("key", id="another key's"),
        pytest.param("answer", id="without an owner"),
        pytest.param("cut", id="cut off"),
    ],
)
def test_values_that_are_not_ours_are_misses(caches: RedisCaches, garbage: bytes | str) -> None:
    cache = caches.make()
    cache.put(KEY, answer())
    name = _key_of(caches, KEY)
    with RedisServer.client_of(caches.url) as direct:
        if isinstance(garbage, str):
            value = json.loads(str(direct.get(name)))
            changed = {
                "version": {**value, "v": 2},
                "key": {**value, "key": KEYS[1]},
                "answer": {**value, "answer": {k: v for k, v in value["answer"].items() if k != "owner"}},
            }
            garbage = (json.dumps(changed[garbage]) if garbage != "cut" else str(direct.get(name))[:-9]).encode()
        direct.set(name, garbage)
        assert cache.get(KEY) is None
        assert direct.exists(name) == 0, "it is deleted"
    assert cache.put(KEY, answer())
    assert cache.get(KEY) == answer()


def test_a_key_of_another_type_is_a_miss(caches: RedisCaches) -> None:
    cache = caches.make()
    cache.put(KEY, answer())
    name = _key_of(caches, KEY)
    with RedisServer.client_of(caches.url) as direct:
        direct.delete(name)
        direct.lpush(name, "x")
    assert cache.get(KEY) is None
    assert cache.put(KEY, answer())
    assert cache.get(KEY) == answer()


def test_nothing_is_kept_without_a_lifetime(caches: RedisCaches) -> None:
    cache = caches.make(ttl_s=50)
    for key in KEYS[:20]:
        cache.put(key, answer())
    cache.discard(KEY)
    cache.clear()
    cache.put(KEY, answer())
    with RedisServer.client_of(caches.url) as direct:
        lifetimes = {key: direct.ttl(key) for key in _stored(caches)}
    assert len(lifetimes) > 3
    assert all(0 < int(str(seconds)) <= 60 for seconds in lifetimes.values()), lifetimes


def test_what_cannot_be_written_is_not_kept(caches: RedisCaches) -> None:
    cache = caches.make()
    cache.put(KEY, answer())
    assert cache.put(KEY, answer(output="half a pair: \ud834")) is False
    assert cache.get(KEY) is None


def test_an_answer_that_takes_too_long_to_read_is_not_kept(caches: RedisCaches) -> None:
    cache = caches.make(max_bytes=64_000_000)
    assert cache.put(KEY, answer(output="x" * 1_000_000))
    assert cache.put(KEY, answer(output="x" * 1_050_000)) is False
    assert cache.get(KEY) is None


def test_all_limits_hold_over_all_buckets(caches: RedisCaches) -> None:
    cache = caches.make(max_entries=32, max_bytes=160_000)
    for key in KEYS:
        cache.put(key, answer(output="x" * 100))
    assert 24 <= cache.stats().entries <= 32
    for key in KEYS:
        cache.put(key, answer(output="x" * 4000))
    stats = cache.stats()
    assert 100_000 < stats.bytes <= 160_000
    values = [value for name, value in _stored(caches).items() if ":v:" in name]
    assert len(values) == stats.entries
    assert sum(map(len, values)) < stats.bytes
    few = caches.make(max_entries=3, shares=False)
    for key in KEYS:
        few.put(key, answer())
    assert few.stats().entries == 3


def test_deleting_an_owner_deletes_the_texts(caches: RedisCaches) -> None:
    cache, other = caches.make(), caches.make()
    for number, key in enumerate(KEYS):
        cache.put(key, answer("alice" if number % 2 else "bob", output=f"{CANARY} of {number % 2}"))
    other.discard_owner("alice")
    texts = json.dumps(_stored(caches))
    assert f"{CANARY} of 1" not in texts
    assert texts.count(f"{CANARY} of 0") == 100
    assert cache.stats().entries == 100
    other.discard_owner("nobody")
    assert cache.stats().entries == 100


def test_clearing_while_others_write(caches: RedisCaches) -> None:
    cache, other = caches.make(), caches.make()
    for key in KEYS:
        cache.put(key, answer(output=CANARY))
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            for key in KEYS[100:]:
                other.put(key, answer(output="newer"))

    writer = threading.Thread(target=write)
    writer.start()
    assert cache.clear() >= 100
    ended.set()
    writer.join()
    # What another process writes before it knows is not kept: it may be as old as what was deleted.
    assert not [name for name in _stored(caches) if ":v:" in name]
    assert other.put(KEY, answer()) is False
    other.poll()
    other.put(KEY, answer(output="newest"))
    assert cache.get(KEY) == answer(output="newest")


def test_one_process_clears_for_all(caches: RedisCaches) -> None:
    """What was written since is not lost when the others hear of it."""
    cache, other = caches.make(), caches.make()
    cache.put(KEY, answer())
    assert cache.clear() == 1
    cache.put(KEY, answer(output="newer"))
    other.poll()
    assert other.get(KEY) == answer(output="newer")


def test_cleared_by_a_command(caches: RedisCaches) -> None:
    """Which only advances the epoch in the database."""
    cache = caches.make()
    cache.put(KEY, answer(output=CANARY))
    caches.epochs.advance(CACHE_EPOCH)
    later = caches.make()
    assert later.get(KEY) is None, "a process that starts meanwhile knows"
    cache.put(KEY, answer(output=CANARY))
    cache.poll()
    assert cache.get(KEY) is None
    assert CANARY not in json.dumps(_stored(caches))


@pytest.mark.parametrize("lost", [("order",), ("sizes",), ("order", "sizes"), ("v",), ("order", "v"), ("sum",)])
def test_an_index_that_was_evicted_is_made_whole(caches: RedisCaches, lost: tuple[str, ...]) -> None:
    cache = caches.make(buckets=1, max_entries=50)
    for key in KEYS[:20]:
        cache.put(key, answer("alice", output=CANARY))
    with RedisServer.client_of(caches.url) as direct:
        for name in _stored(caches):
            if name.endswith(lost) or ("v" in lost and ":v:" in name and int(name[-2:], 16) % 2):
                direct.delete(name)
            if "sum" in lost and name.endswith("sizes"):
                direct.hdel(name, "*")
    for key in KEYS[20:40]:
        cache.put(key, answer("bob"))
    # Two random entries are looked at each time.
    for _ in range(200):
        cache.put(KEYS[40], answer("bob"))
    stats = cache.stats()
    found = [key for key in KEYS if cache.get(key, counted=False) is not None]
    known = [key for key in found if lost != ("order", "sizes") or key not in KEYS[:20]]
    assert abs(stats.entries - len(known)) <= 1
    assert stats.bytes == sum(int(size.split(":")[0]) for size in _sizes(caches).values() if ":" in size)
    if lost != ("order", "sizes"):
        # Of what is in no index, nobody knows the owner: it lives as long as it may.
        cache.discard_owner("alice")
        assert CANARY not in json.dumps(_stored(caches))
    cache.clear()
    assert CANARY not in json.dumps(_stored(caches))
    assert cache.stats().bytes == 0


def _sizes(caches: RedisCaches) -> dict[str, str]:
    return next(value for name, value in _stored(caches).items() if name.endswith(":sizes"))


def test_all_is_lost(own: OwnServer) -> None:
    own.first.put(KEY, answer())
    with own.server.client() as direct:
        direct.flushall()
    assert own.second.get(KEY) is None
    assert own.second.stats().entries == 0
    assert own.second.put(KEY, answer())
    assert own.first.get(KEY) == answer()


def test_without_redis_each_process_has_its_own(own: OwnServer) -> None:
    own.first.put(KEY, answer())
    own.server.kill()
    assert own.first.get(KEY) is None
    assert own.first.put(KEY, answer(output="own"))
    assert own.first.get(KEY) == answer(output="own")
    assert own.second.get(KEY) is None
    stats = own.first.stats()
    assert (stats.backend, stats.entries, stats.hits, stats.misses) == ("memory", 1, 1, 1)
    assert "refused" in (own.first.health_error() or "")
    own.server.start()
    own.wait_until_back()
    own.first.poll()
    assert own.first.get(KEY) is None, "what each kept is not mixed"
    assert own.first.stats().entries == 0
    assert own.first.health_error() is None
    own.server.kill()
    assert own.first.get(KEY) is None


@pytest.mark.slow
def test_what_was_deleted_meanwhile_is_deleted_later(own: OwnServer) -> None:
    """A Redis that was unreachable has kept it all."""
    for number, key in enumerate(KEYS[:10]):
        own.first.put(key, answer("alice" if number < 3 else "bob", output=CANARY))
    own.server.freeze()
    own.first.discard(KEYS[9])
    own.first.put(KEYS[8], answer("bob", output="own"))
    own.server.thaw()
    own.wait_until_back()
    own.first.poll()
    assert json.dumps(_stored(own.caches)).count(CANARY) == 8
    own.server.freeze()
    own.first.discard_owner("alice")
    own.server.thaw()
    own.wait_until_back()
    assert own.first.get(KEY) == own.second.get(KEY) == answer("alice", output=CANARY), "nobody has polled"
    own.second.poll()
    assert own.second.get(KEYS[1]) is None, "another process knows, too"
    own.first.poll()
    assert CANARY not in json.dumps(_stored(own.caches))


@pytest.mark.slow
def test_cleared_while_it_is_away(own: OwnServer) -> None:
    own.first.put(KEY, answer(output=CANARY))
    own.server.freeze()
    assert own.first.clear() == 0
    own.server.thaw()
    own.wait_until_back()
    assert own.first.get(KEY) is None
    own.first.put(KEYS[1], answer(output=CANARY))
    own.first.poll()
    assert CANARY not in json.dumps(_stored(own.caches))


def test_a_full_server(tmp_path: Path) -> None:
    """It answers what it has, forgets what it is told to, and takes nothing."""
    own = OwnServer(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with own.caches:
        own.first.put(KEY, answer(output=CANARY))
        results = [own.first.put(key, answer(output="x" * 50_000)) for key in KEYS[1:100]]
        assert True in results
        assert results[-20:] == [False] * 20
        assert own.second.get(KEY) == answer(output=CANARY)
        assert own.first.put(KEY, answer(output="new")) is False
        assert own.second.get(KEY) is None, "what it would have replaced is old"
        assert "refuses to write" in (own.first.health_error() or "")
        own.first.discard_owner(answer().owner)
        assert own.first.stats().entries == 0
        assert own.first.put(KEY, answer())
        own.tick()
        assert own.first.health_error() is None
        assert own.first.stats().bytes == _bytes_of(own.first)
    own.server.close()


def _bytes_of(cache: RedisCache) -> int:
    """What an only entry counts."""
    cache.clear()
    cache.put(KEY, answer())
    return cache.stats().bytes


@pytest.mark.slow
def test_a_server_that_evicts_anything(tmp_path: Path) -> None:
    own = OwnServer(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random")
    with own.caches:
        for turn in range(6):
            for number, key in enumerate(KEYS):
                assert own.first.put(key, answer(f"owner {number % 5}", output=f"{key} {turn}" + "x" * 20_000))
                found = own.second.get(KEYS[(number * 7) % 200])
                assert found is None or found.output.startswith(KEYS[(number * 7) % 200])
            own.second.discard_owner("owner 1")
        assert own.first.stats().bytes <= 16_000_000
        own.first.clear()
        assert own.first.stats().bytes == 0
        assert not [name for name in _stored(own.caches) if ":v:" in name]
        assert own.caches.reporter.redis == []
    own.server.close()


def test_the_user_of_the_manual_may_do_all_that_is_needed(tmp_path: Path) -> None:
    words = re.search(r"`ACL SETUSER llms (.+?)`", (ROOT / "docs/redis.md").read_text())
    assert words
    server = RedisServer(tmp_path).start()
    with server.client() as direct:
        direct.execute_command("ACL", "SETUSER", "llms", *words[1].split())
        direct.acl_setuser("default", enabled=False)
        with RedisCaches(server.url.replace("redis://", "redis://llms:PASSWORD@")) as caches:
            cache = caches.make()
            assert cache.put(KEY, answer())
            assert cache.get(KEY) == answer()
            cache.discard(KEY)
            cache.discard_owner(answer().owner)
            cache.clear()
            cache.poll()
            assert cache.stats().backend == "redis"
            caches.clients[0].tick()
            assert (cache.health_error(), caches.reporter.bugs) == (None, [])
    server.close()


def test_a_database_that_is_down_keeps_nothing_from_working(caches: RedisCaches) -> None:
    cache = caches.make()
    caches.epochs.fails = True
    cache.put(KEY, answer())
    cache.discard_owner("alice")
    assert cache.get(KEY) == replace(answer())
