"""Rows of the history in a store, and a cache beside it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from llm_service.core.generation.model import CachedAnswer, CacheStats, Generation
from llm_service.core.history.model import Filters
from llm_service.core.history.search import parse_search
from tests.support.builders import completed, generation
from tests.support.stores import Stores


def stored(store: Stores, number: int, owner: str = "alice", **more: object) -> Generation:
    made = generation(number, owner)
    store.start(made)
    done = completed(made, **more)
    assert store.finish(done)
    return done


def hit_of(first: Generation, number: int) -> Generation:
    return replace(
        first, request_id=f"id-{number}", cached=True, cost_usd=Decimal(0), attempts=0, created_ms=first.created_ms + 1
    )


def ids(store: Stores, owner: str = "alice", limit: int = 100, **filters: object) -> list[str]:
    if isinstance(text := filters.pop("q", None), str):
        filters["search"] = parse_search(text)
    return [row.request_id for _, row in store.newest(owner, limit, filters=Filters(**filters))]  # type: ignore[arg-type]


def said(store: Stores, number: int, text: str, answer: str | None = "out", **more: Any) -> Generation:
    made = generation(number, input=text, **more)
    store.start(made)
    done = completed(made, output=answer)
    assert store.finish(done)
    return done


class NoCache:
    """A cache that only remembers what it was told to forget."""

    def __init__(self) -> None:
        self.discarded: list[str] = []

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        return None

    def put(self, key: str, answer: CachedAnswer) -> bool:
        return False

    def count_coalesced(self) -> None: ...

    def health_error(self) -> str | None:
        return None

    def discard(self, key: str) -> None:
        self.discarded.append(key)

    def discard_owner(self, owner: str) -> None:
        self.discarded.append(f"owner {owner}")

    def clear(self) -> int:
        return 0

    def stats(self) -> CacheStats:
        return CacheStats("none", 0, 0, 0, 0, 0, 0, 0)
