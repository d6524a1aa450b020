"""Ends what outlives a request's check of its key: a stream stops soon after its key was revoked or has expired."""

from collections.abc import Callable

from ..clock import Clock
from .ports import KeyStore


class KeyWatch:
    """Of one stream. It looks at `ended` for each token, so that is all it costs. `close` it when the stream is over."""

    __slots__ = ("_forget", "_interrupt", "ended", "key_id")

    def __init__(self, key_id: str | None, forget: Callable[["KeyWatch"], None]) -> None:
        """`key_id` None = the caller needed no key."""
        self.key_id = key_id
        self.ended = False
        self._forget = forget
        self._interrupt: Callable[[], object] | None = None

    def interrupts(self, interrupt: Callable[[], object]) -> None:
        """What to call when it has ended: a silent stream waits, and does not look. It must be quick."""
        self._interrupt = interrupt

    def end(self) -> None:
        self.ended = True
        if self._interrupt is not None:
            self._interrupt()

    def close(self) -> None:
        self._forget(self)


class KeyWatches:
    """Call `look` about every two seconds: it reads each key that has open streams, once."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._open: set[KeyWatch] = set()

    def __len__(self) -> int:
        return len(self._open)

    def watch(self, key_id: str | None) -> KeyWatch:
        watch = KeyWatch(key_id, self._open.discard)
        if key_id is not None:
            self._open.add(watch)
        return watch

    def look(self) -> None:
        """Raises `StorageError`; the streams then go on until the keys can be read."""
        watches = tuple(self._open)  # others add to the set meanwhile
        now_ms = self._clock.now_ms()
        for key_id in {watch.key_id for watch in watches if watch.key_id is not None}:
            key = self._store.get(key_id)
            if key is None or key.state(now_ms) != "usable":
                for watch in watches:
                    if watch.key_id == key_id and not watch.ended:
                        watch.end()
