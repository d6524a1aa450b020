"""What the edges may use, as one value. `wiring.build_services` makes it; tests make their own."""

from collections.abc import Callable
from dataclasses import dataclass

from .allowed_models import AllowedModels
from .generate import Generate
from .history import History
from .ports import Cache, Clock, HistoryStore, Provider
from .templates import TemplateSet


@dataclass(frozen=True)
class Services:
    """`close` ends what was opened, once, when the process goes."""

    templates: TemplateSet
    models: AllowedModels
    generate: Generate
    history: History
    store: HistoryStore
    cache: Cache
    provider: Provider
    clock: Clock
    close: Callable[[], None]
