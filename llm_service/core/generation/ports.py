"""What generations need from the world, in the core's words.

Longer than other modules: most of it is what the ports promise.
"""

from collections.abc import Callable, Generator, Sequence, Set
from typing import Protocol, TypeVar

from ..clock import Waker
from ..limits.ports import Reservations
from .bulkhead import Bulkhead
from .call_context import CallContext
from .model import (
    CachedAnswer,
    CacheStats,
    CallResult,
    Generation,
    IdempotencyKey,
    KeyHolder,
    ProviderCall,
    ProviderEvent,
    UpstreamState,
)  # fmt: skip

T = TypeVar("T")
MakeId = Callable[[], str]
Spawn = Callable[[Callable[[], None]], object]
"""Runs a function in the background: a greenlet or a thread."""


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

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        """Yield `Delta`s and at the end exactly one `Done`, or raise an `UpstreamError` or `UpstreamRejected`.

        Where a call that fails reported its tokens, a `Billed` comes before the error.

        Closing the generator closes the upstream call; so does `context.stop()`, and the generator then raises.
        """
        ...

    def warm(self) -> None:
        """Pay what the first call would pay (imports, connections); safe to call twice."""
        ...

    def health_error(self) -> str | None:
        """Why answers are not to be expected now, for the readiness check; None = nothing known."""
        ...

    @property
    def warmed(self) -> bool: ...

    def close(self) -> None: ...


class ManagedProvider(Provider, Protocol):
    """A provider with retries, a retry budget, a circuit breaker and slots of its own.

    It yields a `Retrying` before each further attempt.
    """

    @property
    def bulkhead(self) -> Bulkhead: ...


class ProviderResolver(Protocol):
    """The providers of this process, by model."""

    def resolve(self, model: str) -> ManagedProvider:
        """The provider that answers this model; every allowed model has one."""
        ...

    def state(self) -> UpstreamState:
        """All of them together."""
        ...

    def health_error(self) -> str | None: ...

    @property
    def warmed(self) -> bool:
        """Whether all of them are."""
        ...

    def warm(self) -> None: ...

    def close(self) -> None: ...


class Cache(Protocol):
    """Complete answers by key. Safe from threads and greenlets; never raises: without a cache the service goes on."""

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        """`counted`: as a hit or a miss."""
        ...

    def put(self, key: str, answer: CachedAnswer) -> None: ...

    def count_coalesced(self) -> None:
        """Count a request that shares a call under way."""
        ...

    def discard(self, key: str) -> None: ...

    def discard_owner(self, owner: str) -> None: ...

    def clear(self) -> int:
        """Empty the cache of every process; how many answers this one forgot. Raises `StorageError`."""
        ...

    def stats(self) -> CacheStats: ...

    def health_error(self) -> str | None:
        """What is wrong with the cache, for the readiness check; None = nothing known."""
        ...


class SharedCall(Protocol):
    """One upstream call, its text so far, and the generations that share it.

    The generation that leads writes (`append`, `restart`, `complete`); everyone reads. Positions are code points of the
    text. All values are plain: the members may be in several processes.
    """

    @property
    def call_id(self) -> str:
        """The request_id of the generation that leads."""
        ...

    @property
    def fingerprint(self) -> str:
        """That of the generation that leads, as `join` got it."""
        ...

    @property
    def members(self) -> int: ...

    @property
    def result(self) -> CallResult | None:
        """None while the call is under way."""
        ...

    @property
    def restarts(self) -> int:
        """How often the text was discarded and began again."""
        ...

    @property
    def shown(self) -> bool:
        """Whether anyone is shown the text while it grows: then it must not begin again."""
        ...

    def append(self, text: str) -> None: ...

    def restart(self) -> None:
        """Discard the text so far."""
        ...

    def complete(self, result: CallResult) -> None:
        """The last write: nobody can join any more, and everyone who waits wakes."""
        ...

    def text_after(self, position: int) -> str: ...

    def mark_shown(self) -> None: ...

    def wait_completed(self, timeout_s: float) -> CallResult | None:
        """None if it is still under way then."""
        ...

    def watch(self, waker: Waker) -> None:
        """Have it set with every change, until `unwatch`."""
        ...

    def unwatch(self, waker: Waker) -> None: ...

    def leave(self, member: str) -> None:
        """When the last member has left nobody can join any more; the leader's process then ends the call."""
        ...


