"""The main job: template -> typed values -> prompts -> cache -> provider -> history.

There is one path. `stream` yields what happens; `run` is that stream, drained. A generation is stored as `running`
before the provider is called and with its outcome before the last event leaves, so that whatever was answered is
in the history.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .allowed_models import AllowedModels
from .cache_key import cache_key
from .errors import ServiceError, UnknownModel, UpstreamModelUnknown
from .model import (
    CachedAnswer,
    CacheMode,
    Delta,
    Done,
    GenerateRequest,
    Generation,
    ProviderCall,
    Status,
    Usage,
    snippet_of,
)  # fmt: skip
from .ports import Cache, Clock, HistoryStore, Provider
from .templates import Template, TemplateSet

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s` is the wall clock of a whole generation; `max_output_tokens` 0 = the provider's own."""

    deadline_s: float = 120.0
    max_output_tokens: int = 0
    share_cache: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked and rendered request: all that is known before anything is paid."""

    request: GenerateRequest
    owner: str
    template: Template
    call: ProviderCall
    cache_key: str


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a stream."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream. `timings_ms` says where the time went, by name."""

    generation: Generation
    timings_ms: Mapping[str, float]
    stored_in_cache: bool = False


GenerateEvent = Started | Delta | Finished


class Generate:
    """Built once per process and used by every request; holds no state of its own."""

    def __init__(
        self,
        *,
        templates: TemplateSet,
        models: AllowedModels,
        provider: Provider,
        cache: Cache,
        history: HistoryStore,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._templates = templates
        self._models = models
        self._provider = provider
        self._cache = cache
        self._history = history
        self._clock = clock
        self._limits = limits

    def prepare(self, request: GenerateRequest, owner: str) -> Prepared:
        """Check and render, call no model.

        Raises `InputError`s that name what is wrong.
        """
        template = self._templates.get(request.template_id)
        prompts = template.render(request.input, request.parameters)
        call = ProviderCall(self._models.choose(request.model, template), prompts, self._options(template))
        scope = "*" if self._limits.share_cache else owner
        key = cache_key(call, provider=self._provider.identity, scope=scope)
        return Prepared(request, owner, template, call, key)

    def run(self, request: GenerateRequest, owner: str, request_id: str) -> Finished:
        """The whole answer at once.

        Raises `ServiceError`.
        """
        for event in self.stream(request, owner, request_id):
            if isinstance(event, Finished):
                return event
        raise AssertionError("a stream ends with Finished or an error")

    def stream(self, request: GenerateRequest, owner: str, request_id: str) -> Generator[GenerateEvent, None, None]:
        """Yield `Started`, `Delta`s and `Finished`. `request_id` is new and becomes the generation's id.

        Raises `ServiceError`; nothing was called or stored if it comes before `Started`.
        """
        watch = _Stopwatch(self._clock)
        prepared = self.prepare(request, owner)
        watch.lap("render")
        answer = self._cache.get(prepared.cache_key) if request.cache_mode is CacheMode.DEFAULT else None
        watch.lap("cache")
        if answer is None:
            yield from self._fresh(prepared, request_id, watch)
        else:
            yield from self._replay(prepared, request_id, answer, watch)

    def _options(self, template: Template) -> dict[str, Any]:
        options = dict(template.options)
        if self._limits.max_output_tokens:
            options.setdefault("max_output_tokens", self._limits.max_output_tokens)
        return options

    def _replay(
        self, prepared: Prepared, request_id: str, answer: CachedAnswer, watch: "_Stopwatch"
    ) -> Generator[GenerateEvent, None, None]:
        """Serve a stored answer. It costs nothing; its token counts are those of the answer."""
        # The same prompts can come from other values: then the history keeps what was typed this time.
        same = (answer.input, answer.parameters) == (prepared.request.input, prepared.request.parameters)
        generation = self._begin(
            prepared,
            request_id,
            answer_id=answer.answer_id if same else request_id,
            status=Status.COMPLETED,
            cached=True,
            output=answer.output,
            usage=answer.usage,
            cost_usd=NOTHING,
            latency_ms=round(watch.total_ms()),
            finished_ms=self._clock.now_ms(),
        )
        self._history.record_hit(generation)
        watch.lap("store")
        yield Started(generation)
        yield Delta(answer.output)
        yield Finished(generation, watch.laps_ms)

    def _fresh(self, prepared: Prepared, request_id: str, watch: "_Stopwatch") -> Generator[GenerateEvent, None, None]:
        running = self._begin(prepared, request_id, status=Status.RUNNING, attempts=1)
        self._history.start(running)
        watch.lap("store")
        yield Started(running)
        received: list[str] = []
        try:
            done = yield from self._relay(prepared.call, received)
        except UpstreamModelUnknown as error:
            blamed = UnknownModel(running.model, ()) if prepared.request.model else error
            self._record_failure(running, blamed, "", watch)
            raise blamed from error
        except Exception as error:
            self._record_failure(running, error, "".join(received), watch)
            raise
        watch.lap("upstream")
        generation = self._end(
            running,
            watch,
            status=done.status,
            output=done.text,
            usage=done.usage,
            incomplete_reason=done.incomplete_reason,
            upstream_request_id=done.upstream_request_id,
        )
        kept = self._history.finish(generation)
        stored = kept and self._remember(prepared, generation)
        watch.lap("store")
        yield Finished(generation, watch.laps_ms, stored_in_cache=stored)

    def _relay(self, call: ProviderCall, received: list[str]) -> Generator[GenerateEvent, None, Done]:
        """Pass the provider's deltas on; what came so far stands in `received` whatever happens."""
        deadline = self._clock.monotonic() + self._limits.deadline_s
        events = self._provider.stream(call, deadline)
        try:
            for event in events:
                if isinstance(event, Done):
                    return event
                received.append(event.text)
                yield event
        finally:
            events.close()
        raise AssertionError("a provider ends with Done or an error")

    def _begin(self, prepared: Prepared, request_id: str, **known: Any) -> Generation:
        """The generation of a prepared request; `known` is what is known of its outcome already."""
        outcome: dict[str, Any] = {
            "answer_id": request_id,
            "cached": False,
            "usage": Usage(),
            "cost_usd": None,
            "saved_usd": None,
            "latency_ms": None,
        }
        return Generation(
            request_id=request_id,
            owner=prepared.owner,
            template_id=prepared.template.template_id,
            template_revision=prepared.template.revision,
            model=prepared.call.model,
            provider=self._provider.name,
            snippet=snippet_of(prepared.request.input),
            created_ms=self._clock.now_ms(),
            input=prepared.request.input,
            parameters=prepared.request.parameters,
            prompts=prepared.call.prompts,
            cache_key=prepared.cache_key,
            **{**outcome, **known},
        )

    def _end(self, running: Generation, watch: "_Stopwatch", **outcome: Any) -> Generation:
        return replace(running, latency_ms=round(watch.total_ms()), finished_ms=self._clock.now_ms(), **outcome)

    def _record_failure(self, running: Generation, error: Exception, partial: str, watch: "_Stopwatch") -> None:
        code = error.code if isinstance(error, ServiceError) else ServiceError.code
        self._history.finish(self._end(running, watch, status=Status.FAILED, error=code, output=partial or None))

    def _remember(self, prepared: Prepared, generation: Generation) -> bool:
        """Only complete answers are used again."""
        if generation.status is not Status.COMPLETED or prepared.request.cache_mode is CacheMode.NO_STORE:
            return False
        assert generation.output is not None
        answer = CachedAnswer(
            owner=generation.owner,
            answer_id=generation.answer_id,
            input=generation.input,
            parameters=generation.parameters,
            output=generation.output,
            model=generation.model,
            usage=generation.usage,
        )
        self._cache.put(prepared.cache_key, answer)
        return True


class _Stopwatch:
    """Milliseconds since the start, and per named lap (a name used twice adds up)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._last = clock.monotonic()
        self.laps_ms: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._clock.monotonic()
        self.laps_ms[name] = self.laps_ms.get(name, 0.0) + (now - self._last) * 1000
        self._last = now

    def total_ms(self) -> float:
        return (self._clock.monotonic() - self._start) * 1000
