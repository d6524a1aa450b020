"""The shapes of the API, as marshmallow schemas: they check requests and document both ways."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.limits.status import LimitKind

from ..exports import EXPORT_FORMATS

UUID_EXAMPLE = "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
MAX_PARAMETERS = 64
# Of `core.history`: opaque to callers, but not to those who check documents.
CURSOR = "^[bn][0-9]{1,18}$"
# A day or a time, as `web.filters` reads them.
MOMENT = [{"format": "date"}, {"format": "date-time"}]
STATES = ["running", "completed", "incomplete", "failed", "cancelled", "interrupted"]


def meta(description: str, example: Any = None, **more: Any) -> dict[str, Any]:
    """The documentation of a field."""
    return {"description": description, **({} if example is None else {"examples": [example]}), **more}


class StrictString(fields.String):
    """A string and nothing that could be turned into one."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        return value


class StrictBoolean(fields.Boolean):
    """true or false, not "yes" or 1."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class QueryInteger(fields.Integer):
    """Plain digits: Python's `int` would take ` 1`, `+1`, `1_0` and the digits of every script."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return int(value)


def _few(parameters: dict[str, Any]) -> None:
    """As `validate.Length`, which would be documented as the length of a text."""
    if len(parameters) > MAX_PARAMETERS:
        raise ma.ValidationError(f"must have at most {MAX_PARAMETERS} entries")


class FieldErrorSchema(ma.Schema):
    class Meta:
        title = "FieldError"

    field = fields.String(required=True, metadata=meta("Path of the field at fault.", "parameters.tone"))
    message = fields.String(required=True, metadata=meta("What is allowed.", "must be one of: neutral, simple"))


class LimitSchema(ma.Schema):
    """How a limit stands. Amounts are decimals in strings: generations, calls, tokens or US dollars."""

    class Meta:
        title = "Limit"

    limit = fields.String(
        required=True,
        validate=validate.OneOf([kind.value for kind in LimitKind]),
        metadata=meta("What is limited; `concurrent-calls` are calls to a model under way at once.", "tokens-per-day"),
    )
    applies_to = fields.String(
        required=True,
        validate=validate.OneOf(["you", "everyone"]),
        metadata=meta("`you`: your key. `everyone`: all callers of the service together.", "you"),
    )
    most = fields.String(required=True, metadata=meta("The limit.", "100000"))
    used = fields.String(required=True, metadata=meta("Used within the minute or the day.", "48210"))
    reserved = fields.String(required=True, metadata=meta("The most that calls under way can come to.", "4180"))
    left = fields.String(required=True, metadata=meta("What is free.", "47610"))
    resets_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata=meta("When some of it is free again: a day begins at 00:00 UTC. null = when a call ends."),
    )


class LimitListSchema(ma.Schema):
    items = fields.List(fields.Nested(LimitSchema), required=True)


class ProblemSchema(ma.Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(required=True, metadata=meta("Page that explains the error.", "/problems/invalid-input"))
    title = fields.String(required=True, metadata=meta("The error in a few words."))
    status = fields.Integer(required=True, metadata=meta("The HTTP status.", 422))
    detail = fields.String(required=True, metadata=meta("What happened this time."))
    instance = fields.String(required=True, metadata=meta("The path that was asked.", "/api/v1/generate"))
    error = fields.String(required=True, metadata=meta("Stable code of the error.", "invalid-input"))
    request_id = fields.String(required=True, metadata=meta("Finds the request in the log.", UUID_EXAMPLE))
    errors = fields.List(fields.Nested(FieldErrorSchema), metadata=meta("The fields at fault, where there are any."))
    limit = fields.Nested(
        LimitSchema, metadata=meta("The limit that refused, of `rate-limited` and `budget-exhausted`.")
    )


class HealthSchema(ma.Schema):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]), metadata=meta("Always `ok`."))
    service = fields.String(required=True, metadata=meta("The service's name.", "LLM API Service"))
    env = fields.String(required=True, validate=validate.OneOf(["dev", "prod"]), metadata=meta("The environment."))


class ChecksSchema(ma.Schema):
    database = fields.String(required=True, metadata=meta("`ok`, or what is wrong.", "ok"))
    cache = fields.String(required=True, metadata=meta("`ok`, or what is wrong.", "ok"))
    templates = fields.String(required=True, metadata=meta("`ok`, or what is wrong.", "ok"))
    provider = fields.String(required=True, metadata=meta("`ok`, `warming up`, or what is wrong.", "ok"))