class SingleFlight(Protocol):
    """Which upstream calls are under way, by cache key."""

    def join(self, key: str | None, member: str, fingerprint: str) -> SharedCall:
        """The call that has this key, or a new one that `member` leads and must `complete`. None = shared with nobody.

        `member` is a request_id; `fingerprint` tells apart generations with equal messages and unequal inputs.
        """
        ...


class Reporter(Protocol):
    """Where background work reports what nobody else would hear of."""

    def ended(self, generation: Generation) -> None:
        """A generation ended without an answer."""
        ...

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        """Something failed that should not; called while the error is handled."""
        ...


class Spool(Protocol):
    """Outcomes that the store could not take, until it can."""

    def add(self, generation: Generation) -> None:
        """When it returns, the outcome survives the process. Raises `OSError`."""
        ...

    def replay(self, store: Callable[[Generation], None]) -> Sequence[Exception]:
        """Give all to `store`, oldest first, and forget them; where it raises a `StorageError`, all are kept for the next time.

        What cannot be read, or stored for any other reason, is put aside; the reasons are returned.
        """
        ...


class GenerationWriter(Protocol):
    """Generations inside a unit of work. Usage is summed in the same transaction."""

    def start(self, generation: Generation) -> None:
        """Store a `running` generation with its texts."""
        ...

    def finish(self, generation: Generation) -> bool:
        """Store the outcome of a started generation. False: the row was deleted meanwhile."""
        ...

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        """As `finish`, with a copy of the texts under a new `answer_id`: its output differs from that of those who share."""
        ...

    def amend_billing(self, was: Generation, now: Generation) -> None:
        """Store a bill that came after the outcome was stored (`was`), also if the row was deleted meanwhile."""
        ...

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> Sequence[Generation]:
        """Mark as `interrupted` what still runs and began before `created_ms`; as they were stored."""
        ...


class UnitOfWork(Protocol):
    """Changes that commit together or not at all."""

    @property
    def generations(self) -> GenerationWriter: ...

    @property
    def reservations(self) -> Reservations: ...


class GenerationStore(Protocol):
    """The write side of the history. What a method stored is durable when it returns. All raise `StorageError`."""

    def transaction(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` and commit. It may be run twice, in another thread: it must do nothing but call its argument."""
        ...

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        """Store a generation that the cache answered with the answer that is stored as `answer_id`.

        False, and nothing is stored: that answer was deleted meanwhile, perhaps in another process.
        """
        ...

    def record_joined(self, generation: Generation) -> Generation:
        """Store a running generation that shares the texts of `generation.answer_id`; the generation as it was stored.

        Where those texts are gone it stores them again, under its own id.
        """
        ...

    def get(self, owner: str, request_id: str) -> Generation | None:
        """None for another owner's generation too."""
        ...


class RemoteControl(Protocol):
    """Generations of other processes, through their rows. All methods raise `StorageError`."""

    def request_cancel(self, owner: str, request_id: str) -> None:
        """Mark a running generation: its process ends it when it next looks (`running_ids`)."""
        ...

    def running_ids(self) -> Set[str]:
        """The request_ids of everything that runs, of every owner and process."""
        ...


class IdempotencyStore(Protocol):
    """Which request has an `Idempotency-Key`. All methods raise `StorageError`."""

    def claim(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        """Give the key to a request, for 24 hours. The holder if another has it: one that runs or gave an answer."""
        ...

    def release(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        """Take the key back from a request that failed before it began."""
        ...

    def prune(self, now_ms: int) -> int:
        """Forget keys whose time is over; how many."""
        ...
