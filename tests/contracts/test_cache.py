"""What every cache promises. Another adapter is one more param."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.core.generation.ports import Cache
from llm_service.core.usage.tokens import Usage
from tests.support.builders import answer
from tests.support.clocks import HandTimer
from tests.support.redis_caches import RedisCaches

MakeCache = Callable[..., Cache]


@dataclass
class Kind:
    """`turns`: how often a test may do something thousands of which take seconds."""

    make: MakeCache
    pass_time: Callable[[float], None]
    turns: int


@pytest.fixture(name="kind", params=["memory", "redis"])
def _kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    if request.param == "memory":
        timer = HandTimer()

        def memory(max_entries: int = 3, max_bytes: int = 1_000_000, ttl_s: float = 10) -> Cache:
            return MemoryCache(ttl_s=ttl_s, max_entries=max_entries, max_bytes=max_bytes, timer=timer)

        def advance(seconds: float) -> None:
            timer.now += seconds

        yield Kind(memory, advance, 500)
        return
    with RedisCaches(request.getfixturevalue("redis_server").url) as caches:

        def of_redis(max_entries: int = 3, max_bytes: int = 1_000_000, ttl_s: float = 10) -> Cache:
            return caches.make(ttl_s=ttl_s, max_entries=max_entries, max_bytes=max_bytes, buckets=1, shares=False)

        yield Kind(of_redis, time.sleep, 50)


@pytest.fixture(name="make")
def _make(kind: Kind) -> MakeCache:
    return kind.make


def test_what_was_put_comes_back(make: MakeCache) -> None:
    cache = make()
    assert cache.get("a") is None
    cache.put("a", answer())
    assert cache.get("a") == answer()
    cache.put("a", answer(output="newer"))
    assert cache.get("a") == answer(output="newer")


def test_it_is_well(make: MakeCache) -> None:
    assert make().health_error() is None


def test_all_of_an_answer_comes_back(make: MakeCache) -> None:
    """Exactly: amounts of money, counts that are unknown, numbers as they were written, and texts of any letters."""
    cache = make()
    kept = replace(
        answer("alice, ж"),
        input='\x00 "\U0001d11e"\u2028',
        parameters={"a": [1, 1.0, True, None, {"b": ""}], "big": 2**62, "small": 1e-300},
        usage=Usage(10**15, 0, None, None, 1),
        cost_usd=Decimal("0.000000000001230"),
        price_version=None,
    )
    cache.put("a", kept)
    found = cache.get("a")
    assert found == kept
    assert found is not None
    assert str(found.cost_usd) == str(kept.cost_usd)
    assert repr(found.parameters) == repr(kept.parameters)
    cache.put("a", replace(kept, cost_usd=None))
    assert cache.get("a") == replace(kept, cost_usd=None)


def test_an_entry_has_a_lifetime(kind: Kind) -> None:
    cache = kind.make(ttl_s=0.4)
    cache.put("a", answer())
    kind.pass_time(0.1)
    assert cache.get("a") is not None
    kind.pass_time(0.31)
    assert cache.get("a") is None
    assert cache.stats().entries == 0


def test_the_oldest_goes_first(make: MakeCache) -> None:
    cache = make()
    for key in ("a", "b", "c", "d"):
        cache.put(key, answer())
    assert [key for key in ("a", "b", "c", "d") if cache.get(key)] == ["b", "c", "d"]


def test_in_memory_the_least_recently_used_goes_first() -> None:
    cache = MemoryCache(ttl_s=10, max_entries=3, max_bytes=1_000_000)
    for key in ("a", "b", "c"):
        cache.put(key, answer())
    cache.get("a")
    cache.put("d", answer())
    assert [key for key in ("a", "b", "c", "d") if cache.get(key)] == ["a", "c", "d"]


def test_it_is_bounded_in_bytes(make: MakeCache) -> None:
    """For texts of any width: the least recently used goes first, and what is larger than all is not kept."""
    for letter, width in (("a", 1), ("ж", 2), ("𝄞", 4)):
        cache = make(100, 1_000_000)
        for number in range(10):
            cache.put(str(number), answer(output=letter * (300_000 // width)))
        assert [number for number in range(10) if cache.get(str(number))] == [7, 8, 9]
        assert 900_000 < cache.stats().bytes <= cache.stats().max_bytes == 1_000_000
        assert cache.put("9", answer(output=letter * (1_000_000 // width))) is False
        assert [number for number in range(10) if cache.get(str(number))] == [7, 8], "what it replaces is old"
        cache.clear()
        assert cache.stats().bytes == 0


def test_all_that_an_entry_keeps_is_counted(make: MakeCache) -> None:
    text = "x" * 100_000
    for kept in (
        answer(output=text),
        replace(answer(), input=text),
        replace(answer(), parameters={"a": text}),
        replace(answer(), parameters={"a": [{"b": [text]}]}),
        replace(answer(), parameters={text: 1}),
    ):
        cache = make()
        cache.put("a", kept)
        assert 100_000 < cache.stats().bytes < 135_000
        cache.discard("a")
        assert cache.stats().bytes == 0


def test_memory_is_counted_as_the_process_uses_it() -> None:
    text = "x" * 100_000
    for kept in (
        replace(answer(), parameters={"a": list(range(1000, 4500))}),
        replace(answer(), input=text, parameters={"a": text}),
    ):
        cache = MemoryCache(ttl_s=10, max_entries=3, max_bytes=1_000_000)
        cache.put("a", kept)
        assert 100_000 < cache.stats().bytes < 135_000, "and the same text once"


def test_the_bytes_that_are_counted_are_those_of_the_process() -> None:
    """Of many small answers too: at least four fifths of what the allocator says, and at most half more."""
    tracemalloc.start()
    try:
        cache = MemoryCache(ttl_s=10, max_entries=10_000, max_bytes=100_000_000)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(3000):
            made = answer(output=f"{number} " * 20)
            cache.put(f"{number:064}", replace(made, parameters={"tone": f"simple {number}"}))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 < cache.stats().bytes / (after - before) < 1.5


def test_no_entries_is_no_cache(make: MakeCache) -> None:
    cache = make(0)
    assert cache.put("a", answer()) is False
    assert cache.get("a") is None
    assert cache.stats().max_entries == 0


def test_discard(make: MakeCache) -> None:
    cache = make()
    cache.put("a", answer())
    cache.discard("a")
    cache.discard("a")
    assert cache.get("a") is None


def test_discard_all_of_an_owner(make: MakeCache) -> None:
    cache = make()
    cache.put("a", answer("alice"))
    cache.put("b", answer("bob"))
    cache.discard_owner("alice")
    assert (cache.get("a"), cache.get("b")) == (None, answer("bob"))


def test_clear(make: MakeCache) -> None:
    cache = make()
    assert cache.clear() == 0
    cache.put("a", answer("alice"))
    cache.put("b", answer("bob"))
    assert cache.clear() == 2
    assert (cache.get("a"), cache.get("b"), cache.stats().entries) == (None, None, 0)


def test_stats(make: MakeCache) -> None:
    cache = make()
    cache.put("a", answer())
    cache.get("a")
    cache.get("b")
    stats = cache.stats()
    assert (stats.entries, stats.max_entries, stats.hits, stats.misses) == (1, 3, 1, 1)


def test_many_threads(kind: Kind) -> None:
    cache = kind.make(50)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(kind.turns):
                key = str((number * 7 + turn) % 80)
                cache.put(key, answer(owner=key))
                found = cache.get(key)
                assert found is None or found.owner == key
                if turn % (kind.turns // 10) == 0:
                    cache.discard_owner(key)
                    cache.stats()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.stats().entries <= 50
