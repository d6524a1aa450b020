"""Generate requests and their answers, plain or as events."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.model import Generation, Status
from llm_service.core.templates.options import OVERRIDABLE_OPTIONS
from llm_service.core.templates.outputs import load_strict_json
from llm_service.core.templates.properties import object_schema

from .base import STATUSES, UUID_EXAMPLE, StrictBoolean, StrictString, meta, money, rfc3339

MAX_PARAMETERS = 64
GENERATE_EXAMPLE = {"template_id": "basic_chat_v1", "input": "Say hello", "parameters": {"tone": "simple"}}
GENERATION_EXAMPLE: dict[str, Any] = {
    "request_id": UUID_EXAMPLE,
    "template_id": "basic_chat_v1",
    "template_revision": "dfa412d7757c",
    "model": "gpt-4o-mini",
    "provider": "openai",
    "fallbacks": [],
    "status": "completed",
    "incomplete_reason": None,
    "warnings": [],
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


def _check_count(parameters: dict[str, Any]) -> None:
    """Like `validate.Length`, which would be documented as the length of a string."""
    if len(parameters) > MAX_PARAMETERS:
        raise ma.ValidationError(f"must have at most {MAX_PARAMETERS} entries")


class PreviewRequestSchema(ma.Schema):
    input = StrictString(
        required=True,
        validate=validate.Length(min=1),
        metadata=meta(
            "The main text. Its maximum length is the template's (5,000 characters if it sets none).", "Hello"
        ),
    )
    parameters = fields.Dict(
        keys=StrictString(),
        load_default=dict,
        validate=_check_count,
        metadata=meta(
            "The template's other inputs by name; see the template's `inputs`.",
            {"tone": "simple"},
            maxProperties=MAX_PARAMETERS,
        ),
    )
    model = StrictString(
        load_default=None,
        validate=validate.Length(1, 200),
        metadata=meta("One of the service's models; omitted = the template's model, or the default.", "gpt-4o-mini"),
    )
    # No default: without options, a request's fingerprint is the same as before there were any.
    options = fields.Dict(
        keys=StrictString(),
        metadata=meta(
            "Options of the model for this request. Only those that the template allows (`metadata.overridable` of its file).",
            {"temperature": 0.2},
            **object_schema(tuple(OVERRIDABLE_OPTIONS.values())),
        ),
    )


class TemplateRequestSchema(PreviewRequestSchema):
    stream = StrictBoolean(
        load_default=False,
        metadata=meta("Whether to send the answer as server-sent events.", False),
    )


class GenerateRequestSchema(TemplateRequestSchema):
    template_id = StrictString(
        required=True,
        validate=validate.Length(3, 64),
        metadata=meta("A template's id, or its name without `_v<number>` for the highest version.", "basic_chat_v1"),
    )


class GenerateHelpSchema(ma.Schema):
    message = fields.String(required=True, metadata=meta("How to call the endpoint."))
    example = fields.Nested(GenerateRequestSchema, required=True, metadata=meta("A valid request body."))


class FallbackSchema(ma.Schema):
    """A model that was tried before, and failed."""

    model = fields.String(required=True, metadata=meta("The model.", "gpt-4o-mini"))
    provider = fields.String(required=True, metadata=meta("Its provider.", "openai"))
    error = fields.String(required=True, metadata=meta("The error code of its failure.", "upstream-unavailable"))


class WarningSchema(ma.Schema):
    """Something to know about an answer."""

    code = fields.String(
        required=True,
        metadata=meta(
            "`input-truncated`: the server counted far fewer input tokens than the text has, so it seems to have cut it.",
            "input-truncated",
        ),
    )
    message = fields.String(required=True, metadata=meta("What happened, in English."))


class GenerationSchema(ma.Schema):
    """An answer. Token counts are those of the answer; on a cache hit, this request did not pay for them."""

    request_id = fields.String(required=True, metadata=meta("UUIDv7; the entry's id in the history.", UUID_EXAMPLE))
    template_id = fields.String(required=True, metadata=meta("The template that was used.", "basic_chat_v1"))
    template_revision = fields.String(required=True, metadata=meta("Content hash of the template.", "dfa412d7757c"))
    model = fields.String(
        required=True,
        metadata=meta("The model that answered, which may be a fallback of the requested one.", "gpt-4o-mini"),
    )
    provider = fields.String(required=True, metadata=meta("The provider of that model.", "openai"))
    fallbacks = fields.List(
        fields.Nested(FallbackSchema),
        required=True,
        metadata=meta("The models that were tried before `model`, in order, and why they failed; usually empty."),
    )
    status = fields.String(
        required=True, validate=validate.OneOf(STATUSES), metadata=meta("`completed` or `incomplete` in an answer.")
    )
    incomplete_reason = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            "Why an incomplete answer ended: `max_output_tokens`, `content_filter`, `refusal`, `empty_output` (it has no text), ..."
        ),
    )
    warnings = fields.List(
        fields.Nested(WarningSchema),
        required=True,
        metadata=meta("What you should know about the answer. Answers with a warning are not cached."),
    )
    cached = fields.Boolean(required=True, metadata=meta("Whether the answer came from the cache."))
    output = fields.String(required=True, allow_none=True, metadata=meta("The model's text; null if there is none."))
    output_json = fields.Dict(
        allow_none=True,
        metadata=meta(
            "The output as validated JSON; null if it is incomplete. Only present if the template declares outputs."
        ),
    )
    system_prompt = fields.String(required=True, metadata=meta("The rendered system message; empty = not sent."))
    user_prompt = fields.String(required=True, metadata=meta("The rendered user message."))
    input_tokens = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta("Tokens of the prompts, including those that the provider had cached.", 34),
    )
    output_tokens = fields.Integer(
        required=True, allow_none=True, metadata=meta("Tokens of the answer, including reasoning.", 58)
    )
    total_tokens = fields.Integer(required=True, allow_none=True, metadata=meta("The provider's total.", 92))
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
            'Cost of this request in US dollars, including failed attempts; "0" for a cache hit or a shared call, null = '
            "unknown.",
            "0",
        ),
    )
    saved_usd = fields.String(
        required=True,
        allow_none=True,
        metadata=meta('US dollars saved by a cache hit or a shared call; "0" if the model was called, null = unknown.'),
    )
    latency_ms = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta("Milliseconds from the request's start to its end; null while it is running.", 912),
    )
    created_at = fields.DateTime(
        required=True, metadata=meta("When the request was received, UTC.", "2026-11-23T20:15:00.123Z")
    )


# A schema can describe the text, but not its events.
EVENT_STREAM = {
    "type": "string",
    "description": "Server-sent events. `event` is `start`, `delta`, and finally exactly one `done` or `error`. `id` is the number of "
    "code points of the answer sent so far. `data` is JSON on one line: for `start` `request_id`, `template_id`, "
    "`template_revision`, `model` (the one that is asked; `done` has the one that answered) and `cached`; for `delta` `text`; for `done` the body of a plain answer; for `error` a "
    "problem document.",
    "examples": ['event: delta\nid: 5\ndata: {"text": "Hello"}\n\n'],
}


def generation_json(generation: Generation) -> dict[str, Any]:
    """The body of a successful generate call."""
    usage = generation.usage
    return {
        "request_id": generation.request_id,
        "template_id": generation.template_id,
        "template_revision": generation.template_revision,
        "model": generation.model,
        "provider": generation.provider,
        "fallbacks": fallbacks_json(generation) if generation.fallbacks else [],
        "status": str(generation.status),
        "incomplete_reason": generation.incomplete_reason,
        "warnings": [{"code": warning.code, "message": warning.message} for warning in generation.warnings],
        "cached": generation.cached,
        "output": generation.output,
        **({"output_json": output_json(generation)} if generation.structured else {}),
        "system_prompt": generation.system_prompt,
        "user_prompt": generation.user_prompt,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": money(generation.cost_usd),
        "saved_usd": money(generation.saved_usd),
        "latency_ms": generation.latency_ms,
        "created_at": rfc3339(generation.created_ms),
    }


def fallbacks_json(generation: Generation) -> list[dict[str, str]]:
    return [{"model": tried.model, "provider": tried.provider, "error": tried.error} for tried in generation.fallbacks]


def output_json(generation: Generation) -> Any:
    """The output as a value; None if the template declares no outputs, or the answer is incomplete.

    A complete answer was validated before it was stored.
    """
    whole = generation.structured and generation.status is Status.COMPLETED and generation.output is not None
    return load_strict_json(generation.output or "") if whole else None
