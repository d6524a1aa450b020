"""Requests to generate, and their answers: whole or as events."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.model import Generation, Status
from llm_service.core.templates.outputs import load_strict_json

from .base import STATUSES, UUID_EXAMPLE, StrictBoolean, StrictString, meta, money, rfc3339

MAX_PARAMETERS = 64
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


def _few(parameters: dict[str, Any]) -> None:
    """As `validate.Length`, which would be documented as the length of a text."""
    if len(parameters) > MAX_PARAMETERS:
        raise ma.ValidationError(f"must have at most {MAX_PARAMETERS} entries")


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


class GenerateHelpSchema(ma.Schema):
    message = fields.String(required=True, metadata=meta("How to call it."))
    example = fields.Nested(GenerateRequestSchema, required=True, metadata=meta("A body that works."))


class GenerationSchema(ma.Schema):
    """An answer. Token counts are those of the answer; on a cache hit nothing was paid for them this time."""

    request_id = fields.String(required=True, metadata=meta("UUIDv7; the id in the history.", UUID_EXAMPLE))
    template_id = fields.String(required=True, metadata=meta("The template that was used.", "basic_chat_v1"))
    template_revision = fields.String(required=True, metadata=meta("Content hash of the template.", "dfa412d7757c"))
    model = fields.String(required=True, metadata=meta("The model that was asked.", "gpt-4o-mini"))
    status = fields.String(
        required=True, validate=validate.OneOf(STATUSES), metadata=meta("`completed` or `incomplete` in an answer.")
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


def generation_json(generation: Generation) -> dict[str, Any]:
    """The 200 body of a generate call."""
    usage = generation.usage
    return {
        "request_id": generation.request_id,
        "template_id": generation.template_id,
        "template_revision": generation.template_revision,
        "model": generation.model,
        "status": generation.status.value,
        "incomplete_reason": generation.incomplete_reason,
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


def output_json(generation: Generation) -> Any:
    """The output as a value; None where the template declares no outputs, or the answer is not whole.

    A complete answer was checked before it was stored.
    """
    whole = generation.structured and generation.status is Status.COMPLETED and generation.output is not None
    return load_strict_json(generation.output or "") if whole else None
