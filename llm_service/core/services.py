"""Everything that the web and the commands may use, as one value. `bootstrap.build.build_services` makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .access.failed_logins import FailedLoginThrottle
from .access.keyring import Keyring
from .access.sessions import Sessions
from .clock import Clock
from .generation.models import AllowedModels, ModelSource
from .generation.ports import Cache, ProviderResolver
from .generation.preview import PreviewService
from .generation.recent import Recent
from .generation.registry import InFlightRegistry
from .generation.running import RunningGenerations
from .generation.service import GenerationService
from .history.ports import StorageHealth
from .history.service import HistoryService
from .limits.limiter import Limiter
from .templates.model import TemplateSet
from .templates.registry import TemplateRegistry
from .templates.revisions import RevisionService
from .usage.ports import Prices
from .usage.reports import UsageReports

T = TypeVar("T")


class RunInThread(Protocol):
    """Runs a function that computes for a while, so that other requests are served meanwhile.

    The function knows nothing of the request, and must not log or take a lock. What it raises is raised here.
    """

    def __call__(self, function: Callable[[], T]) -> T: ...


@dataclass(frozen=True)
class Services:
    """`warm` does the slow imports of the first model call. Call it in the background, because imports block.

    `shut_down` announces the end and returns at once: no generation starts, and running ones have the grace to finish.

    `close` waits for them, interrupts the rest, and closes everything. Without `shut_down` there is no grace.
    """

    template_registry: TemplateRegistry
    revisions: RevisionService
    model_source: ModelSource
    generation: GenerationService
    preview: PreviewService
    recent_bodies: Recent[Any]
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
    in_thread: RunInThread
    warm: Callable[[], None]
    shut_down: Callable[[], None]
    close: Callable[[], None]

    @property
    def templates(self) -> TemplateSet:
        """The current set; it may change at any time."""
        return self.template_registry.current

    @property
    def models(self) -> AllowedModels:
        """The current list; it may change at any time."""
        return self.model_source.current
