"""The interfaces that generations need.

Longer than other modules: most of it is what the ports promise.
"""

from collections.abc import Callable, Collection, Generator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..clock import Waker
from ..errors import ServiceError
from ..file_faults import FileFault
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
    ProviderState,
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
        """Identifies the provider in cache keys; different for providers that may answer differently."""
        ...

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        """Yield `Delta`s and finally exactly one `Done`, or raise an `UpstreamError` or `UpstreamRejected`.

        If a failed call reported its tokens, a `Billed` comes before the error.

        Closing the generator closes the upstream call; so does `context.stop()`, and the generator then raises.
        """
        ...

    def warm(self) -> None:
        """Do the slow work of the first call (imports, connections); safe to call twice."""
        ...

    def health_error(self) -> str | None:
        """Why calls would fail now, for the readiness check; None = no known error."""
        ...

    @property
    def warmed(self) -> bool: ...

    def close(self) -> None: ...


class ManagedProvider(Provider, Protocol):
    """A provider with retries and its own retry budget, circuit breaker and slots.

    Before each further attempt it yields a `Retrying`, waits, and yields an `AttemptStarted`.
    """

    @property
    def bulkhead(self) -> Bulkhead: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer a request, and its provider.

    `model`: its name in requests, rows and answers. `sent_as`: its name at the provider. `context_tokens`: how much it can
    read and write together; None = unknown.
    """

    model: str
    provider: ManagedProvider
    sent_as: str
    context_tokens: int | None = None


class ProviderResolver(Protocol):
    """The providers of this process, by model."""

    def resolve(self, model: str) -> Candidate:
        """The provider that answers this model, by any of its names.

        Raises `UnknownModel`: providers may have changed since the model was allowed.
        """
        ...

    def state(self) -> UpstreamState:
        """The state of all providers together."""
        ...

    def states(self) -> Sequence[ProviderState]:
        """The state of each provider."""
        ...

    @property
    def faults(self) -> Sequence[FileFault]:
        """The errors of the providers file as it is now; while there are any, the last good providers stay."""
        ...

    def health_error(self) -> str | None:
        """Why calls would fail now, or what is wrong with the file; None = no known error."""
        ...

    @property
    def warmed(self) -> bool:
        """Whether all providers are."""
        ...

    def warm(self) -> None: ...

    def close(self) -> None: ...


class Cache(Protocol):
    """Complete answers by key. Safe from threads and greenlets. Never raises: the service works without a cache."""

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        """`counted`: count it as a hit or a miss."""
        ...

    def put(self, key: str, answer: CachedAnswer) -> bool:
        """False: there is no room for it."""
        ...

    def count_coalesced(self) -> None:
        """Count a request that joined a call."""
        ...

    def discard(self, key: str) -> None: ...

    def discard_owner(self, owner: str) -> None: ...

    def clear(self) -> int:
        """Empty the cache of every process. Returns the number of answers this one removed. Raises `StorageError`."""
        ...

    def stats(self) -> CacheStats: ...

    def health_error(self) -> str | None:
        """Why the cache fails, for the readiness check; None = no known error."""
        ...


class SharedCall(Protocol):
    """One upstream call, its text so far, and the generations that share it.

    The leading generation writes (`append`, `restart`, `complete`), all read. Positions are code points of the text.
    All values are plain, because members may be in several processes. If the leader's process dies, another member may
    lead the call: it makes it again.
    """

    @property
    def call_id(self) -> str:
        """The request_id of the generation that began the call. It stays when another one leads."""
        ...

    @property
    def fingerprint(self) -> str:
        """That of the generation that began the call, as given to `join`."""
        ...

    @property
    def members(self) -> int:
        """How many share it, as far as this process knows. 0: nobody does, and nobody can join any more."""
        ...

    @property
    def lost(self) -> bool:
        """Whether nobody leads it: the leader's process died, cannot be reached, or gave it up."""
        ...

    @property
    def restarts(self) -> int:
        """How often the text was discarded and restarted."""
        ...

    @property
    def shown(self) -> bool:
        """Whether somebody sees the text while it grows: then it must not restart."""
        ...

    def append(self, text: str) -> None: ...

    def restart(self) -> None:
        """Discard the text so far."""
        ...

    def complete(self, result: CallResult) -> None:
        """The last write. Afterwards nobody can join; it wakes all who wait."""
        ...

    def text_after(self, position: int) -> str: ...

    def mark_shown(self) -> None: ...

    def wait_completed(self, timeout_s: float) -> CallResult | None:
        """None on a timeout, and when it was lost: it may have been taken over since."""
        ...

    def take_over(self, member: str) -> bool:
        """Lead a lost call. True: `member` leads it now, its text is discarded, and it must `complete` or `give_up`.

        False: another one leads it, or it has ended: wait on.
        """
        ...

    def give_up(self) -> None:
        """The leader cannot make the call, or not go on with it: another member may take it over.

        What it writes afterwards is only for the members of its own process.
        """
        ...

    def watch(self, waker: Waker) -> None:
        """Set the waker on every change, until `unwatch`."""
        ...

    def unwatch(self, waker: Waker) -> None: ...

    def close(self) -> None:
        """Nobody can join any more."""
        ...

    def leave(self, member: str) -> bool:
        """When the last member leaves, nobody can join any more, and the leader's process ends the call.

        Returns whether others share it still.
        """
        ...


