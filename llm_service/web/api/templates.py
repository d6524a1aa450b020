"""The templates over HTTP."""

from typing import Any

from flask import Response

from llm_service.core.errors import UnknownTemplate
from llm_service.core.templates import Template

from ..context import services
from .schemas import TemplateListSchema, TemplateSchema
from .spec import Blueprint, json_response

blp = Blueprint("templates", __name__, url_prefix="/api/v1/templates", description="What there is to ask")


@blp.route("")
@blp.response(200, TemplateListSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="listTemplates")
def index() -> Response:
    """All templates

    Sorted by id.
    """
    return json_response({"items": [summary_json(template) for template in services().templates]})


@blp.route("/<template_id>")
@blp.response(200, TemplateSchema)
@blp.problems("not-authenticated", "unknown-template", in_path=True)
@blp.doc(operationId="getTemplate")
def show(template_id: str) -> Response:
    """One template with its source

    A name without `_v<number>` means its highest version.
    """
    try:
        template = services().templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None
    return json_response({**summary_json(template), "source": template.source})


def summary_json(template: Template) -> dict[str, Any]:
    return {
        "id": template.template_id,
        "name": template.name,
        "description": template.description,
        "revision": template.revision,
        "model": services().models.choose(None, template),
        "inputs": template.input_schema(),
    }
