"""Joins or cancels a generation by its id, in any process."""

from ..errors import NotFound
from ..wake_ups import NoWakeUps, Topic, WakeUps
from .model import Generation
from .outcomes import OutcomeRecorder
from .ports import GenerationStore, RemoteControl
from .registry import InFlightRegistry
from .subscriptions import Subscription, Subscriptions, is_over

# Longer than a process needs to notice that its generation was cancelled (`InFlightRegistry.tick`).
REMOTE_CANCEL_S = 4.0
_UNKNOWN = "There is no generation with this id in your history. It may have been deleted."


class RunningGenerations:
    """Holds no state. All methods raise `NotFound`, also for another owner's generation."""

    def __init__(
        self,
        registry: InFlightRegistry,
        store: GenerationStore,
        remote: RemoteControl | None,
        recorder: OutcomeRecorder,
        subscriptions: Subscriptions,
        wake_ups: WakeUps | None = None,
    ) -> None:
        """`remote` None = rows of other processes are not visible. `wake_ups` None = they notice only by looking."""
        self._wake_ups = wake_ups or NoWakeUps()
        self._registry = registry
        self._store = store
        self._remote = remote
        self._recorder = recorder
        self._subscriptions = subscriptions

    def subscribe(self, owner: str, request_id: str, after: int = 0) -> Subscription:
        """Subscribe from position `after`, in code points of the answer."""
        found = self._subscriptions.find(owner, request_id, after)
        if found is None:
            raise NotFound(_UNKNOWN)
        return found

    def cancel(self, owner: str, request_id: str) -> Generation:
        """Cancel it and return its final state; one that is over does not change."""
        in_flight = self._registry.get(owner, request_id)
        if in_flight is not None:
            if (ended := self._registry.cancel(in_flight)) is not None:
                return ended
        elif self._remote is not None and not is_over(self._get(owner, request_id)):
            self._cancel_remote(self._remote, owner, request_id)
        return self._get(owner, request_id)

    def cancel_all(self, owner: str) -> None:
        """Cancel those of this process. For others, delete the rows, and call `cancel_deleted`."""
        for in_flight in self._registry.of_owner(owner):
            self._registry.cancel(in_flight)

    def cancel_deleted(self) -> None:
        """Other processes are to look at once whether rows of theirs are gone. They end these."""
        self._wake_ups.send(Topic.CANCEL)

    def _cancel_remote(self, remote: RemoteControl, owner: str, request_id: str) -> None:
        subscription = self._subscriptions.polled(self._get(owner, request_id))
        try:
            remote.request_cancel(owner, request_id)
            self._wake_ups.send(Topic.CANCEL, request_id)
            if not subscription.poll(REMOTE_CANCEL_S):
                self._recorder.give_up(owner, request_id)
        finally:
            subscription.close()

    def _get(self, owner: str, request_id: str) -> Generation:
        generation = self._store.get(owner, request_id)
        if generation is None:
            raise NotFound(_UNKNOWN)
        return generation
