"""Periodic work of each process."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from llm_service.adapters.providers.registry import ProviderRegistry
from llm_service.adapters.runtime.background import Ticker
from llm_service.adapters.sql.database import Space
from llm_service.core.access.failed_logins import FailedLoginThrottle
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.sessions import Sessions
from llm_service.core.clock import Clock
from llm_service.core.errors import StorageError
from llm_service.core.generation.orphans import Orphans
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import IdempotencyStore, Reporter
from llm_service.core.generation.recent import Recent
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.history.ports import Retention
from llm_service.core.limits.ports import LimitStore
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.wake_ups import Topic, WakeUps

if TYPE_CHECKING:
    from llm_service.adapters.redis.client import RedisClient

# After a generation's deadline plus this, no process can still run it.
INTERRUPT_MARGIN_S = 10
TICK_S = 0.5
PRUNE_S = 600
EXPIRE_S = 10
REPLAY_S = 2
# Edited prompt files, and an edited providers file, are used within two seconds, even on a busy machine.
FILES_S = 0.5
# A cache is empty everywhere within a second, and a key's last use is known to the minute.
CACHE_POLL_S = 0.8
KEY_USES_S = 20
SPACE_S = 5
# A stream ends within four seconds after its key: a silent one looks every two seconds.
KEY_WATCH_S = 2
DAY_S = 24 * 3600


class PolledCache(Protocol):
    def poll(self) -> None:
        """Do what other processes left to do. Raises `StorageError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    templates: TemplateRegistry
    providers: ProviderRegistry
    registry: InFlightRegistry
    recorder: OutcomeRecorder
    idempotency: IdempotencyStore
    retention: Retention
    orphans: Orphans
    limits: LimitStore
    cache: PolledCache
    redis: "RedisClient | None"
    recent: Sequence[Recent[Any]]
    keyring: Keyring
    sessions: Sessions
    failed_logins: FailedLoginThrottle
    space: Space
    clock: Clock
    reporter: Reporter
    history_days: int
    wake_ups: WakeUps

    def start(self, ticker: Ticker, *, alone: bool, sweep_s: float) -> None:
        """`alone`: no other process runs generations. A database that is locked now holds up the first round at most.

        `sweep_s`: how often those of dead processes are looked for.
        """
        skip_if_storage_down(partial(self._catch_up, alone))()
        tick = ticker.every(TICK_S, self.registry.tick)
        ticker.every(REPLAY_S, self.replay)
        ticker.every(sweep_s, skip_if_storage_down(self.orphans.sweep))
        for prune in (self.limits.prune, self.idempotency.prune, self._prune_history):
            ticker.every(PRUNE_S, partial(self._at_now, prune))
        refresh_templates = ticker.every(FILES_S, partial(self._refresh, self.templates.refresh, Topic.TEMPLATES))
        refresh_providers = ticker.every(FILES_S, partial(self._refresh, self.providers.refresh, Topic.PROVIDERS))
        if self.redis is not None:
            ticker.every(TICK_S, self.redis.tick)
        poll_cache = ticker.every(CACHE_POLL_S, skip_if_storage_down(self.cache.poll))
        for recent in self.recent:
            ticker.every(EXPIRE_S, recent.expire)
        ticker.every(KEY_USES_S, skip_if_storage_down(self.keyring.save_last_used))
        ticker.every(SPACE_S, self.space.look)
        look_at_keys = ticker.every(KEY_WATCH_S, skip_if_storage_down(self.keyring.watches.look))
        ticker.every(PRUNE_S, skip_if_storage_down(self.sessions.prune))
        ticker.every(PRUNE_S, skip_if_storage_down(self.failed_logins.prune))
        self._hear(Topic.TEMPLATES, refresh_templates)
        self._hear(Topic.PROVIDERS, refresh_providers)
        self._hear(Topic.CACHE, poll_cache)
        self._hear(Topic.KEYS, look_at_keys)
        self._hear(Topic.CANCEL, tick, self.registry.check_remote)

    def _hear(self, topic: Topic, look: Callable[[], None], matters: Callable[[str], bool] = lambda _: True) -> None:
        """Look at once after a message, if it matters to this process."""

        def heard(about: str) -> None:
            if matters(about):
                look()

        self.wake_ups.on(topic, heard)

    def _refresh(self, refresh: Callable[[], bool], topic: Topic) -> None:
        """The first process that sees changed files tells the others."""
        if refresh():
            self.wake_ups.send(topic)

    def replay(self) -> None:
        """Store the spooled outcomes."""
        skip_if_storage_down(self._replay)()

    def _catch_up(self, alone: bool) -> None:
        # Spooled outcomes first: the sweep would mark them as interrupted.
        self._replay()
        if alone:
            self.orphans.end_all()
        else:
            self.orphans.sweep()

    def _replay(self) -> None:
        try:
            self.recorder.replay()
        except OSError as error:
            # An unreadable file must not keep the service from starting.
            self.reporter.unexpected_error(error)

    def _at_now(self, prune: Callable[[int], object]) -> None:
        prune(self.clock.now_ms())

    def _prune_history(self, now_ms: int) -> None:
        self.retention.prune(prune_before_ms(self.history_days, now_ms))


def prune_before_ms(history_days: int, now_ms: int) -> int:
    """Generations that began earlier are deleted."""
    return now_ms - history_days * DAY_S * 1000


def skip_if_storage_down(work: Callable[[], None]) -> Callable[[], None]:
    """For work that can wait until the next time. Requests that need the database report that it is down."""

    def quietly() -> None:
        with suppress(StorageError):
            work()

    return quietly
