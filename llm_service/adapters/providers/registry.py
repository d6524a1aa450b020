"""The providers of this process, by model."""

from collections.abc import Mapping

from llm_service.core.generation.model import UpstreamState
from llm_service.core.generation.ports import Candidate

from .circuit_breaker import worst
from .retry import ResilientProvider


class ProviderRegistry:
    """Satisfies `ProviderResolver`. The default provider answers models that are not in `by_model`."""

    def __init__(self, default: ResilientProvider, by_model: Mapping[str, ResilientProvider] | None = None) -> None:
        self._default = default
        self._by_model = dict(by_model or {})
        self._all = tuple(dict.fromkeys((default, *self._by_model.values())))

    def resolve(self, model: str) -> Candidate:
        return Candidate(model, self._by_model.get(model, self._default), sent_as=model)

    def state(self) -> UpstreamState:
        return UpstreamState(
            in_flight=sum(provider.bulkhead.in_use for provider in self._all),
            slots=sum(provider.bulkhead.size for provider in self._all),
            circuit=worst([provider.circuit for provider in self._all]),
            retries_last_minute=sum(provider.budget.taken for provider in self._all),
        )

    def health_error(self) -> str | None:
        return next((error for provider in self._all if (error := provider.health_error())), None)

    @property
    def warmed(self) -> bool:
        return all(provider.warmed for provider in self._all)

    def warm(self) -> None:
        for provider in self._all:
            provider.warm()

    def close(self) -> None:
        for provider in self._all:
            provider.close()
