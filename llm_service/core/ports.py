"""What the core needs from the world, in the core's words. Adapters satisfy these without importing this module."""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol

from .model import CachedAnswer, CacheStats, Generation, GenerationSummary, ProviderCall, ProviderEvent

MakeId = Callable[[], str]


class Clock(Protocol):
    """Wall time for what people read, monotonic time for every duration and deadline."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...


class Provider(Protocol):
    """A model behind one method."""

    @property
    def name(self) -> str:
        """`openai` or `echo`: shown to people."""
        ...

    @property
    def identity(self) -> str:
        """Names the provider in cache keys: two that may answer differently must differ here."""
        ...

    def stream(self, call: ProviderCall, deadline: float) -> Generator[ProviderEvent, None, None]:
        """Yield `Delta`s and at the end exactly one `Done`, or raise an `UpstreamError` or `UpstreamRejected`.

        `deadline` is on the monotonic clock and ends the whole call. Closing the generator closes the upstream call.
        """
        ...

    def warm(self) -> None:
        """Pay what the first call would pay (imports, connections); safe to call twice."""
        ...

    def trouble(self) -> str | None:
        """Why answers are not to be expected now, for the readiness check; None = nothing known."""
        ...

    @property
    def warmed(self) -> bool: ...

    def close(self) -> None: ...


class Cache(Protocol):
    """Complete answers by key. Safe from threads and greenlets; never raises: without a cache the service goes on."""

    def get(self, key: str) -> CachedAnswer | None: ...

    def put(self, key: str, answer: CachedAnswer) -> None: ...

    def discard(self, key: str) -> None: ...

    def discard_owner(self, owner: str) -> None: ...

    def stats(self) -> CacheStats: ...


class HistoryStore(Protocol):
    """The stored generations. Every method that takes an owner sees that owner's rows only.

    When a method returns, its change is durable. All raise `StorageError`.
    """

    def start(self, generation: Generation) -> None:
        """Store a `running` generation with its texts."""
        ...

    def finish(self, generation: Generation) -> bool:
        """Store the outcome of a started generation. False: the row was deleted meanwhile."""
        ...

    def record_hit(self, generation: Generation) -> None:
        """Store a finished generation that shares the texts of `generation.answer_id`.

        Where those are gone it stores the texts again, under its own id.
        """
        ...

    def get(self, owner: str, request_id: str) -> Generation | None: ...

    def newest(
        self, owner: str, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[tuple[int, GenerationSummary]]:
        """Up to `limit` rows, newest first, each with its position; `before`/`after` are exclusive positions.

        With `after`, the rows are those next to it, so that paging back shows no gap.
        """
        ...

    def export(self, owner: str) -> Iterator[Generation]:
        """All of the owner's generations, newest first, in constant memory."""
        ...

    def delete(self, owner: str, request_id: str) -> str | None:
        """Delete a row, and its texts if no other row shares them. Its cache key, or None if there was no such row."""
        ...

    def delete_all(self, owner: str) -> int:
        """Delete the owner's rows and texts; how many rows."""
        ...

    def interrupt_older_than(self, created_ms: int) -> int:
        """Mark as `interrupted` what still runs and began before `created_ms`; how many rows."""
        ...

    def check(self) -> None:
        """Raise a `StorageError` if nothing could be stored now."""
        ...

    def close(self) -> None: ...
