"""The generations of this process, and its upstream calls."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from ..clock import Clock
from ..errors import Cancelled, Ended, ShuttingDown, StorageError
from ..wake_ups import ANY, NoWakeUps, Topic, WakeUps
from .call_context import CallContext
from .in_flight import InFlightGeneration
from .model import Generation, Status
from .outcomes import PATIENCE_S, Outcome
from .ports import Presence, RemoteControl, Reporter, SharedCall, Spawn

# A call that is still there this long after its deadline hangs in a read.
OVERDUE_S = 1.0
# How often `tick` checks whether another process cancelled a generation of this one.
REMOTE_CHECK_S = 1.0
# How many generations are ended at the same time, so that their outcomes share transactions.
END_TOGETHER = 100
# How long an outcome waits for the store when the process stops: many may end together, and one that is killed spools nothing.
STOPPING_PATIENCE_S = 0.5
# How long `drain` waits for outcomes that are being stored already.
STORING_S = 3.0
# Longer than an outcome waits for a store that is locked.
END_S = 30.0
# Of how many generations that ended last it is still known that they were here.
REMEMBERED = 1000


class InFlightRegistry:
    """Keeps the generations of this process and its upstream calls. Call `tick` about twice a second."""

    def __init__(
        self,
        clock: Clock,
        spawn: Spawn,
        reporter: Reporter,
        remote: RemoteControl | None,
        presence: Presence,
        *,
        abandon_grace_s: float | None,
        wake_ups: WakeUps | None = None,
        remote_check_s: float = REMOTE_CHECK_S,
    ) -> None:
        """`abandon_grace_s` None = a generation whose callers left continues.

        `remote` None = no other process can cancel generations of this one. `wake_ups` None = none tells that it did.
        """
        self._clock = clock
        self._spawn = spawn
        self._reporter = reporter
        self._remote = remote
        self._presence = presence
        self._abandon_grace_s = abandon_grace_s
        self._generations: dict[str, InFlightGeneration] = {}
        self._calls: dict[str, tuple[SharedCall, CallContext]] = {}
        # Calls whose bills are not complete, or not stored.
        self._unbilled: set[str] = set()
        self._interrupt_at: float | None = None
        # For all that are interrupted: hundreds that wait one after the other would wait too long.
        self._stops_at: float | None = None
        self._remote_check_s = remote_check_s
        self._remote_checked_at = clock.monotonic()
        # Those that somebody in another process waits for, and those for whom the question may come too late.
        self._watched: set[str] = set()
        self._ended: deque[str] = deque(maxlen=REMEMBERED)
        self._wake_ups = wake_ups or NoWakeUps()
        self._wake_ups.on(Topic.WATCH, self._watch)

    def __len__(self) -> int:
        return len(self._generations)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._generations

    @property
    def closing(self) -> bool:
        return self._interrupt_at is not None

    @property
    def closed(self) -> bool:
        """Whether a new generation would be interrupted at once."""
        return self._interrupt_at is not None and self._clock.monotonic() >= self._interrupt_at

    @property
    def stops_at(self) -> float | None:
        """If the process stops soon: until when an outcome that ends now may wait for the store (monotonic)."""
        if self._stops_at is None and self._interrupt_at is not None:
            now = self._clock.monotonic()
            return now + STOPPING_PATIENCE_S if self._interrupt_at - now < PATIENCE_S else None
        return self._stops_at

    @property
    def awaits_bills(self) -> bool:
        """Whether a call may still change what is stored of its cost."""
        return bool(self._unbilled)

    def announce(self, request_id: str) -> None:
        """Before its row is stored: else another process could take it for that of a dead one. Raises `StorageError`.

        `remove` or `withdraw` ends it.
        """
        self._presence.begin(request_id)

    def withdraw(self, request_id: str) -> None:
        """Its row was not stored."""
        self._presence.end(request_id)

    def add(self, generation: InFlightGeneration) -> None:
        self._generations[generation.request_id] = generation

    def remove(self, generation: InFlightGeneration) -> None:
        request_id = generation.request_id
        self._generations.pop(request_id, None)
        self._presence.end(request_id)
        # In this order: `_watch` looks for it in the opposite one.
        self._ended.append(request_id)
        if request_id in self._watched:
            self._watched.discard(request_id)
            self._wake_ups.send(Topic.ENDED, request_id)

    def add_call(self, call: SharedCall, context: CallContext) -> None:
        self._calls[call.call_id] = (call, context)
        self._unbilled.add(call.call_id)

    def billed(self, call: SharedCall) -> None:
        """The bill of the call is stored, or spooled."""
        self._unbilled.discard(call.call_id)

    def remove_call(self, call: SharedCall) -> None:
        self._calls.pop(call.call_id, None)

    def stop_unless_shared(self, call: SharedCall) -> None:
        found = self._calls.get(call.call_id)
        if found is not None and not call.members:
            found[1].stop()

    def get(self, owner: str, request_id: str) -> InFlightGeneration | None:
        found = self._generations.get(request_id)
        return found if found is not None and found.generation.owner == owner else None

    def find(self, request_id: str) -> InFlightGeneration | None:
        """Of any owner."""
        return self._generations.get(request_id)

    def of_owner(self, owner: str) -> list[InFlightGeneration]:
        return [found for found in tuple(self._generations.values()) if found.generation.owner == owner]

    def cancel(self, generation: InFlightGeneration) -> Generation | None:
        """End it with the text so far; returns when that is stored. The call continues if others share it.

        None: it had ended, or is about to. Raises `StorageError` if it ended but could not be stored.
        """
        error = Cancelled("The generation was cancelled before its answer was complete.")
        return self._end_early(generation, Status.CANCELLED, error)

    def shut_down(self, interrupt_at: float) -> None:
        """Interrupt the running generations at `interrupt_at` (monotonic), and accept no new ones from then on.

        Until then they may still come, on connections that were open before: a proxy keeps some, and does not send the
        request again where this service refuses it.
        """
        self._interrupt_at = interrupt_at

    def drain(self) -> None:
        """Wait for running generations until the time given to `shut_down` (if none: now), and interrupt the rest.

        Then wait, for `STORING_S` at most, until their outcomes are in the store or in the spool.
        """
        if self._interrupt_at is None:
            self._interrupt_at = self._clock.monotonic()
        # A call without a generation here goes on for those of other processes.
        while (self._generations or self._calls) and self._clock.monotonic() < self._interrupt_at:
            self._clock.sleep(0.05)
        self.interrupt_all()
        until = self._clock.monotonic() + STORING_S
        while self._generations and self._clock.monotonic() < until:
            self._clock.sleep(0.05)

    def interrupt_all(self) -> None:
        """Their outcomes have one time together to be stored, and then are spooled. Who shares their calls in other
        processes takes these over.
        """
        if self._stops_at is None:
            self._stops_at = self._clock.monotonic() + STOPPING_PATIENCE_S
        error = ShuttingDown("The service was stopped before the answer was complete.", retry_after_s=5)
        outcome = Outcome(Status.INTERRUPTED, error=error, early=True)
        self._together(partial(generation.finish, outcome) for generation in tuple(self._generations.values()))
        for call, context in tuple(self._calls.values()):
            call.give_up()
            context.stop()

    def tick(self) -> None:
        """End generations that are abandoned, overdue, or cancelled in another process."""
        now = self._clock.monotonic()
        for call, context in tuple(self._calls.values()):
            if not call.members or now > context.deadline + OVERDUE_S:
                context.stop()
        if self._interrupt_at is not None and now >= self._interrupt_at:
            self.interrupt_all()
        # After what must not wait: storing these may take as long as the database is locked.
        generations = tuple(self._generations.values())
        self._together(partial(self.cancel, each) for each in generations if self._abandoned(each, now))
        if self._remote and self._generations and now - self._remote_checked_at >= self._remote_check_s:
            self._remote_checked_at = now
            self._guarded(partial(self._cancel_what_was_cancelled_elsewhere, self._remote))

    def check_remote(self, request_id: str = ANY) -> bool:
        """Another process may have cancelled a generation: let the next `tick` look, and return whether it must."""
        must = bool(self._generations) if request_id == ANY else request_id in self._generations
        if must:
            self._remote_checked_at = -math.inf
        return must

    def _watch(self, request_id: str) -> None:
        self._watched.add(request_id)
        if request_id in self._generations:
            return
        if request_id in self._ended:
            self._wake_ups.send(Topic.ENDED, request_id)
        self._watched.discard(request_id)

    def _abandoned(self, generation: InFlightGeneration, now: float) -> bool:
        gone_for_s = generation.subscribers.gone_for_s(now)
        if generation.traits.detached or self._abandon_grace_s is None or gone_for_s is None:
            return False
        return gone_for_s >= self._abandon_grace_s

    def _cancel_what_was_cancelled_elsewhere(self, remote: RemoteControl) -> None:
        """Cancel generations whose rows another process cancelled or deleted.

        One that was given up continues: this process stood still and looked dead. Its outcome corrects the row.
        """
        here = dict(self._generations)
        try:
            gone = here.keys() - remote.running_ids()
            if gone:
                gone -= remote.interrupted_among(gone)
        except StorageError:
            return  # asked again in a second; readiness tells of it
        self._together(partial(self.cancel, here[request_id]) for request_id in gone)

    def _end_early(self, generation: InFlightGeneration, status: Status, error: Ended) -> Generation | None:
        ended = generation.finish(Outcome(status, error=error, early=True))
        if ended is None:
            generation.wait_finished(OVERDUE_S)
            return None
        if isinstance(generation.result, StorageError):
            raise generation.result
        return ended

    def _together(self, functions: Iterable[Callable[[], object]]) -> None:
        """Call them at the same time, and return when all have ended. One after the other, each would wait for the disk."""
        waiting, lock, ended = deque(functions), threading.Lock(), threading.Event()
        at_work = min(len(waiting), END_TOGETHER)

        def work() -> None:
            nonlocal at_work
            try:
                with suppress(IndexError):  # another took the last one
                    while True:
                        self._guarded(waiting.popleft())
            finally:
                with lock:
                    at_work -= 1
                    if not at_work:
                        ended.set()

        for _ in range(at_work - 1):
            self._spawn(work)
        if at_work:
            work()
            self._clock.wait(ended, END_S)

    def _guarded(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception as error:
            self._reporter.unexpected_error(error)
