"""From what a caller asks to what would be sent: template, values, messages, model, options, cache key."""

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


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """`deadline_s` is the wall clock of a whole generation; `max_output_tokens` 0 = the provider's own.

    `can_repeat`: answers are kept, so that an idempotency key can stand for one. `everyone`: what all callers together may.
    """

    deadline_s: float = 120.0
    max_output_tokens: int = 0
    share_cache: bool = False
    can_repeat: bool = True
    everyone: Allowance = UNLIMITED


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A checked and rendered request: all that is known before anything is paid.

    It holds its template, so that a generation keeps the revision that it began with.
    """

    request: GenerateRequest
    caller: Caller
    template: Template
    call: ProviderCall
    cache_key: str


class RequestPreparer:
    """Calls no model. `provider` is the identity that cache keys name."""

    def __init__(
        self, library: TemplateRegistry, models: AllowedModels, provider: str, limits: GenerationSettings
    ) -> None:
        self._library = library
        self._models = models
        self._provider = provider
        self._limits = limits

    def __call__(self, request: GenerateRequest, caller: Caller) -> PreparedRequest:
        """Raises `InputError`s that name what is wrong."""
        template = self._library.current.get(request.template_id)
        prompts = template.render(request.input, request.parameters)
        model = self._models.of(caller).choose(request.model, template)
        call = ProviderCall(model, prompts, self._options(template, caller), template.output_format)
        key = cache_key(call, provider=self._provider, scope=self._scope(caller))
        return PreparedRequest(request, caller, template, call, key)

    def key_parts(self, prepared: PreparedRequest) -> dict[str, Any]:
        """What the cache key is the hash of."""
        return key_parts(prepared.call, provider=self._provider, scope=self._scope(prepared.caller))

    def _scope(self, caller: Caller) -> str:
        return "*" if self._limits.share_cache else caller.owner

    def _options(self, template: Template, caller: Caller) -> Mapping[str, Any]:
        options = dict(template.options)
        if bound := self._limits.max_output_tokens or self._budget_bound(caller):
            options.setdefault("max_output_tokens", bound)
        return options

    def _budget_bound(self, caller: Caller) -> int:
        """A budget reserves the most that an answer can cost, so that something must bound the answer."""
        budgeted = any(account.has_budget for account in accounts_of(caller, self._limits.everyone))
        return BUDGET_OUTPUT_TOKENS if budgeted else 0
