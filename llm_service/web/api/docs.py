"""The OpenAPI document and Swagger UI, both served without third-party hosts."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request

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
        self._text = self._tag = ""

    def text(self, templates: TemplateSet, models: AllowedModels) -> tuple[str, str]:
        """The document, and its entity tag."""
        if self._made_of is None or self._made_of[0] is not templates or self._made_of[1] is not models:
            document = with_details(with_templates(self._frame(), templates, models), templates, models)
            self._text = json.dumps(document, indent=2, allow_nan=False)
            self._tag = hashlib.sha256(self._text.encode()).hexdigest()[:16]
            self._made_of = templates, models
        return self._text, self._tag


@docs.route("/openapi.json")
def document() -> Response:
    openapi: OpenApi = current_app.extensions[OPENAPI_EXTENSION]
    has = services()
    text, tag = openapi.text(has.templates, has.models)
    response = Response(text, mimetype="application/json")
    # 400 kB for each visit of /docs otherwise. A browser keeps it, and asks each time whether it may still use it.
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(tag)
    response.make_conditional(request)
    return response


@docs.route("/docs")
def show() -> str:
    return render_template("docs.html")
