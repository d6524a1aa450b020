"""Previews of requests."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.preview import Preview
from llm_service.core.messages import Role

from .base import meta, money


class MessagePartSchema(ma.Schema):
    type = fields.String(required=True, validate=validate.OneOf(["text"]), metadata=meta("Always `text`.", "text"))
    text = fields.String(required=True, metadata=meta("The rendered text."))


class MessageSchema(ma.Schema):
    """A rendered message."""

    role = fields.String(required=True, validate=validate.OneOf([role.value for role in Role]))
    parts = fields.List(fields.Nested(MessagePartSchema), required=True)


class KeyPartsSchema(ma.Schema):
    """Everything that an answer depends on; the cache key is its SHA-256."""

    version = fields.Integer(required=True, metadata=meta("Increased when the meaning of stored values changes.", 2))
    provider = fields.String(required=True, metadata=meta("The provider and its address.", "openai:"))
    scope = fields.String(required=True, metadata=meta("The owner of the answer; `*` = everyone.", "local"))
    model = fields.String(required=True, metadata=meta("The model.", "gpt-4o-mini"))
    messages = fields.List(fields.Nested(MessageSchema), required=True, metadata=meta("What would be sent, in order."))
    options = fields.Dict(required=True, metadata=meta("The options that would be sent.", {"temperature": 0.2}))
    output = fields.Dict(
        required=True, allow_none=True, metadata=meta("Name and JSON Schema of the answer; null = plain text.")
    )


class PreviewSchema(ma.Schema):
    """What a request would send and could cost. Nothing is sent or stored."""

    template_id = fields.String(required=True, metadata=meta("The template that was used.", "basic_chat_v1"))
    revision = fields.String(required=True, metadata=meta("Content hash of the template.", "dfa412d7757c"))
    model = fields.String(required=True, metadata=meta("The model that would be called.", "gpt-4o-mini"))
    fallbacks = fields.List(
        fields.String(),
        required=True,
        metadata=meta("The models that would be asked after it, in order, if it fails.", ["local/qwen3"]),
    )
    system_prompt = fields.String(required=True, metadata=meta("The rendered system message; empty = none."))
    user_prompt = fields.String(required=True, metadata=meta("The rendered user message."))
    cache_key = fields.String(required=True, metadata=meta("SHA-256 of `cache_key_parts`, in hex."))
    cache_key_parts = fields.Nested(KeyPartsSchema, required=True)
    would_hit = fields.Boolean(required=True, metadata=meta("Whether the cache has the answer now."))
    estimated_input_tokens = fields.Integer(
        required=True,
        metadata=meta("Estimated from the length of the text; only the provider counts tokens.", 34),
    )
    max_output_tokens = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta("Maximum length of the answer in tokens; null = no limit set.", 1000),
    )
    max_cost_usd = fields.String(
        required=True,
        allow_none=True,
        metadata=meta(
            "The most that one call to the model can cost, in US dollars. Failed attempts that the provider bills are extra. "
            "null if the price or the maximum length of the answer is unknown. With fallbacks, that of the most expensive model.",
            "0.00065",
        ),
    )
    price_version = fields.String(
        required=True, allow_none=True, metadata=meta("The price list used.", "genai-prices 0.2.3")
    )


def preview_json(preview: Preview) -> dict[str, Any]:
    prepared = preview.prepared
    return {
        "template_id": prepared.template.template_id,
        "revision": prepared.template.revision,
        "model": prepared.first.model,
        "fallbacks": [candidate.model for candidate in prepared.candidates[1:]],
        "system_prompt": prepared.call.system_prompt,
        "user_prompt": prepared.call.user_prompt,
        "cache_key": prepared.cache_key,
        "cache_key_parts": dict(preview.key_parts),
        "would_hit": preview.would_hit,
        "estimated_input_tokens": preview.estimated_input_tokens,
        "max_output_tokens": preview.max_output_tokens,
        "max_cost_usd": money(preview.max_cost_usd),
        "price_version": preview.price_version,
    }
