"""What a process does now and then, whoever calls."""

from collections.abc import Callable
from contextlib import suppress

from llm_service.adapters.runtime.background import Ticker
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.idempotency import LIFETIME_MS
from llm_service.bootstrap.settings import Settings
from llm_service.core.errors import StorageError
from llm_service.core.generation.in_flight import InFlightRegistry
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import Reporter
from llm_service.core.history.ports import HistoryStore
from llm_service.core.limits.ports import LimitStore

# Between a generation's deadline and the moment when its row is surely nobody's any more.
INTERRUPT_MARGIN_S = 10
TICK_S = 0.5
SWEEP_S = 20
PRUNE_S = 600
REPLAY_S = 2
DAY_S = 24 * 3600


def schedule_housekeeping(
    ticker: Ticker,
    settings: Settings,
    runs: InFlightRegistry,
    store: HistoryStore,
    limits: LimitStore,
    outcomes: OutcomeRecorder,
    clock: SystemClock,
    reporter: Reporter,
) -> None:
    """What a process does now and then, whoever calls."""

    def replay() -> None:
        # A database that is still out of reach is no news.
        try:
            with suppress(StorageError):
                outcomes.replay()
        except OSError as error:
            # Nor does a file that cannot be read keep the service from starting.
            reporter.unexpected_error(error)

    def sweep() -> None:
        now_ms = clock.now_ms()
        store.interrupt_older_than(now_ms - round((settings.deadline_s + INTERRUPT_MARGIN_S) * 1000), now_ms)
        # Where the history has no row of what a dead process held.
        limits.expire(now_ms)

    # First what was paid for: the sweep takes it for interrupted.
    replay()
    sweep()
    ticker.every(TICK_S, runs.tick)
    ticker.every(REPLAY_S, replay)
    ticker.every(SWEEP_S, sweep)
    ticker.every(PRUNE_S, lambda: limits.prune(clock.now_ms()))
    ticker.every(PRUNE_S, lambda: store.prune_keys(clock.now_ms() - LIFETIME_MS))
    ticker.every(PRUNE_S, lambda: store.prune(prune_before_ms(settings, clock.now_ms())))


def prune_before_ms(settings: Settings, now_ms: int) -> int:
    """What began before is kept no longer."""
    return now_ms - settings.history_days * DAY_S * 1000


def skip_if_storage_down(work: Callable[[], None]) -> Callable[[], None]:
    """What can as well be done the next time: that the database is away is told by those who need it now."""

    def quietly() -> None:
        with suppress(StorageError):
            work()

    return quietly
