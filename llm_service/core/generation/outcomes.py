"""Storing how answers end, also when the database cannot be written just then.

An answer was paid for. Where its row cannot be written it is tried again for two seconds, and then kept aside; nobody
gets an answer that is not in the history, and none is lost. This is the one place that outcomes of calls go through to the
store: whole answers, failures, and what was stopped.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from ..clock import Clock
from ..errors import StorageError, StorageUnavailable
from ..history.ports import HistoryStore
from .model import Generation
from .ports import Reporter, Spool

PAUSES_S = (0.5, 0.5, 1.0)
PATIENCE_S = 2.0


class OutcomeRecorder:
    """Built once per process."""

    def __init__(self, history: HistoryStore, spool: Spool, clock: Clock, reporter: Reporter) -> None:
        self._history = history
        self._spool = spool
        self._clock = clock
        self._reporter = reporter

    def finish(self, generation: Generation, *, patient: bool = True) -> bool:
        """As the store's own. `patient`: there is time to try again.

        Raises `StorageUnavailable` when the outcome is only kept aside: it comes into the history with `replay`.
        """
        return self._stored(lambda: self._history.finish(generation), generation, patient)

    def finish_apart(self, generation: Generation, answer_id: str, *, patient: bool = True) -> bool:
        """As `finish`, and as the store's own."""
        apart = replace(generation, answer_id=answer_id)
        return self._stored(lambda: self._history.finish_apart(generation, answer_id), apart, patient)

    def replay(self) -> None:
        """Store what was kept aside, oldest first.

        Raises `StorageError` while the database still cannot be written.
        """
        for error in self._spool.replay(self._store_late):
            self._reporter.unexpected_error(error)

    def _stored(self, store: Callable[[], bool], generation: Generation, patient: bool) -> bool:
        gives_up_at: float | None = None
        for pause_s in (*(PAUSES_S if patient else ()), None):
            try:
                return store()
            except StorageError as error:
                now = self._clock.monotonic()
                gives_up_at = gives_up_at or now + PATIENCE_S
                # The store itself may have waited long for a lock.
                if pause_s is None or now + pause_s > gives_up_at:
                    self._keep_aside(generation, error)
                    break
            threading.Event().wait(pause_s)
        raise StorageUnavailable(
            "How this generation ended could not be stored just now. It will be in the history, under this request's id, "
            "as soon as the database can be written again.",
            retry_after_s=5,
        )

    def _keep_aside(self, generation: Generation, error: StorageError) -> None:
        self._reporter.unexpected_error(error, generation.request_id)
        try:
            self._spool.add(generation)
        except OSError as worse:
            self._reporter.unexpected_error(worse, generation.request_id)
            raise error from worse

    def _store_late(self, generation: Generation) -> None:
        row = self._history.get(generation.owner, generation.request_id)
        if row is None or (row.status, row.finished_ms) == (generation.status, generation.finished_ms):
            return
        if row.answer_id == generation.answer_id:
            self._history.finish(generation)
        else:
            self._history.finish_apart(replace(generation, answer_id=row.answer_id), generation.answer_id)