class ReadySchema(ma.Schema):
    status = fields.String(
        required=True,
        validate=validate.OneOf(["ready", "degraded", "not-ready"]),
        metadata=meta("`degraded` still answers; `not-ready` comes with status 503."),
    )
    checks = fields.Nested(ChecksSchema, required=True)


class CacheSchema(ma.Schema):
    backend = fields.String(required=True, metadata=meta("Where answers are cached.", "memory"))
    entries = fields.Integer(required=True, metadata=meta("Cached answers now."))
    max_entries = fields.Integer(required=True, metadata=meta("Bound; 0 = nothing is cached.", 10000))
    hits = fields.Integer(required=True, metadata=meta("Lookups answered, since this process started."))
    misses = fields.Integer(required=True, metadata=meta("Lookups not answered, since this process started."))
    coalesced = fields.Integer(
        required=True, metadata=meta("Requests that shared another's call, since this process started.")
    )


class UpstreamSchema(ma.Schema):
    in_flight = fields.Integer(required=True, metadata=meta("Calls to the provider under way."))
    slots = fields.Integer(required=True, metadata=meta("How many there may be.", 500))
    circuit = fields.String(
        required=True,
        validate=validate.OneOf(["closed", "open", "half-open"]),
        metadata=meta("`open`: the provider failed too often and is left alone for a moment.", "closed"),
    )
    retries_last_minute = fields.Integer(required=True, metadata=meta("Calls that were made again."))


class StatusSchema(ma.Schema):
    service = fields.String(required=True, metadata=meta("The service's name.", "LLM API Service"))
    env = fields.String(required=True, metadata=meta("The environment.", "dev"))
    version = fields.String(required=True, metadata=meta("The program's version.", "0.1.0"))
    model = fields.String(required=True, metadata=meta("The default model; `echo` = no model is asked.", "gpt-4o-mini"))
    models = fields.List(fields.String(), required=True, metadata=meta("What `model` may be in a request."))
    provider = fields.String(required=True, metadata=meta("`openai`, or `echo`, which is no model.", "openai"))
    templates = fields.List(fields.String(), required=True, metadata=meta("Ids of the templates."))
    template_faults = fields.List(
        fields.String(),
        required=True,
        metadata=meta(
            "What is wrong with the prompt files as they are now, with file and line; while there is anything, the last "
            "good templates stay in use."
        ),
    )
    cache_size = fields.Integer(required=True, metadata=meta("Cached answers now, as `cache.entries`."))
    cache = fields.Nested(CacheSchema, required=True)
    running = fields.Integer(required=True, metadata=meta("Generations under way in this process."))
    upstream = fields.Nested(UpstreamSchema, required=True)
    uptime_s = fields.Float(required=True, metadata=meta("Seconds since this process started.", 12.5))


class PreviewRequestSchema(ma.Schema):
    input = StrictString(
        required=True,
        validate=validate.Length(min=1),
        metadata=meta("The main text, within the template's own bound (5,000 characters where it sets none).", "Hello"),
    )
    parameters = fields.Dict(
        keys=StrictString(),
        load_default=dict,
        validate=_few,
        metadata=meta(
            "The template's other inputs, by name; see `inputs` of the template.",
            {"tone": "simple"},
            maxProperties=MAX_PARAMETERS,
        ),
    )
    model = StrictString(
        load_default=None,
        validate=validate.Length(1, 200),
        metadata=meta("A model of the service's list; left out = the template's, or the default.", "gpt-4o-mini"),
    )


class TemplateRequestSchema(PreviewRequestSchema):
    stream = StrictBoolean(
        load_default=False,
        metadata=meta("Whether the answer comes as server-sent events.", False),
    )


class GenerateRequestSchema(TemplateRequestSchema):
    template_id = StrictString(
        required=True,
        validate=validate.Length(3, 64),
        metadata=meta("A template's id, or its name without `_v<number>` for the highest version.", "basic_chat_v1"),
    )


