"""Ends what dead processes left behind: generations that are still `running`, and reservations of their calls.

A row that no living process runs is an orphan. Reservations can outlive their rows, and a process can hang: what has been
unfinished for longer than a generation may take is an orphan, too. No date tells for how long, because clocks are set, by
hours even. So each process watches what it does not run itself.
"""

from collections.abc import Collection, Iterator

from ..clock import Clock
from ..errors import StorageError
from ..limits.ports import LimitStore
from .outcomes import OutcomeRecorder
from .ports import GenerationStore, Presence
from .registry import InFlightRegistry

# Rows in one transaction: other writes wait for its end.
BATCH = 100


class Orphans:
    """Built once per process. Call `sweep` a few times a minute."""

    def __init__(
        self,
        store: GenerationStore,
        limits: LimitStore,
        recorder: OutcomeRecorder,
        registry: InFlightRegistry,
        presence: Presence,
        clock: Clock,
        *,
        expire_s: float,
    ) -> None:
        """`expire_s`: after this many seconds no process can still run a generation."""
        self._store = store
        self._limits = limits
        self._recorder = recorder
        self._registry = registry
        self._presence = presence
        self._clock = clock
        self._expire_s = expire_s
        self._seen_at: dict[str, float] = {}

    def sweep(self) -> None:
        """End all orphans. Raises `StorageError`."""
        now = self._clock.monotonic()
        rows = self._store.unfinished_ids()
        self._seen_at = {request_id: self._seen_at.get(request_id, now) for request_id in self._of_others(rows)}
        late = {request_id for request_id, at in self._seen_at.items() if now - at >= self._expire_s}
        self._end(list(late))
        self._interrupt(self._dead(rows - late))

    def end_if_orphan(self, request_id: str, watched_s: float = 0.0) -> bool:
        """End an unfinished generation of another process if it is an orphan; whether it is.

        Its outcome may then be another one than `interrupted`, because its process had spooled it. False also while the
        store cannot be written: who waits for the generation asks again, and the sweep does.
        """
        try:
            if watched_s >= self._expire_s:
                self._end([request_id])
                return True
            if self._presence.runs(request_id):
                return False
            self._interrupt([request_id])
        except StorageError:
            return False
        return True

    def end_all(self) -> None:
        """End all that is unfinished, because no other process runs. Raises `StorageError`."""
        self._end(list(self._of_others(self._store.unfinished_ids())))

    def _of_others(self, rows: Collection[str]) -> Collection[str]:
        """What other processes have not finished: rows, and reservations."""
        return [request_id for request_id in (*rows, *self._limits.open_ids()) if request_id not in self._registry]

    def _dead(self, rows: Collection[str]) -> list[str]:
        """Those of other processes that nobody runs."""
        others = [request_id for request_id in rows if request_id not in self._registry]
        return list(self._presence.dead_among(others, lambda: self._clock.sleep(0)))

    def _end(self, request_ids: list[str]) -> None:
        """Also reservations whose generation has no row, or an outcome but no bill."""
        self._interrupt(request_ids)
        for batch in _batches(request_ids):
            self._limits.expire(batch)

    def _interrupt(self, request_ids: list[str]) -> None:
        """Rows only, and their reservations. One that was stored meanwhile may have left its call, whose bill is to come."""
        for batch in _batches(request_ids):
            self._recorder.interrupt(batch)


def _batches(request_ids: list[str]) -> Iterator[list[str]]:
    return (request_ids[start : start + BATCH] for start in range(0, len(request_ids), BATCH))
