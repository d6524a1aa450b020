"""Storing how answers end, also when the database cannot be written just then.

An answer was paid for. Where its row cannot be written it is tried again for two seconds, and then kept aside; nobody
gets an answer that is not in the history, and none is lost. This is the one place that answers go through to the store.
"""

import threading

from .errors import StorageError, StorageUnavailable
from .model import Generation
from .ports import Clock, HistoryStore, Reporter, Spool

PAUSES_S = (0.5, 0.5, 1.0)
PATIENCE_S = 2.0


class Outcomes:
    """Built once per process."""

    def __init__(self, history: HistoryStore, spool: Spool, clock: Clock, reporter: Reporter) -> None:
        self._history = history
        self._spool = spool
        self._clock = clock
        self._reporter = reporter

    def finish(self, generation: Generation) -> bool:
        """As the store's own.

        Raises `StorageUnavailable` when the answer is only kept aside: it comes into the history with `replay`.
        """
        gives_up_at: float | None = None
        for pause_s in (*PAUSES_S, None):
            try:
                return self._history.finish(generation)
            except StorageError as error:
                now = self._clock.monotonic()
                gives_up_at = gives_up_at or now + PATIENCE_S
                # The store itself may have waited long for a lock.
                if pause_s is None or now + pause_s > gives_up_at:
                    self._keep_aside(generation, error)
                    break
            threading.Event().wait(pause_s)
        raise StorageUnavailable(
            "The answer is paid for but could not be stored. It will be in the history, under this request's id, as soon "
            "as the database can be written again.",
            retry_after_s=5,
        )

    def replay(self) -> None:
        """Store what was kept aside, oldest first.

        Raises `StorageError` while the database still cannot be written.
        """
        self._spool.replay(self._store_late)

    def _keep_aside(self, generation: Generation, error: StorageError) -> None:
        self._reporter.bug(error, generation.request_id)
        self._spool.add(generation)

    def _store_late(self, generation: Generation) -> None:
        row = self._history.get(generation.owner, generation.request_id)
        if row is not None and (row.status, row.finished_ms) != (generation.status, generation.finished_ms):
            self._history.finish(generation)