class GenerationSchema(ma.Schema):
    """An answer. Token counts are those of the answer; on a cache hit nothing was paid for them this time."""

    request_id = fields.String(required=True, metadata=meta("UUIDv7; the id in the history.", UUID_EXAMPLE))
    template_id = fields.String(required=True, metadata=meta("The template that was used.", "basic_chat_v1"))
    template_revision = fields.String(required=True, metadata=meta("Content hash of the template.", "dfa412d7757c"))
    model = fields.String(required=True, metadata=meta("The model that was asked.", "gpt-4o-mini"))
    status = fields.String(
        required=True, validate=validate.OneOf(STATES), metadata=meta("`completed` or `incomplete` in an answer.")
    )
    incomplete_reason = fields.String(
        required=True,
        allow_none=True,
        metadata=meta("Why an incomplete answer ended: `max_output_tokens`, `content_filter`, `refusal`, ..."),
    )
    cached = fields.Boolean(required=True, metadata=meta("Whether the cache answered."))
    output = fields.String(required=True, allow_none=True, metadata=meta("The model's text; null where none came."))
    output_json = fields.Dict(
        allow_none=True,
        metadata=meta(
            "The output as JSON, checked; only where the template declares outputs, and null where it is incomplete."
        ),
    )
    system_prompt = fields.String(required=True, metadata=meta("The rendered system message; empty = none was sent."))
    user_prompt = fields.String(required=True, metadata=meta("The rendered user message."))
    input_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Tokens of the prompts, provider-cached ones included.", 34)
    )
    output_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Tokens of the answer, reasoning included.", 58)
    )
    total_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("As the provider sums them.", 92))
    cached_input_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Part of `input_tokens` that the provider had cached.", 0)
    )
    reasoning_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Part of `output_tokens` spent on reasoning.", 0)
    )
    cost_usd = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            'What this request cost, in US dollars, failed attempts included; "0" on a cache hit or a shared call, null = '
            "unknown.",
            "0",
        ),
    )
    saved_usd = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            'What a cache hit or a shared call did not cost, in US dollars; "0" where the model was asked, null = unknown.'
        ),
    )
    latency_ms = fields.Integer(
        required=True, allow_none=True, metadata=meta("From the request's start to its end; null while it runs.", 912)
    )
    created_at = fields.DateTime(
        required=True, metadata=meta("When the request came, UTC.", "2026-11-23T20:15:00.123Z")
    )


class KeyPartsSchema(ma.Schema):
    """All that an answer depends on: the cache key is the SHA-256 of it."""

    version = fields.Integer(required=True, metadata=meta("Raised when stored values change their meaning.", 1))
    provider = fields.String(required=True, metadata=meta("The provider with its address.", "openai:"))
    scope = fields.String(required=True, metadata=meta("Whom the answer is for; `*` = everyone.", "local"))
    model = fields.String(required=True, metadata=meta("The model.", "gpt-4o-mini"))
    system = fields.String(required=True, metadata=meta("The system message."))
    user = fields.String(required=True, metadata=meta("The user message."))
    options = fields.Dict(required=True, metadata=meta("Responses API options.", {"temperature": 0.2}))
    output = fields.Dict(
        required=True, allow_none=True, metadata=meta("Name and JSON Schema of the answer; null = plain text.")
    )


class PreviewSchema(ma.Schema):
    """What a request would send and could cost. Nothing was sent and nothing is stored."""

    template_id = fields.String(required=True, metadata=meta("The template that was used.", "basic_chat_v1"))
    revision = fields.String(required=True, metadata=meta("Content hash of the template.", "dfa412d7757c"))
    model = fields.String(required=True, metadata=meta("The model that would answer.", "gpt-4o-mini"))
    system_prompt = fields.String(required=True, metadata=meta("The rendered system message; empty = none."))
    user_prompt = fields.String(required=True, metadata=meta("The rendered user message."))
    cache_key = fields.String(required=True, metadata=meta("SHA-256 of `cache_key_parts`, in hex."))
    cache_key_parts = fields.Nested(KeyPartsSchema, required=True)
    would_hit = fields.Boolean(required=True, metadata=meta("Whether the cache would answer now."))
    estimated_input_tokens = fields.Integer(
        required=True,
        metadata=meta("An estimate from the length of the text; only the provider counts tokens.", 34),
    )
    max_output_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Bound of the answer; null = none is set.", 1000)
    )
    max_cost_usd = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            "The most that one call to the model can cost, in US dollars (a failed attempt that the provider bills comes on "
            "top); null where the price or a bound of the answer is not known.",
            "0.00065",
        ),
    )
    price_version = fields.String(
        required=True, allow_none=True, metadata=meta("The list that the price is from.", "genai-prices 0.2.3")
    )


