"""The providers of this process, by model.

They are replaced together when the providers file changes. A call that is in progress keeps the provider with which it
began; the connections of replaced providers are closed, and those in use when their calls end.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_service.core.errors import UnknownModel
from llm_service.core.file_faults import FileFault, FileFaults
from llm_service.core.generation.model import ProviderState, UpstreamState
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.ports import Candidate

from .circuit_breaker import worst
from .configured.config import Connection
from .prices import ModelPrices, ProviderPrices
from .retry import ResilientProvider


@dataclass(frozen=True, slots=True)
class Managed:
    """A provider and what it was made of. `models`: the names at the provider by those in requests."""

    connection: Connection
    provider: ResilientProvider
    models: Mapping[str, str]

    def health_error(self) -> str | None:
        names = {sent_as: name for name, sent_as in reversed([*self.models.items()])}
        return self.provider.health_error(names)


@dataclass(frozen=True, slots=True)
class ProviderSet:
    """The providers that belong together. `prices`: by provider. `candidates`: by every name that a request may use.

    `any_model`: the provider of all other models; None = there are no others.
    """

    providers: tuple[Managed, ...]
    prices: Mapping[str, ProviderPrices]
    models: AllowedModels
    candidates: Mapping[str, Candidate]
    any_model: ResilientProvider | None = None

    def resolve(self, model: str) -> Candidate:
        """Raises `UnknownModel`."""
        found = self.candidates.get(model)
        if found is not None:
            return found
        if self.any_model is None:
            raise UnknownModel(model, self.models.listed)
        return Candidate(model, self.any_model, sent_as=model)


class ProviderSource(Protocol):
    """Where provider sets come from."""

    def changed(self) -> bool:
        """Whether anything has changed since the last `load`."""
        ...

    def load(self, current: ProviderSet) -> ProviderSet:
        """The set as it is now. Providers that did not change are those of `current`. Raises `FileFaults`."""
        ...

    def save_last_good(self) -> None:
        """Save what was loaded for processes that start later. Raises `OSError`."""
        ...


class ProviderReporter(Protocol):
    """Is notified of changes."""

    def providers_changed(self, names: Sequence[str]) -> None: ...

    def providers_refused(self, faults: Sequence[FileFault]) -> None: ...

    def providers_not_kept(self, error: OSError) -> None: ...


class ProviderRegistry:
    """Satisfies `ProviderResolver` and `ModelSource`.

    `faults` are the errors of the file as it is now; empty = the providers match the file.
    """

    def __init__(
        self,
        first: ProviderSet,
        prices: ModelPrices,
        source: ProviderSource | None = None,
        reporter: ProviderReporter | None = None,
        faults: Sequence[FileFault] = (),
    ) -> None:
        """`prices` get those of the providers. `source` None = the providers never change.

        `faults`: why `first` is not what the file says.
        """
        self._set = first
        self._prices = prices
        prices.set_providers(first.prices)
        self._source = source
        self._reporter = reporter
        self._replaced: list[ResilientProvider] = []
        self._lock = threading.Lock()
        self.faults = tuple(faults)

    @property
    def current(self) -> AllowedModels:
        return self._set.models

    def resolve(self, model: str) -> Candidate:
        return self._set.resolve(model)

    def refresh(self) -> bool:
        """Load changed files; whether there were any. Must be called about once a second."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        self._replaced = [provider for provider in self._replaced if provider.bulkhead.in_use]
        if self._source is None or self._reporter is None or not self._source.changed():
            return False
        try:
            loaded = self._source.load(self._set)
            self._replace(loaded)
        except FileFaults as error:
            self.faults = error.faults
            self._reporter.providers_refused(error.faults)
            return True
        except Exception as error:  # a bug: the good providers stay, and readiness must not hide it
            kind = type(error).__name__
            self.faults = (
                FileFault("the providers file", None, f"cannot be used because of an internal error ({kind})"),
            )
            raise
        self.faults = ()
        self._reporter.providers_changed([managed.provider.name for managed in loaded.providers])
        try:
            self._source.save_last_good()
        except OSError as error:
            self._reporter.providers_not_kept(error)
        return True

    def state(self) -> UpstreamState:
        """Calls of replaced providers count, too, until they end."""
        providers = self._all()
        return UpstreamState(
            in_flight=sum(provider.bulkhead.in_use for provider in (*providers, *self._replaced)),
            slots=sum(provider.bulkhead.size for provider in providers),
            circuit=worst([provider.circuit for provider in providers]),
            retries_last_minute=sum(provider.budget.taken for provider in providers),
        )

    def states(self) -> Sequence[ProviderState]:
        return [_state_of(managed) for managed in self._set.providers]

    def health_error(self) -> str | None:
        """With its name where there are several."""
        providers = self._set.providers
        errors = [(managed.provider.name, error) for managed in providers if (error := managed.health_error())]
        if self._set.any_model is not None:
            return errors[0][1] if errors else None
        told = [*(fault.shown for fault in self.faults), *(f"{name}: {error}" for name, error in errors)]
        return "; ".join(told).replace(".; ", "; ") or None

    @property
    def warmed(self) -> bool:
        return all(provider.warmed for provider in self._all())

    def warm(self) -> None:
        for provider in self._all():
            provider.warm()

    def close(self) -> None:
        for provider in self._all():
            provider.close()

    def _all(self) -> tuple[ResilientProvider, ...]:
        return tuple(managed.provider for managed in self._set.providers)

    def _replace(self, loaded: ProviderSet) -> None:
        before, now = self._all(), {managed.provider for managed in loaded.providers}
        for provider in now.difference(before):
            provider.warm()  # the service stays ready
        self._prices.set_providers(loaded.prices)
        self._set = loaded
        for provider in before:
            if provider not in now:
                self._replaced.append(provider)
                provider.close()


def _state_of(managed: Managed) -> ProviderState:
    provider = managed.provider
    circuits = provider.circuits()
    return ProviderState(
        name=provider.name,
        kind=managed.connection.kind,
        models=tuple(managed.models),
        upstream=UpstreamState(
            in_flight=provider.bulkhead.in_use,
            slots=provider.bulkhead.size,
            circuit=provider.circuit,
            retries_last_minute=provider.budget.taken,
        ),
        circuits={name: circuits[sent_as] for name, sent_as in managed.models.items() if sent_as in circuits},
        health_error=managed.health_error(),
    )
