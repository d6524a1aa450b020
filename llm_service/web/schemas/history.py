"""The history: entries, pages of them, filters and exports."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.model import Generation, GenerationSummary

from .base import MOMENT, STATUSES, UUID_EXAMPLE, OwnerSchema, QueryInteger, meta, money, rfc3339
from .generation import GenerationSchema, generation_json

# Media types by name of the format.
EXPORT_FORMATS = {"json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv"}
# Of `core.history`: opaque to callers, but not to those who check documents.
CURSOR = "^[bn][0-9]{1,18}$"
TEXTS = ("input", "parameters", "system_prompt", "user_prompt", "output")


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
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
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
    status = fields.String(validate=validate.OneOf(STATUSES), metadata=meta("The state."))
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


class DeletedSchema(ma.Schema):
    deleted = fields.Integer(required=True, metadata=meta("How many entries were deleted.", 12))


def history_item_json(generation: Generation) -> dict[str, Any]:
    """An entry of the history, whole: the answer and what was asked; its texts null where none are kept."""
    entry = {
        **generation_json(generation),
        "input": generation.input,
        "parameters": dict(generation.parameters),
        "provider": generation.provider,
        "error": generation.error,
        "attempts": generation.attempts,
        "billed": {
            "input_tokens": generation.billed.input_tokens,
            "cached_input_tokens": generation.billed.cached_input_tokens,
            "output_tokens": generation.billed.output_tokens,
            "reasoning_tokens": generation.billed.reasoning_tokens,
        },
        "price_version": generation.price_version,
        "cache_key": generation.cache_key,
        "finished_at": None if generation.finished_ms is None else rfc3339(generation.finished_ms),
    }
    return entry if generation.has_texts else {**entry, **dict.fromkeys(TEXTS)}


def history_summary_json(summary: GenerationSummary) -> dict[str, Any]:
    """An entry of a history page."""
    usage = summary.usage
    return {
        "request_id": summary.request_id,
        "template_id": summary.template_id,
        "template_revision": summary.template_revision,
        "model": summary.model,
        "status": summary.status.value,
        "cached": summary.cached,
        "snippet": summary.snippet,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": money(summary.cost_usd),
        "saved_usd": money(summary.saved_usd),
        "latency_ms": summary.latency_ms,
        "created_at": rfc3339(summary.created_ms),
        "error": summary.error,
        "match": summary.match,
    }
