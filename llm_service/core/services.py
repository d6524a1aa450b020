"""What the edges may use, as one value. `bootstrap.build.build_services` makes it; tests make their own."""

from collections.abc import Callable
from dataclasses import dataclass

from .access.failed_logins import FailedLoginThrottle
from .access.keyring import Keyring
from .access.sessions import Sessions
from .clock import Clock
from .generation.models import AllowedModels
from .generation.ports import Cache, ProviderResolver
from .generation.preview import PreviewService
from .generation.registry import InFlightRegistry
from .generation.running import RunningGenerations
from .generation.service import GenerationService
from .history.ports import StorageHealth
from .history.service import HistoryService
from .limits.limiter import Limiter
from .templates.model import TemplateSet
from .templates.registry import TemplateRegistry
from .usage.ports import Prices
from .usage.reports import UsageReports


@dataclass(frozen=True)
class Services:
    """`warm` pays what the first call to a model would pay; call it in the background, as imports hold everything up.

    `shut_down` announces the end: nothing new begins, and what runs has the grace to finish. It returns at once.

    `close` waits for that, interrupts the rest, and ends what was opened; without an announcement there is no grace.
    """

    template_registry: TemplateRegistry
    models: AllowedModels
    generation: GenerationService
    preview: PreviewService
    history: HistoryService
    usage: UsageReports
    limiter: Limiter
    running: RunningGenerations
    in_flight: InFlightRegistry
    storage: StorageHealth
    cache: Cache
    keyring: Keyring
    sessions: Sessions
    failed_logins: FailedLoginThrottle
    providers: ProviderResolver
    prices: Prices
    clock: Clock
    warm: Callable[[], None]
    shut_down: Callable[[], None]
    close: Callable[[], None]

    @property
    def templates(self) -> TemplateSet:
        """The set in use; it may be another one at the next look."""
        return self.template_registry.current
