"""What the core needs from the world, in the core's words. Adapters satisfy these without importing this module."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from .control import CallControl
from .keys import Key
from .limits import Account, Hold, Taken
from .model import (
    EVERYTHING,
    CachedAnswer,
    CacheStats,
    Filters,
    Generation,
    GenerationSummary,
    IdempotencyKey,
    KeyHolder,
    Landing,
    ProviderCall,
    ProviderEvent,
)  # fmt: skip
from .pricing import Price
from .standing import Standing
from .usage_sums import GroupBy, UsageLine

MakeId = Callable[[], str]
Spawn = Callable[[Callable[[], None]], None]
"""Runs a function in the background: a greenlet or a thread."""


class Waker(Protocol):
    """Wakes who waits; `threading.Event` is one."""

    def set(self) -> None: ...


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

    def stream(self, call: ProviderCall, control: CallControl) -> Generator[ProviderEvent, None, None]:
        """Yield `Delta`s and at the end exactly one `Done`, or raise an `UpstreamError` or `UpstreamRejected`.

        Where a call that fails reported its tokens, a `Billed` comes before the error.

        Closing the generator closes the upstream call; so does `control.stop()`, and the generator then raises.
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

    def get(self, key: str, *, counted: bool = True) -> CachedAnswer | None:
        """`counted`: as a hit or a miss."""
        ...

    def put(self, key: str, answer: CachedAnswer) -> None: ...

    def joined(self) -> None:
        """Count a request that shares a call under way."""
        ...

    def discard(self, key: str) -> None: ...

    def discard_owner(self, owner: str) -> None: ...

    def clear(self) -> int:
        """Forget everything; how many answers."""
        ...

    def stats(self) -> CacheStats: ...


class Prices(Protocol):
    """What models cost, by name."""

    def of(self, model: str) -> Price | None:
        """None = no price is known."""
        ...


class Flight(Protocol):
    """One upstream call, its text so far, and the generations that share it.

    The generation that leads writes (`append`, `restart`, `land`); everyone reads. Positions are code points of the
    text. All values are plain, so that the members may be in several processes.
    """

    @property
    def flight_id(self) -> str:
        """The request_id of the generation that leads."""
        ...

    @property
    def about(self) -> str:
        """What `board` was told when the flight began."""
        ...

    @property
    def members(self) -> int: ...

    @property
    def landing(self) -> Landing | None:
        """None while it flies."""
        ...

    @property
    def restarts(self) -> int:
        """How often the text began anew."""
        ...

    @property
    def shown(self) -> bool:
        """Whether anyone is shown the text as it comes, so that it must not begin anew."""
        ...

    def append(self, text: str) -> None: ...

    def restart(self) -> None:
        """The text so far is void."""
        ...

    def land(self, landing: Landing) -> None:
        """The last write: nobody boards any more, and all who wait wake."""
        ...

    def text_after(self, position: int) -> str: ...

    def mark_shown(self) -> None: ...

    def wait_landed(self, timeout_s: float) -> Landing | None:
        """None if it has not landed by then."""
        ...

    def watch(self, waker: Waker) -> None:
        """Have it set with every change, until `unwatch`."""
        ...

    def unwatch(self, waker: Waker) -> None: ...

    def leave(self, member: str) -> None:
        """When the last member has left nobody boards any more; who leads then ends the call."""
        ...


class Flights(Protocol):
    """Which upstream calls are under way, by cache key."""

    def board(self, key: str | None, member: str, about: str) -> Flight:
        """The flight that has this key, or a new one that `member` leads and must `land`. None = shared with nobody.

        `member` is a request_id; `about` tells the others what the leader's generation was made of.
        """
        ...


class Reporter(Protocol):
    """Where the background says what nobody else would hear."""

    def ended(self, generation: Generation) -> None:
        """A generation ended otherwise than with an answer."""
        ...

    def bug(self, error: Exception, request_id: str | None = None) -> None:
        """Something failed that should not; called while the error is handled."""
        ...


class Spool(Protocol):
    """Answers that the store did not take, until it does."""

    def add(self, generation: Generation) -> None:
        """When it returns, the answer survives the process. Raises `OSError`."""
        ...

    def replay(self, store: Callable[[Generation], None]) -> Sequence[Exception]:
        """Give all to `store`, oldest first, and forget them; where it raises a `StorageError`, all are kept and given
        again later. What cannot be read, or stored for any other reason, is put away, and why is returned.
        """
        ...