class SingleFlight(Protocol):
    """The upstream calls in progress, by cache key."""

    def join(self, key: str | None, member: str, fingerprint: str) -> SharedCall:
        """The call with this key, or a new one that `member` leads and must `complete`. `key` None = not shared.

        `member` is a request_id; `fingerprint` distinguishes generations with equal messages but different inputs.
        """
        ...


class RemoteText(Protocol):
    """The text so far of a generation of another process, as far as it is known here. Positions are as in `SharedCall`.

    It is for showing only: the row has the outcome.
    """

    @property
    def restarts(self) -> int: ...

    @property
    def ended(self) -> bool:
        """Whether its process said that no more text comes: its row has an outcome, or will soon."""
        ...

    def text_after(self, position: int) -> str: ...

    def watch(self, waker: Waker) -> None:
        """As `SharedCall.watch`; also set when it ends."""
        ...

    def close(self) -> None: ...


class RemoteTexts(Protocol):
    """The texts of generations of other processes, while they grow."""

    def follow(self, request_id: str) -> RemoteText:
        """Its text from the start. Nothing comes if no process that can be reached runs it. The caller closes it."""
        ...


class Reporter(Protocol):
    """Receives the errors of background work."""

    def ended(self, generation: Generation) -> None:
        """A generation ended without an answer."""
        ...

    def fell_back(self, generation: Generation, error: ServiceError) -> None:
        """A model failed with this error, and the generation's call asks the next one, which is its model now."""
        ...

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        """An unexpected error; call it while handling the error."""
        ...


class Spool(Protocol):
    """Keeps outcomes until the store can take them."""

    def add(self, generation: Generation, was: Generation | None = None) -> None:
        """When it returns, the outcome survives the process. Raises `OSError`.

        `was`: the outcome was added, or stored, with another bill.
        """
        ...

    def replay(
        self, store: Callable[[Generation], None], amend: Callable[[Generation, Generation], None]
    ) -> Sequence[Exception]:
        """Pass all, oldest first, and remove them: outcomes to `store`, those that were known with another bill to `amend`,
        which gets what they were first. If one raises a `StorageError`, the rest is kept.

        Outcomes that cannot be read, or stored for another reason, are put aside; the reasons are returned. Those that cannot
        be put aside are kept for the next time, and the `OSError` is returned.
        """
        ...


class GenerationWriter(Protocol):
    """Generations inside a unit of work. Usage is summed in the same transaction."""

    def start(self, generation: Generation) -> None:
        """Store a `running` generation with its texts."""
        ...

    def begin_call(self, generation: Generation) -> None:
        """A running generation that joined a call makes it itself now: store that it has an attempt."""
        ...

    def finish(self, generation: Generation) -> bool:
        """Store the outcome of a started generation. False: the row was deleted."""
        ...

    def finish_with_own_answer(self, generation: Generation, answer_id: str) -> bool:
        """As `finish`, with its own texts under a new `answer_id`, because its output differs from the shared one."""
        ...

    def amend_billing(self, was: Generation, now: Generation) -> None:
        """Store a bill that came after the outcome (`was`), even if the row was deleted.

        A row that has this bill already does not change. One with another outcome gets the whole of `now`.
        """
        ...

    def interrupt(self, request_ids: Sequence[str], now_ms: int) -> Sequence[Generation]:
        """Mark those of them that are unfinished as `interrupted`. Returns these as stored."""
        ...