class EventSchema(ma.Schema):
    """A server-sent event. `data` is JSON."""

    event = fields.String(
        required=True,
        validate=validate.OneOf(["start", "delta", "done", "error"]),
        metadata=meta("Exactly one `done` or `error` ends every stream."),
    )
    id = fields.String(required=True, metadata=meta("Code points of the answer delivered so far.", "17"))
    data = fields.String(
        required=True,
        metadata=meta(
            "`start`: `request_id`, `template_id`, `template_revision`, `model`, `cached`; `delta`: `text`; `done`: the "
            "body of a plain answer; `error`: a problem document.",
            '{"text": "Hello"}',
        ),
    )


class BilledSchema(ma.Schema):
    """What the provider bills for the request: failed attempts too, nothing for a hit or a shared call; null = unknown."""

    input_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("Input tokens.", 34))
    cached_input_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Provider-cached ones of them.", 0)
    )
    output_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("Output tokens.", 58))
    reasoning_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("Reasoning tokens of them.", 0))


class HistoryItemSchema(GenerationSchema):
    """An entry of the history, whole."""

    input = fields.String(
        required=True,
        allow_none=True,
        metadata=meta("The main text as it was sent. Null, as all other texts, where the service keeps none."),
    )
    parameters = fields.Dict(required=True, allow_none=True, metadata=meta("The parameters as they were sent."))
    system_prompt = fields.String(
        required=True, allow_none=True, metadata=meta("The rendered system message; empty = none was sent.")
    )
    user_prompt = fields.String(required=True, allow_none=True, metadata=meta("The rendered user message."))
    provider = fields.String(required=True, metadata=meta("`openai` or `echo`.", "openai"))
    error = fields.String(required=True, allow_none=True, metadata=meta("The problem's code, where it failed."))
    attempts = fields.Integer(required=True, metadata=meta("Calls made to the provider for it; 0 on a cache hit.", 1))
    billed = fields.Nested(BilledSchema, required=True)
    price_version = fields.String(
        required=True,
        allow_none=True,
        metadata=meta("The list that priced it; null = nothing was priced.", "genai-prices 0.2.3"),
    )
    cache_key = fields.String(required=True, metadata=meta("SHA-256 of all that was sent, in hex."))
    finished_at = fields.DateTime(
        required=True, allow_none=True, metadata=meta("When it ended, UTC; null while it runs.")
    )


class HistorySummarySchema(ma.Schema):
    """An entry of the history in a list: no texts beyond the first words of the input."""

    request_id = fields.String(required=True, metadata=meta("UUIDv7.", UUID_EXAMPLE))
    template_id = fields.String(required=True)
    template_revision = fields.String(required=True)
    model = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATES))
    cached = fields.Boolean(required=True)
    snippet = fields.String(required=True, metadata=meta("The first words of the input."))
    input_tokens = fields.Integer(required=True, allow_none=True)
    output_tokens = fields.Integer(required=True, allow_none=True)
    total_tokens = fields.Integer(required=True, allow_none=True)
    cost_usd = fields.String(required=True, allow_none=True, metadata=meta("US dollars; null = unknown."))
    saved_usd = fields.String(required=True, allow_none=True, metadata=meta("US dollars; null = unknown."))
    latency_ms = fields.Integer(required=True, allow_none=True, metadata=meta("Milliseconds."))
    created_at = fields.DateTime(required=True, metadata=meta("UTC.", "2026-11-23T20:15:00.123Z"))
    error = fields.String(required=True, allow_none=True, metadata=meta("The problem's code, where it failed."))
    match = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            "With `q`: the words around the place that was found; null without, and where it lies far inside."
        ),
    )


class HistoryPageSchema(ma.Schema):
    items = fields.List(fields.Nested(HistorySummarySchema), required=True, metadata=meta("Newest first."))
    next = fields.String(required=True, allow_none=True, metadata=meta("Cursor of the page with older entries."))
    prev = fields.String(required=True, allow_none=True, metadata=meta("Cursor of the page with newer entries."))