class HistoryStore(Protocol):
    """The stored generations. Every method that takes an owner sees that owner's rows only.

    When a method returns, its change is durable. All raise `StorageError`.
    """

    def start(self, generation: Generation, hold: Hold | None = None) -> Taken | None:
        """Store a `running` generation with its texts, and take the hold with it: both, or where it is refused neither."""
        ...

    def finish(self, generation: Generation) -> bool:
        """Store the outcome of a started generation. False: the row was deleted meanwhile."""
        ...

    def finish_apart(self, generation: Generation, answer_id: str) -> bool:
        """As `finish`, with a copy of the texts under a new `answer_id`: its output is not that of those who share.

        Its call goes on for them: what is held for it is kept until `bill_late` tells what it came to.
        """
        ...

    def bill_late(self, was: Generation, now: Generation) -> None:
        """Store a bill that came after the outcome was stored (`was`), also if the row was deleted meanwhile."""
        ...

    def record_hit(self, generation: Generation, answer_id: str) -> bool:
        """Store a generation that the cache answered with the answer that is stored as `answer_id`.

        False, and nothing is stored: that answer was deleted meanwhile, perhaps in another process.
        """
        ...

    def record_shared(self, generation: Generation) -> Generation:
        """Store a generation that shares the texts of `generation.answer_id`; the generation as it was stored.

        Where those texts are gone it stores them again, under its own id.
        """
        ...

    def claim_key(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        """Give the key to a request, for 24 hours. The holder if another has it: one that runs or gave an answer."""
        ...

    def release_key(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        """Take the key back from a request that came to nothing."""
        ...

    def prune_keys(self, before_ms: int) -> int:
        """Forget keys that were claimed before; how many."""
        ...

    def ask_to_cancel(self, owner: str, request_id: str) -> None:
        """Mark a running generation of another process: that process ends it when it looks (`running_ids`)."""
        ...

    def running_ids(self) -> Set[str]:
        """The request_ids of everything that runs, of every owner and process."""
        ...

    def get(self, owner: str, request_id: str) -> Generation | None: ...

    def owner_of(self, request_id: str) -> str | None:
        """Whose generation it is, for those who may see everybody's; None = there is none."""
        ...

    def newest(
        self,
        owner: str,
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> Sequence[tuple[int, GenerationSummary]]:
        """Up to `limit` rows, newest first, each with its position; `before`/`after` are exclusive positions.

        With `after`, the rows are those next to it, so that paging back shows no gap. A search finds the texts of
        generations that are over; each row then has its `match`.
        """
        ...

    def export(self, owner: str, filters: Filters = EVERYTHING) -> Iterator[Generation]:
        """The owner's generations, newest first, in constant memory; no reader keeps a writer waiting."""
        ...

    def delete(self, owner: str, request_id: str) -> str | None:
        """Delete a row, and its texts if no other row shares them. Its cache key, or None if there was no such row."""
        ...

    def delete_all(self, owner: str) -> int:
        """Delete the rows and texts that the owner has now; how many rows. In small steps, as `prune`."""
        ...

    def prune(self, before_ms: int) -> int:
        """Delete what began before, of every owner, but what runs; how many rows. No writer waits for long meanwhile."""
        ...

    def scrub(self) -> None:
        """Take what was deleted out of the bytes of the files, too."""
        ...

    def interrupt_older_than(self, created_ms: int, now_ms: int) -> int:
        """Mark as `interrupted` what still runs and began before `created_ms`; how many rows."""
        ...

    def check(self) -> None:
        """Raise a `StorageError` if nothing could be stored now."""
        ...

    def close(self) -> None: ...


class LimitStore(Protocol):
    """What is counted against limits, in every process. All methods raise `StorageError`.

    What a hold took is given back, but for what was used, when a history stores the outcome of its generation.
    """

    def take(self, hold: Hold) -> Taken:
        """Count and reserve what the hold asks of all its accounts, if all have room, in one step.

        A hold that asks for no call adds an attempt to what its `request_id` has reserved.
        """
        ...

    def standing(self, accounts: Sequence[Account], now_ms: int) -> Standing: ...

    def lapse(self, now_ms: int) -> int:
        """Charge what is held beyond its time in full; how many calls. Nobody is left who could tell what they used."""
        ...

    def prune(self, now_ms: int) -> None:
        """Forget what no limit looks at any more."""
        ...


class UsageStore(Protocol):
    """The sums that are kept of what generations used. They grow with each outcome, in its own transaction."""

    def lines(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> Sequence[UsageLine]:
        """One line for each key that has anything. `since_hour` and `until_hour` (not included) count from 1970, UTC.

        `owner` None = everybody's. Raises `StorageError`.
        """
        ...


class KeyStore(Protocol):
    """The keys that were made. When a method returns, its change is durable and seen by every process.

    All raise `StorageError`.
    """

    def add(self, key: Key, digest: bytes) -> None: ...

    def digest_of(self, key_id: str) -> bytes | None:
        """The SHA-256 of the whole key. It takes as long where there is none, as nearly as can be."""
        ...

    def get(self, key_id: str) -> Key | None:
        """Revoked and expired ones too."""
        ...

    def all(self) -> Sequence[Key]:
        """Oldest first."""
        ...

    def revoke(self, key_id: str, now_ms: int) -> Key | None:
        """The key as it is then, its sessions removed; one that was revoked before stays as it was. None = no such key."""
        ...

    def mark_used(self, last_used_ms: Mapping[str, int]) -> None:
        """By key_id; a time never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class StoredSession:
    """`session_id` is the hash of what the browser has; the key is as it is now."""

    session_id: str
    key: Key
    created_ms: int
    seen_ms: int


class SessionStore(Protocol):
    """Sign-ins of browsers, each with its key. All methods raise `StorageError`."""

    def add(self, session_id: str, key_id: str, now_ms: int) -> None: ...

    def find(self, session_id: str) -> StoredSession | None: ...

    def mark_seen(self, session_id: str, now_ms: int) -> None: ...

    def remove(self, session_id: str) -> None: ...

    def remove_older(self, *, created_ms: int, seen_ms: int) -> None:
        """What was created, or last seen, before."""
        ...


class AttemptStore(Protocol):
    """Wrong keys by address. All methods raise `StorageError`."""

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        """One more; when the address's window began (it lasts `window_ms`), and how many it has now."""
        ...

    def remove_older(self, since_ms: int) -> None:
        """Windows that began before."""
        ...


class Marks(Protocol):
    """Counters that all processes see, each under a name; 0 at first. All methods raise `StorageError`."""

    def get(self, name: str) -> int: ...

    def advance(self, name: str) -> int:
        """One more; the new value."""
        ...
