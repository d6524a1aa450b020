"""What the core needs from the world, in the core's words. Adapters satisfy these without importing this module."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from ..clock import Waker
from .call_context import CallContext
from .model import (
    CachedAnswer,
    CacheStats,
    CallResult,
    Generation,
    ProviderCall,
    ProviderEvent,
)

MakeId = Callable[[], str]
Spawn = Callable[[Callable[[], None]], None]
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

    def stream(self, call: ProviderCall, control: CallContext) -> Generator[ProviderEvent, None, None]:
        """Yield `Delta`s and at the end exactly one `Done`, or raise an `UpstreamError` or `UpstreamRejected`.

        Where a call that fails reported its tokens, a `Billed` comes before the error.

        Closing the generator closes the upstream call; so does `control.stop()`, and the generator then raises.
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

    def health_error(self) -> str | None:
        """What is wrong with the cache, for the readiness check; None = nothing known."""
        ...


class SharedCall(Protocol):
    """One upstream call, its text so far, and the generations that share it.

    The generation that leads writes (`append`, `restart`, `complete`); everyone reads. Positions are code points of the
    text. All values are plain, so that the members may be in several processes.
    """

    @property
    def flight_id(self) -> str:
        """The request_id of the generation that leads."""
        ...

    @property
    def about(self) -> str:
        """What `join` was told when the flight began."""
        ...

    @property
    def members(self) -> int: ...

    @property
    def landing(self) -> CallResult | None:
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

    def complete(self, landing: CallResult) -> None:
        """The last write: nobody boards any more, and all who wait wake."""
        ...

    def text_after(self, position: int) -> str: ...

    def mark_shown(self) -> None: ...

    def wait_landed(self, timeout_s: float) -> CallResult | None:
        """None if it has not landed by then."""
        ...

    def watch(self, waker: Waker) -> None:
        """Have it set with every change, until `unwatch`."""
        ...

    def unwatch(self, waker: Waker) -> None: ...

    def leave(self, member: str) -> None:
        """When the last member has left nobody boards any more; who leads then ends the call."""
        ...


class SingleFlight(Protocol):
    """Which upstream calls are under way, by cache key."""

    def join(self, key: str | None, member: str, about: str) -> SharedCall:
        """The flight that has this key, or a new one that `member` leads and must `complete`. None = shared with nobody.

        `member` is a request_id; `about` tells the others what the leader's generation was made of.
        """
        ...


class Reporter(Protocol):
    """Where the background says what nobody else would hear."""

    def ended(self, generation: Generation) -> None:
        """A generation ended otherwise than with an answer."""
        ...

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
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
