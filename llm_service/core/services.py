"""What the edges may use, as one value. `wiring.build_services` makes it; tests make their own."""

from collections.abc import Callable
from dataclasses import dataclass

from .allowed_models import AllowedModels
from .attempts import Attempts
from .clearing import CacheClearing
from .generate import Generate
from .history import History
from .keyring import Keyring
from .library import Library
from .limiter import Limiter
from .live import Live
from .model import UpstreamState
from .ports import Cache, Clock, HistoryStore, Prices, Provider
from .preview import Previews
from .runs import Runs
from .sessions import Sessions
from .templates import TemplateSet
from .usage import UsageReports


@dataclass(frozen=True)
class Services:
    """`warm` pays what the first call to a model would pay; call it in the background, as imports hold everything up.

    `shut_down` announces the end: nothing new begins, and what runs has the grace to finish. It returns at once.

    `close` waits for that, interrupts the rest, and ends what was opened; without an announcement there is no grace.
    """

    library: Library
    models: AllowedModels
    generate: Generate
    preview: Previews
    history: History
    usage: UsageReports
    limiter: Limiter
    live: Live
    runs: Runs
    store: HistoryStore
    cache: Cache
    clearing: CacheClearing
    keyring: Keyring
    sessions: Sessions
    attempts: Attempts
    provider: Provider
    prices: Prices
    clock: Clock
    upstream_state: Callable[[], UpstreamState]
    warm: Callable[[], None]
    shut_down: Callable[[], None]
    close: Callable[[], None]

    @property
    def templates(self) -> TemplateSet:
        """The set in use; it may be another one at the next look."""
        return self.library.current
