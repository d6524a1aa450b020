"""The OpenAPI document and Swagger UI, both served without third-party hosts."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request

from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.model import TemplateSet

from ..context import services
from ..http.compression import accepts_gzip, compress, gzip_response, gzipped
from .document_details import with_details
from .template_operations import with_templates

docs = Blueprint("docs", __name__)
docs.after_request(compress)
OPENAPI_EXTENSION = "openapi"


class OpenApi:
    """The document as text, rendered once for each set of templates and list of models."""

    def __init__(self, frame: Callable[[], dict[str, Any]]) -> None:
        """`frame` returns the document without the templates' operations."""
        self._frame = frame
        self._made_of: tuple[TemplateSet, AllowedModels] | None = None
        self._text, self._packed, self._etag = b"", b"", ""

    def response(self, templates: TemplateSet, models: AllowedModels) -> Response:
        """Swagger UI asks for it on each visit; most get 304."""
        if self._made_of is None or self._made_of[0] is not templates or self._made_of[1] is not models:
            document = with_details(with_templates(self._frame(), templates, models), templates, models)
            text = json.dumps(document, indent=2, allow_nan=False).encode()
            self._text, self._packed, self._etag = text, gzipped(text), hashlib.sha256(text).hexdigest()[:16]
            self._made_of = templates, models
        if accepts_gzip():
            response = gzip_response(self._packed, "application/json", self._etag)
        else:
            response = Response(self._text, mimetype="application/json", headers={"Vary": "Accept-Encoding"})
            response.set_etag(self._etag)
            response.make_conditional(request)
        response.headers["Cache-Control"] = "private, no-cache"
        return response


@docs.route("/openapi.json")
def document() -> Response:
    openapi: OpenApi = current_app.extensions[OPENAPI_EXTENSION]
    has = services()
    return openapi.response(has.templates, has.models)


@docs.route("/docs")
def show() -> str:
    return render_template("docs.html")
