"""From a caller's request to what would be sent: template, values, messages, model, provider, options, cache key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..access.caller import UNLIMITED, Allowance, Caller
from ..limits.rules import BUDGET_OUTPUT_TOKENS, accounts_of
from ..templates.model import Template
from ..templates.registry import TemplateRegistry
from .cache_key import cache_key, key_parts
from .model import GenerateRequest, ProviderCall
from .models import AllowedModels
from .ports import ManagedProvider, ProviderResolver


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """`deadline_s` limits a whole generation; `max_output_tokens` 0 = the provider's own.

    `everyone`: the limits of all callers together.
    """

    deadline_s: float = 120.0
    max_output_tokens: int = 0
    share_cache: bool = False
    everyone: Allowance = UNLIMITED


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A validated and rendered request, before anything is paid for.

    It holds its template, so a generation keeps the revision that it began with.
    """

    request: GenerateRequest
    caller: Caller
    template: Template
    provider: ManagedProvider
    call: ProviderCall
    cache_key: str


class RequestPreparer:
    """Calls no model."""

    def __init__(
        self,
        templates: TemplateRegistry,
        models: AllowedModels,
        providers: ProviderResolver,
        settings: GenerationSettings,
    ) -> None:
        self._templates = templates
        self._models = models
        self._providers = providers
        self._settings = settings

    def prepare(self, request: GenerateRequest, caller: Caller) -> PreparedRequest:
        """Raises an `InputError` that names the invalid fields."""
        template = self._templates.current.get(request.template_id)
        messages = template.render(request.input, request.parameters)
        model = self._models.of(caller).choose(request.model, template)
        provider = self._providers.resolve(model)
        call = ProviderCall(model, messages, self._options(template, caller), template.output_format)
        key = cache_key(call, provider=provider.identity, scope=self._scope(caller))
        return PreparedRequest(request, caller, template, provider, call, key)

    def key_parts(self, prepared: PreparedRequest) -> dict[str, Any]:
        """The parts of the cache key."""
        return key_parts(prepared.call, provider=prepared.provider.identity, scope=self._scope(prepared.caller))

    def _scope(self, caller: Caller) -> str:
        return "*" if self._settings.share_cache else caller.owner

    def _options(self, template: Template, caller: Caller) -> Mapping[str, Any]:
        options = dict(template.options)
        if bound := self._settings.max_output_tokens or self._budget_bound(caller):
            options.setdefault("max_output_tokens", bound)
        return options

    def _budget_bound(self, caller: Caller) -> int:
        """A budget reserves an answer's maximum cost, so the answer needs a limit."""
        has_budget = any(account.has_budget for account in accounts_of(caller, self._settings.everyone))
        return BUDGET_OUTPUT_TOKENS if has_budget else 0