class FiltersSchema(ma.Schema):
    """Checked as one by `web.filters`, for pages and commands too."""

    q = fields.String(
        metadata=meta(
            'Searches inputs and outputs: words, all of which must be there, `"phrases in quotes"`, `prefix*` of at '
            "least three characters, and `-not`. Capitals and accents make no difference. At most 500 characters.",
            'report "net income" -draft',
        )
    )
    template_id = fields.String(metadata=meta("The whole id of a template.", "basic_chat_v1"))
    model = fields.String(metadata=meta("The model that was asked.", "gpt-4o-mini"))
    status = fields.String(validate=validate.OneOf(STATES), metadata=meta("The state."))
    cached = fields.String(
        validate=validate.OneOf(["true", "false"]),
        metadata=meta("Whether the cache answered.", type="boolean", enum=[True, False]),
    )
    since = fields.String(
        validate=validate.Length(min=1),
        metadata=meta(
            "The first moment: RFC 3339, or a day, which means its beginning in UTC.", "2026-11-01", anyOf=MOMENT
        ),
    )
    until = fields.String(
        validate=validate.Length(min=1),
        metadata=meta("The first moment that is not meant any more.", "2026-12-01T00:00:00Z", anyOf=MOMENT),
    )


class OwnerSchema(ma.Schema):
    owner = fields.String(
        load_default=None,
        validate=validate.Length(1, 64),
        metadata=meta("Whose; left out = your own. Another owner's needs the scope `admin`.", "ci"),
    )


class HistoryQuerySchema(FiltersSchema, OwnerSchema):
    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(CURSOR, error="must be the next or prev of a page"),
        metadata=meta("A page's `next` or `prev`."),
    )
    limit = QueryInteger(load_default=50, validate=validate.Range(1, 200), metadata=meta("Entries on a page.", 50))


class ExportQuerySchema(FiltersSchema, OwnerSchema):
    format = fields.String(
        load_default="json", validate=validate.OneOf(list(EXPORT_FORMATS)), metadata=meta("Format of the export.")
    )


class ExportSchema(ma.Schema):
    exported_at = fields.DateTime(required=True, metadata=meta("UTC."))
    items = fields.List(fields.Nested(HistoryItemSchema), required=True, metadata=meta("Newest first."))


class ClearedSchema(ma.Schema):
    cleared = fields.Integer(required=True, metadata=meta("Answers that the process that answers has forgotten.", 12))


class DeletedSchema(ma.Schema):
    deleted = fields.Integer(required=True, metadata=meta("How many entries were deleted.", 12))


class UsageQuerySchema(OwnerSchema):
    group_by = fields.String(
        load_default="day",
        validate=validate.OneOf(["day", "template", "revision", "model", "owner"]),
        metadata=meta("What the items are."),
    )
    since = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "A date or a time (RFC 3339, UTC for a date); goes back to the full hour.", "2026-11-01", anyOf=MOMENT
        ),
    )
    until = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "A date or a time, not included; goes on to the next full hour.", "2026-12-01T00:00:00Z", anyOf=MOMENT
        ),
    )


class UsageSumsSchema(ma.Schema):
    """Sums over requests."""

    requests = fields.Integer(required=True, metadata=meta("All of them, cache hits too; running ones not yet.", 120))
    hits = fields.Integer(required=True, metadata=meta("Answered by the cache.", 30))
    joined = fields.Integer(required=True, metadata=meta("Shared the call of another request.", 2))
    completed = fields.Integer(required=True, metadata=meta("Whole answers, cache hits among them.", 117))
    incomplete = fields.Integer(required=True, metadata=meta("Answers that the model cut or refused.", 1))
    failed = fields.Integer(required=True, metadata=meta("Ended with an error.", 1))
    cancelled = fields.Integer(required=True, metadata=meta("Stopped, or left by their callers.", 1))
    interrupted = fields.Integer(required=True, metadata=meta("Cut off when the service stopped.", 0))
    input_tokens = fields.Integer(
        required=True, metadata=meta("Billed input tokens, provider-cached ones included.", 40200)
    )
    cached_input_tokens = fields.Integer(
        required=True, metadata=meta("Part of `input_tokens` that the provider had cached.", 8000)
    )
    output_tokens = fields.Integer(required=True, metadata=meta("Billed output tokens, reasoning included.", 10050))
    reasoning_tokens = fields.Integer(required=True, metadata=meta("Part of `output_tokens` spent on reasoning.", 2000))
    saved_input_tokens = fields.Integer(
        required=True, metadata=meta("Input tokens that a cache hit or a shared call did not need.", 14300)
    )
    saved_output_tokens = fields.Integer(required=True, metadata=meta("Output tokens likewise.", 3800))
    unknown_usage = fields.Integer(
        required=True, metadata=meta("Requests whose tokens, and so their money, are not known or not whole.", 1)
    )
    unknown_price = fields.Integer(
        required=True, metadata=meta("Requests whose tokens are known, and whose model has no price.", 0)
    )
    cost_usd = fields.String(required=True, metadata=meta("What the known ones cost, in US dollars.", "0.01206"))
    saved_usd = fields.String(required=True, metadata=meta("What the known ones saved, in US dollars.", "0.004425"))
    latency_p50_ms = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta(
            "Half of the answers that a model gave (cache hits left out) came within this time, to about a tenth; null = "
            "there were none.",
            912,
        ),
    )
    latency_p95_ms = fields.Integer(required=True, allow_none=True, metadata=meta("Nineteen of twenty likewise.", 4100))


