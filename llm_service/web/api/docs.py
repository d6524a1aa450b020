"""The OpenAPI document and Swagger UI, both served without third-party hosts."""

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, render_template

from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.model import TemplateSet

from ..context import services
from .document_details import with_details
from .template_operations import with_templates

docs = Blueprint("docs", __name__)
OPENAPI_EXTENSION = "openapi"


class OpenApi:
    """The document as text, rendered once for each set of templates and list of models."""

    def __init__(self, frame: Callable[[], dict[str, Any]]) -> None:
        """`frame` returns the document without the templates' operations."""
        self._frame = frame
        self._made_of: tuple[TemplateSet, AllowedModels] | None = None
        self._text = ""

    def text(self, templates: TemplateSet, models: AllowedModels) -> str:
        if self._made_of is None or self._made_of[0] is not templates or self._made_of[1] is not models:
            document = with_details(with_templates(self._frame(), templates, models), templates, models)
            self._text = json.dumps(document, indent=2, allow_nan=False)
            self._made_of = templates, models
        return self._text


@docs.route("/openapi.json")
def document() -> Response:
    openapi: OpenApi = current_app.extensions[OPENAPI_EXTENSION]
    has = services()
    return Response(openapi.text(has.templates, has.models), mimetype="application/json")


@docs.route("/docs")
def show() -> str:
    return render_template("docs.html")
