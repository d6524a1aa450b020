"""Templates as resources."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from llm_service.core.templates.model import Template

from .base import meta


class TemplateSummarySchema(ma.Schema):
    id = fields.String(required=True, metadata=meta("The template's id.", "basic_chat_v1"))
    name = fields.String(required=True, metadata=meta("The display name.", "Basic chat"))
    description = fields.String(required=True, metadata=meta("What the template does."))
    revision = fields.String(
        required=True, metadata=meta("First 12 hex digits of the SHA-256 of the content.", "dfa412d7757c")
    )
    model = fields.String(required=True, metadata=meta("The model used unless the request names one."))
    inputs = fields.Dict(required=True, metadata=meta("JSON Schema of `input` and `parameters` as one flat object."))
    outputs = fields.Dict(
        required=True, allow_none=True, metadata=meta("JSON Schema of `output_json`; null = plain text.")
    )


class TemplateSchema(TemplateSummarySchema):
    source = fields.String(required=True, metadata=meta("The text of the prompt file."))


class TemplateListSchema(ma.Schema):
    items = fields.List(fields.Nested(TemplateSummarySchema), required=True)


def template_summary_json(template: Template, model: str) -> dict[str, Any]:
    """`model` is used unless a request names another."""
    return {
        "id": template.template_id,
        "name": template.name,
        "description": template.description,
        "revision": template.revision,
        "model": model,
        "inputs": template.input_schema(),
        "outputs": template.outputs.schema if template.outputs else None,
    }
