"""What every cache promises. A second adapter is one more param."""

import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.core.generation.ports import Cache
from tests.support.builders import answer
from tests.support.clocks import HandTimer

MakeCache = Callable[..., Cache]


@pytest.fixture(name="timer")
def _timer() -> HandTimer:
    return HandTimer()


@pytest.fixture(name="make", params=["memory"])
def _make(request: pytest.FixtureRequest, timer: HandTimer) -> MakeCache:
    def memory(max_entries: int = 3, max_bytes: int = 1_000_000) -> Cache:
        return MemoryCache(ttl_s=10, max_entries=max_entries, max_bytes=max_bytes, timer=timer)

    return {"memory": memory}[request.param]


def test_what_was_put_comes_back(make: MakeCache) -> None:
    cache = make()
    assert cache.get("a") is None
    cache.put("a", answer())
    assert cache.get("a") == answer()
    cache.put("a", answer(output="newer"))
    assert cache.get("a") == answer(output="newer")


def test_it_is_well(make: MakeCache) -> None:
    assert make().health_error() is None


def test_an_entry_has_a_lifetime(make: MakeCache, timer: HandTimer) -> None:
    cache = make()
    cache.put("a", answer())
    timer.now = 9.9
    assert cache.get("a") is not None
    timer.now = 10.1
    assert cache.get("a") is None
    assert cache.stats().entries == 0


def test_the_least_recently_used_goes_first(make: MakeCache) -> None:
    cache = make()
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
        replace(answer(), parameters={"a": list(range(1000, 4500))}),
        replace(answer(), input=text, parameters={"a": text}),
    ):
        cache = make()
        cache.put("a", kept)
        assert 100_000 < cache.stats().bytes < 135_000, "and the same text once"
        cache.discard("a")
        assert cache.stats().bytes == 0


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


def test_many_threads(make: MakeCache) -> None:
    cache = make(50)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(500):
                key = str((number * 7 + turn) % 80)
                cache.put(key, answer(owner=key))
                found = cache.get(key)
                assert found is None or found.owner == key
                if turn % 50 == 0:
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
