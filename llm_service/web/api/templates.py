"""Templates: list, show, generate, preview."""

from typing import Any

from flask import Response, g, request

from llm_service.core.errors import UnknownTemplate
from llm_service.core.generation.model import GenerateRequest
from llm_service.core.templates.model import Template

from ..context import caller, services
from ..schemas.generation import PreviewRequestSchema, TemplateRequestSchema
from ..schemas.preview import PreviewSchema, preview_json
from ..schemas.templates import TemplateListSchema, TemplateSchema, template_summary_json
from .blueprint import Blueprint, json_response
from .generate import GENERATION_ERRORS, document_generation, generate_response, idempotency_key

blp = Blueprint("templates", __name__, url_prefix="/api/v1/templates", description="The available templates")


@blp.route("")
@blp.response(200, TemplateListSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="listTemplates")
def index() -> Response:
    """List templates

    Sorted by id.
    """
    return json_response({"items": [_summary(template) for template in services().templates]})


@blp.route("/<template_id>")
@blp.response(200, TemplateSchema)
@blp.problems("not-authenticated", "unknown-template", in_path=True)
@blp.doc(operationId="getTemplate")
def show(template_id: str) -> Response:
    """Get a template with its source

    A name without `_v<number>` means its highest version.
    """
    template = _template(template_id)
    return json_response({**_summary(template), "source": template.source})


@blp.route("/<template_id>/generate", methods=["POST"])
@blp.body(TemplateRequestSchema(), repeats=True)
@document_generation(blp, *GENERATION_ERRORS, in_path=True)
@blp.doc(operationId="generateWithTemplate")
def generate(body: dict[str, Any], template_id: str) -> Response:
    """Generate with this template

    The OpenAPI document replaces this operation by one for each template (`web.api.template_operations`).
    """
    key = idempotency_key(request.headers.get("Idempotency-Key"), request.path, body)
    return generate_response(template_id=_template(template_id).template_id, **body, key=key)


@blp.route("/<template_id>/preview", methods=["POST"])
@blp.body(PreviewRequestSchema(), example={"input": "Say hello", "parameters": {"tone": "simple"}})
@blp.response(200, PreviewSchema)
@blp.problems(
    "invalid-json", "duplicate-key", "too-deep", "untrusted-host", "not-authenticated", "csrf", "unknown-template",
    "not-acceptable", "too-large", "unsupported-media-type", "invalid-input", "invalid-character", "unknown-model",
    in_path=True,
)  # fmt: skip
@blp.doc(operationId="previewTemplate")
def preview(body: dict[str, Any], template_id: str) -> Response:
    """Preview a request

    Validates the values and renders the prompts as generate does. Shows whether the cache has the answer, and the most that
    the call can cost. No model is called, and nothing is stored.
    """
    g.quiet = True
    preview_request = GenerateRequest(template_id=_template(template_id).template_id, **body)
    return json_response(preview_json(services().preview.preview(preview_request, caller())))


def _summary(template: Template) -> dict[str, Any]:
    return template_summary_json(template, services().models.shown_for(template))


def _template(template_id: str) -> Template:
    """Raises `UnknownTemplate` with the status of a path."""
    try:
        return services().templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None