class UnitOfWork(Protocol):
    """Changes that commit together or not at all."""

    @property
    def generations(self) -> GenerationWriter: ...

    @property
    def reservations(self) -> Reservations: ...


class GenerationStore(Protocol):
    """The write side of the history. All methods raise `StorageError`.

    When a method returns, no killed process loses what it wrote; after `transaction`, nor does a power cut.
    """

    def transaction(self, work: Callable[[UnitOfWork], T], *, short: bool = True, wait_s: float | None = None) -> T:
        """Run `work` and commit. It may run twice, in another thread, and must only call its argument.

        `short` False: it may change any number of rows. `wait_s`: how long at most for a store that is locked; None: five
        seconds.
        """
        ...

    def record_hit(self, generation: Generation, answer_id: str, *, durable: bool) -> bool:
        """Store a generation that the cache answered with the stored answer `answer_id`.

        `durable`: a power cut does not lose it.

        False, and nothing is stored: the answer was deleted, perhaps by another process.
        """
        ...

    def record_started(self, generation: Generation) -> Generation:
        """Store a running generation that needs no reservation. Returns it as stored.

        If it shares the texts of another `answer_id`, and those are gone, it stores them under its own id.
        """
        ...

    def get(self, owner: str, request_id: str) -> Generation | None:
        """None also for another owner's generation."""
        ...

    def owner_of(self, request_id: str) -> str | None:
        """None: there is no such generation."""
        ...

    def has_answer(self, answer_id: str) -> bool:
        """Whether the texts of a cached answer are still stored. True if none are kept."""
        ...

    def unfinished_ids(self) -> Set[str]:
        """The request_ids of all rows without an outcome, of every owner and process. Without rows, those of this process."""
        ...


class StorageSpace(Protocol):
    """Whether there is room for an answer."""

    def require(self) -> None:
        """Raise `StorageFull` if there is not. It costs next to nothing: what it knows is some seconds old."""
        ...


class RemoteControl(Protocol):
    """Controls generations of other processes through their rows. All methods raise `StorageError`."""

    def request_cancel(self, owner: str, request_id: str) -> None:
        """Mark a running generation; its process ends it at its next check (`running_ids`)."""
        ...

    def running_ids(self) -> Set[str]:
        """The request_ids of all running generations of this process, of every owner. Those of others may be among them."""
        ...

    def interrupted_among(self, request_ids: Collection[str]) -> Set[str]:
        """Those that another process gave up, because it took theirs for dead."""
        ...


class Presence(Protocol):
    """Tells other processes what this one runs. A process that ends runs nothing any more, however it ends."""

    def begin(self, request_id: str) -> None:
        """Call it before the row is stored. Raises `StorageError`."""
        ...

    def end(self, request_id: str) -> None:
        """Call it when the outcome is in the store or in the spool."""
        ...

    def runs(self, request_id: str) -> bool:
        """Whether a process that is alive runs it; also this one. True if that is not known. Raises `StorageError`."""
        ...

    def dead_among(self, request_ids: Collection[str], pause: Callable[[], None]) -> Sequence[str]:
        """Those that no living process runs, as `runs` tells it of each. Calls `pause` where that takes long.

        Raises `StorageError`.
        """
        ...


class IdempotencyStore(Protocol):
    """Which request has an `Idempotency-Key`. All methods raise `StorageError`."""

    def claim(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        """Give the key to a request for 24 hours. Returns the holder if a running or answered request has it."""
        ...

    def release(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        """Free the key of a request that failed before it began."""
        ...

    def prune(self, now_ms: int) -> int:
        """Delete expired keys; how many."""
        ...
