"""The history: entries, pages of them, filters and exports."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.model import Generation, GenerationSummary
from llm_service.core.history.tags import MAX_TAG_CHARS, MAX_TAGS

from .base import (
    MOMENT,
    STATUSES,
    UUID_EXAMPLE,
    OwnerSchema,
    QueryInteger,
    StrictBoolean,
    StrictString,
    meta,
    money,
    rfc3339,
)
from .generation import GenerationSchema, generation_json

# Media types by name of the format.
EXPORT_FORMATS = {"json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv"}
# Opaque to callers; the pattern is for tools that validate requests against the OpenAPI document.
CURSOR = "^[bn][0-9]{1,18}$"
# Not empty, and without commas: what `core.history.tags` accepts.
TAG = r"^[^,]*[^,\s][^,]*$"
TEXTS = ("input", "parameters", "system_prompt", "user_prompt", "output")


class BilledSchema(ma.Schema):
    """What the provider bills for the request, including failed attempts; 0 for a cache hit or a shared call, null = unknown."""

    input_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("Input tokens.", 34))
    cached_input_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Part of them that the provider had cached.", 0)
    )
    output_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("Output tokens.", 58))
    reasoning_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Part of them spent on reasoning.", 0)
    )


class MarkedSchema(ma.Schema):
    """What the owner marked."""

    starred = fields.Boolean(required=True, metadata=meta("Whether the entry has a star.", False))
    tags = fields.List(fields.String(), required=True, metadata=meta("Its tags, in alphabetical order.", ["to check"]))


class HistoryItemSchema(GenerationSchema, MarkedSchema):
    """An entry of the history with its texts."""

    input = fields.String(
        required=True,
        allow_none=True,
        metadata=meta("The main text as sent. null if the service stores no texts; so are all other texts then."),
    )
    parameters = fields.Dict(required=True, allow_none=True, metadata=meta("The parameters as sent."))
    options = fields.Dict(
        required=True,
        metadata=meta("The model's options that the request set; empty = the template's.", {"temperature": 0.2}),
    )
    system_prompt = fields.String(
        required=True, allow_none=True, metadata=meta("The rendered system message; empty = not sent.")
    )
    user_prompt = fields.String(required=True, allow_none=True, metadata=meta("The rendered user message."))
    error = fields.String(required=True, allow_none=True, metadata=meta("The error code, if it failed."))
    attempts = fields.Integer(required=True, metadata=meta("Number of calls to the provider; 0 for a cache hit.", 1))
    billed = fields.Nested(BilledSchema, required=True)
    price_version = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            "The price list used, or `reported by the provider`; null = the cost is unknown.", "genai-prices 0.2.3"
        ),
    )
    cache_key = fields.String(required=True, metadata=meta("SHA-256 of everything sent, in hex."))
    finished_at = fields.DateTime(
        required=True, allow_none=True, metadata=meta("When it ended, UTC; null while it is running.")
    )


class HistorySummarySchema(MarkedSchema):
    """An entry of the history in a list, with only the first words of the input."""

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
    error = fields.String(required=True, allow_none=True, metadata=meta("The error code, if it failed."))
    match = fields.String(
        required=True,
        allow_none=True,
        metadata=meta("With `q`: the text around the match. null without `q`, and if the match is far into the text."),
    )


class MarksSchema(ma.Schema):
    """Omitted fields stay as they are."""

    starred = StrictBoolean(metadata=meta("Whether the entry has a star.", True))
    tags = fields.List(
        StrictString(
            validate=[
                validate.Length(1, MAX_TAG_CHARS),
                validate.Regexp(TAG, error="must not be empty, and must have no commas"),
            ]
        ),
        validate=validate.Length(max=MAX_TAGS),
        metadata=meta("All tags that the entry has from now on.", ["to check"]),
    )


class HistoryPageSchema(ma.Schema):
    items = fields.List(fields.Nested(HistorySummarySchema), required=True, metadata=meta("Newest first."))
    next = fields.String(required=True, allow_none=True, metadata=meta("Cursor of the next page (older entries)."))
    prev = fields.String(required=True, allow_none=True, metadata=meta("Cursor of the previous page (newer entries)."))


class FiltersSchema(ma.Schema):
    """Parsed by `web.filters`, which pages and commands use too."""

    q = fields.String(
        metadata=meta(
            'Searches inputs and outputs. Matches all words. Supports `"exact phrase"`, `prefix*` (at least three '
            "characters) and `-exclude`. Ignores case and accents. At most 500 characters.",
            'report "net income" -draft',
        )
    )
    template_id = fields.String(metadata=meta("The full id of a template.", "basic_chat_v1"))
    model = fields.String(metadata=meta("The model used.", "gpt-4o-mini"))
    status = fields.String(validate=validate.OneOf(STATUSES), metadata=meta("The status."))
    cached = fields.String(
        validate=validate.OneOf(["true", "false"]),
        metadata=meta("Whether the answer came from the cache.", type="boolean", enum=[True, False]),
    )
    since = fields.String(
        validate=validate.Length(min=1),
        metadata=meta(
            "Start, inclusive: a date (its start in UTC) or a time (RFC 3339; UTC if it has no offset).",
            "2026-11-01",
            anyOf=MOMENT,
        ),
    )
    until = fields.String(
        validate=validate.Length(min=1),
        metadata=meta("End, exclusive: a date or a time.", "2026-12-01T00:00:00Z", anyOf=MOMENT),
    )
    starred = fields.String(
        validate=validate.OneOf(["true", "false"]),
        metadata=meta("Whether the entry has a star.", type="boolean", enum=[True, False]),
    )
    tag = fields.String(metadata=meta("A tag that the entry has, exactly as it was set.", "to check"))


class HistoryQuerySchema(FiltersSchema, OwnerSchema):
    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(CURSOR, error="must be the next or prev value of a page"),
        metadata=meta("The `next` or `prev` value of a page."),
    )
    limit = QueryInteger(load_default=50, validate=validate.Range(1, 200), metadata=meta("Entries per page.", 50))


class ExportQuerySchema(FiltersSchema, OwnerSchema):
    format = fields.String(
        load_default="json", validate=validate.OneOf(list(EXPORT_FORMATS)), metadata=meta("The file format.")
    )
    bom = fields.String(
        load_default="0",
        validate=validate.OneOf(["0", "1"]),
        metadata=meta(
            "`1` begins a CSV with a byte order mark, without which Excel misreads all but ASCII. Ignored for other formats.",
            "1",
        ),
    )


class ExportSchema(ma.Schema):
    exported_at = fields.DateTime(required=True, metadata=meta("UTC."))
    items = fields.List(fields.Nested(HistoryItemSchema), required=True, metadata=meta("Newest first."))


class DeletedSchema(ma.Schema):
    deleted = fields.Integer(required=True, metadata=meta("Number of deleted entries.", 12))


def history_item_json(generation: Generation) -> dict[str, Any]:
    """An entry of the history with its texts, which are null if the service stores none."""
    entry = {
        **generation_json(generation),
        "input": generation.input,
        "parameters": dict(generation.parameters),
        "options": dict(generation.options),
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
        "starred": generation.starred,
        "tags": list(generation.tags),
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
        "starred": summary.starred,
        "tags": list(summary.tags),
    }
