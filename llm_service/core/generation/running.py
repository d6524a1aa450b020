"""Joining and cancelling a generation by its id, whichever process runs it."""

from dataclasses import replace

from ..clock import Clock
from ..errors import NotFound
from ..history.ports import HistoryStore
from .in_flight import Finished, InFlightRegistry
from .model import Generation, Status
from .subscriptions import LocalSubscription, PolledSubscription, ReplaySubscription, Subscription, is_over

# Longer than any process needs to see that a generation of its own was cancelled (`InFlightRegistry.tick`).
ELSEWHERE_S = 4.0


class RunningGenerations:
    """Holds no state of its own. All methods raise `NotFound`, for another owner's generation too."""

    def __init__(self, runs: InFlightRegistry, history: HistoryStore, clock: Clock) -> None:
        self._runs = runs
        self._history = history
        self._clock = clock

    def listen(self, owner: str, request_id: str, after: int = 0) -> Subscription:
        """From the position `after` on, in code points of the answer."""
        run = self._runs.get(owner, request_id)
        if run is not None:
            return LocalSubscription(run, self._clock, after)
        generation = self._get(owner, request_id)
        if is_over(generation):
            return ReplaySubscription(Finished(generation, {}), after)
        return PolledSubscription(self._history, generation, after)

    def cancel(self, owner: str, request_id: str) -> Generation:
        """The generation as it is then; one that is over stays as it was."""
        run = self._runs.get(owner, request_id)
        if run is not None and (ended := self._runs.cancel(run)) is not None:
            return ended
        if run is None and not is_over(self._get(owner, request_id)):
            self._cancel_elsewhere(owner, request_id)
        return self._get(owner, request_id)

    def cancel_all(self, owner: str) -> None:
        """What runs in this process; another notices that the rows are gone."""
        for run in self._runs.of_owner(owner):
            self._runs.cancel(run)

    def _cancel_elsewhere(self, owner: str, request_id: str) -> None:
        self._history.ask_to_cancel(owner, request_id)
        if PolledSubscription(self._history, self._get(owner, request_id)).is_over(ELSEWHERE_S):
            return
        # Nobody runs it any more.
        row = self._get(owner, request_id)
        if not is_over(row):
            self._history.finish(replace(row, status=Status.CANCELLED, finished_ms=self._clock.now_ms()))

    def _get(self, owner: str, request_id: str) -> Generation:
        generation = self._history.get(owner, request_id)
        if generation is None:
            raise NotFound("There is no generation with this id in your history. It may have been deleted.")
        return generation
