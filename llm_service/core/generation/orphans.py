"""Ends what dead processes left behind: generations that are still `running`, and reservations of their calls.

No date tells how long a generation has been running, because clocks are set, by hours even. So each process watches:
what it has seen unfinished for longer than a generation may take, and does not run itself, is an orphan.
"""

from collections.abc import Collection

from ..clock import Clock
from ..limits.ports import LimitStore
from .outcomes import OutcomeRecorder
from .ports import GenerationStore
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
        clock: Clock,
        *,
        expire_s: float,
    ) -> None:
        """`expire_s`: after this many seconds no process can still run a generation."""
        self._store = store
        self._limits = limits
        self._recorder = recorder
        self._registry = registry
        self._clock = clock
        self._expire_s = expire_s
        self._seen_at: dict[str, float] = {}

    def sweep(self) -> None:
        """End what has been unfinished for too long. Raises `StorageError`."""
        now = self._clock.monotonic()
        self._seen_at = {request_id: self._seen_at.get(request_id, now) for request_id in self._unfinished()}
        self._end([request_id for request_id, at in self._seen_at.items() if now - at >= self._expire_s])

    def end_all(self) -> None:
        """End all that is unfinished, because no other process runs. Raises `StorageError`."""
        self._end(list(self._unfinished()))

    def _unfinished(self) -> Collection[str]:
        """Of other processes."""
        unfinished = [*self._store.unfinished_ids(), *self._limits.open_ids()]
        return [request_id for request_id in unfinished if request_id not in self._registry]

    def _end(self, request_ids: list[str]) -> None:
        for start in range(0, len(request_ids), BATCH):
            batch = request_ids[start : start + BATCH]
            self._recorder.interrupt(batch)
            # Reservations whose generation has no row.
            self._limits.expire(batch)
