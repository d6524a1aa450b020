"""Ends what dead processes left behind: generations that are still `running`, and reservations of their calls.

A row that no living process runs is an orphan. Reservations can outlive their rows, and a process can hang: what has been
unfinished for longer than a generation may take is an orphan, too. No date tells for how long, because clocks are set, by
hours even. So each process watches what it does not run itself.
"""

from collections.abc import Collection

from ..clock import Clock
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
        self._end([each for each in self._seen_at if each in late or (each in rows and not self._presence.runs(each))])

    def end_if_orphan(self, request_id: str, watched_s: float = 0.0) -> bool:
        """End an unfinished generation of another process if it is an orphan; whether it is.

        Its outcome may then be another one than `interrupted`, because its process had spooled it. Raises `StorageError`.
        """
        if self._presence.runs(request_id) and watched_s < self._expire_s:
            return False
        self._end([request_id])
        return True

    def end_all(self) -> None:
        """End all that is unfinished, because no other process runs. Raises `StorageError`."""
        self._end(list(self._of_others(self._store.unfinished_ids())))

    def _of_others(self, rows: Collection[str]) -> Collection[str]:
        """What other processes have not finished: rows, and reservations."""
        return [request_id for request_id in (*rows, *self._limits.open_ids()) if request_id not in self._registry]

    def _end(self, request_ids: list[str]) -> None:
        for start in range(0, len(request_ids), BATCH):
            batch = request_ids[start : start + BATCH]
            self._recorder.interrupt(batch)
            # Reservations whose generation has no row.
            self._limits.expire(batch)
