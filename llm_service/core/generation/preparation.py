"""From a caller's request to what would be sent: template, values, messages, models, providers, options, cache keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..access.caller import UNLIMITED, Allowance, Caller
from ..clock import Clock
from ..limits.rules import BUDGET_OUTPUT_TOKENS, accounts_of
from ..templates.model import Template
from ..templates.options import check_options
from ..templates.registry import TemplateRegistry
from ..templates.revisions import RevisionService
from .cache_key import cache_key, key_parts
from .model import CacheMode, GenerateRequest, ProviderCall
from .models import ModelSource
from .ports import Candidate, ManagedProvider, ProviderResolver
from .recent import Recent


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
class PreparedCall:
    """What would be sent to one of the models that may answer."""

    candidate: Candidate
    call: ProviderCall
    cache_key: str

    @property
    def model(self) -> str:
        """Its name in rows and answers; `call.model` is its name at the provider."""
        return self.candidate.model

    @property
    def provider(self) -> ManagedProvider:
        return self.candidate.provider


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A validated and rendered request, before anything is paid for.

    It holds its template and its providers, so a generation keeps those that it began with. `candidates`: the models
    that may answer, in the order in which they are asked. Their messages and options are the same.
    """

    request: GenerateRequest
    caller: Caller
    template: Template
    candidates: tuple[PreparedCall, ...]

    @property
    def first(self) -> PreparedCall:
        return self.candidates[0]

    @property
    def call(self) -> ProviderCall:
        """What the first model would be sent."""
        return self.candidates[0].call

    @property
    def cache_key(self) -> str:
        """Of the first model's answer."""
        return self.candidates[0].cache_key

    @property
    def flight_key(self) -> str:
        """Identifies identical requests: to the same models in the same order."""
        return ">".join([each.cache_key for each in self.candidates])


class RequestPreparer:
    """Calls no model. Remembers recent calls and their cache keys."""

    def __init__(
        self,
        templates: TemplateRegistry,
        models: ModelSource,
        providers: ProviderResolver,
        settings: GenerationSettings,
        clock: Clock,
        revisions: RevisionService,
    ) -> None:
        self._templates = templates
        self._models = models
        self._providers = providers
        self._settings = settings
        self._revisions = revisions
        self.recent = Recent[tuple[PreparedCall, ...]](clock)

    def prepare(self, request: GenerateRequest, caller: Caller, *, remember: bool = True) -> PreparedRequest:
        """`remember`: the same request may follow.

        Raises an `InputError` that names the invalid fields.
        """
        template = self._templates.current.get(request.template_id)
        if request.revision is not None and request.revision != template.revision:
            old = self._revisions.template(template.template_id, request.revision)
            return PreparedRequest(request, caller, old, self._make_calls(request, caller, old, template))
        remember = remember and request.cache_mode is CacheMode.DEFAULT
        calls = (self._recent_calls if remember else self._make_calls)(request, caller, template)
        return PreparedRequest(request, caller, template, calls)

    def _recent_calls(self, request: GenerateRequest, caller: Caller, template: Template) -> tuple[PreparedCall, ...]:
        # The text of the parameters: as values, 1 and True and 1.0 are equal.
        parameters = repr(request.parameters)
        models = self._models.current.revision
        options = repr(request.options) if request.options else ""
        made_of = (
            template.template_id, template.revision, request.input, parameters, request.model, caller, models, options
        )  # fmt: skip
        found = self.recent.get(made_of)
        if found is None:
            found = self._make_calls(request, caller, template)
            self.recent.put(made_of, found, len(request.input) + len(parameters) + _chars(found[0].call))
        return found

    def _make_calls(
        self, request: GenerateRequest, caller: Caller, template: Template, current: Template | None = None
    ) -> tuple[PreparedCall, ...]:
        """What would be sent to each of the models, and its cache key.

        `current`: the template as it is now, if `template` is an old revision. It says which models and options are allowed.
        """
        allowed = (current or template).overridable
        given = check_options(allowed, request.options) if request.options else {}
        messages = template.render(request.input, request.parameters)
        options, scope = self._options(template, given, caller), self._scope(caller)
        models, asked = self._models.current.of(caller), request.model
        if current is not None and asked is None:
            asked = models.default_for(template)
        calls = []
        for model in models.choose(asked, current or template):
            candidate = self._providers.resolve(model)
            call = ProviderCall(candidate.sent_as, messages, options, template.output_format)
            key = cache_key(call, provider=candidate.provider.identity, scope=scope)
            calls.append(PreparedCall(candidate, call, key))
        return tuple(calls)

    def key_parts(self, prepared: PreparedRequest) -> dict[str, Any]:
        """The parts of the first model's cache key."""
        first = prepared.first
        return key_parts(first.call, provider=first.provider.identity, scope=self._scope(prepared.caller))

    def _scope(self, caller: Caller) -> str:
        return "*" if self._settings.share_cache else caller.owner

    def _options(self, template: Template, given: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        options = {**template.options, **given}
        if bound := self._settings.max_output_tokens or self._budget_bound(caller):
            options.setdefault("max_output_tokens", bound)
        return options

    def _budget_bound(self, caller: Caller) -> int:
        """A budget reserves an answer's maximum cost, so the answer needs a limit."""
        has_budget = any(account.has_budget for account in accounts_of(caller, self._settings.everyone))
        return BUDGET_OUTPUT_TOKENS if has_budget else 0


def _chars(call: ProviderCall) -> int:
    return sum(len(part.text) for message in call.messages for part in message.parts)