class UsageItemSchema(UsageSumsSchema):
    """Sums with what they are about: `day`, `template_id`, `template_id` and `template_revision`, `model` or `owner`."""

    day = fields.Date(metadata=meta("A day in UTC; days without requests are left out.", "2026-11-24"))
    template_id = fields.String(metadata=meta("A template, of `template` and `revision`.", "basic_chat_v1"))
    template_revision = fields.String(metadata=meta("Its content's hash, of `revision`.", "dfa412d7757c"))
    model = fields.String(metadata=meta("The model that was asked.", "gpt-4o-mini"))
    owner = fields.String(metadata=meta("Whose requests they were.", "local"))


class UsageSchema(ma.Schema):
    group_by = fields.String(required=True, metadata=meta("As asked for.", "day"))
    since = fields.DateTime(
        required=True, allow_none=True, metadata=meta("The full hour that was taken; null = the first there is.")
    )
    until = fields.DateTime(required=True, allow_none=True, metadata=meta("Likewise, not included; null = now."))
    time_zone = fields.String(required=True, validate=validate.OneOf(["UTC"]), metadata=meta("Always `UTC`."))
    items = fields.List(
        fields.Nested(UsageItemSchema), required=True, metadata=meta("Days in order; of others the most used first.")
    )
    total = fields.Nested(UsageSumsSchema, required=True)


GENERATE_EXAMPLE = {"template_id": "basic_chat_v1", "input": "Say hello", "parameters": {"tone": "simple"}}
GENERATION_EXAMPLE = {
    "request_id": UUID_EXAMPLE,
    "template_id": "basic_chat_v1",
    "template_revision": "dfa412d7757c",
    "model": "gpt-4o-mini",
    "status": "completed",
    "incomplete_reason": None,
    "cached": False,
    "output": "Hello!",
    "system_prompt": "You are a helpful assistant. Answer in a simple tone.",
    "user_prompt": "Say hello",
    "input_tokens": 24,
    "output_tokens": 2,
    "total_tokens": 26,
    "cached_input_tokens": 0,
    "reasoning_tokens": 0,
    "cost_usd": "0.0000048",
    "saved_usd": "0",
    "latency_ms": 412,
    "created_at": "2026-11-23T20:15:00.123Z",
}


class GenerateHelpSchema(ma.Schema):
    message = fields.String(required=True, metadata=meta("How to call it."))
    example = fields.Nested(GenerateRequestSchema, required=True, metadata=meta("A body that works."))


class TemplateSummarySchema(ma.Schema):
    id = fields.String(required=True, metadata=meta("The template's id.", "basic_chat_v1"))
    name = fields.String(required=True, metadata=meta("For people.", "Basic chat"))
    description = fields.String(required=True, metadata=meta("What it does."))
    revision = fields.String(
        required=True, metadata=meta("First 12 hex digits of its content's SHA-256.", "dfa412d7757c")
    )
    model = fields.String(required=True, metadata=meta("The model that answers unless the request names one."))
    inputs = fields.Dict(required=True, metadata=meta("JSON Schema of `input` and `parameters` as one flat object."))
    outputs = fields.Dict(
        required=True, allow_none=True, metadata=meta("JSON Schema of `output_json`; null = the answer is plain text.")
    )


class TemplateSchema(TemplateSummarySchema):
    source = fields.String(required=True, metadata=meta("The prompt file's text."))


class TemplateListSchema(ma.Schema):
    items = fields.List(fields.Nested(TemplateSummarySchema), required=True)
