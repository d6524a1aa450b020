"""The OpenAPI document and Swagger UI, both served without third-party hosts."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass
class _Rendered:
    """`packed` is `text` compressed, once somebody asked for that."""

    text: bytes
    etag: str
    packed: bytes = b""


class OpenApi:
    """The document as text, rendered once for each set of templates and list of models."""

    def __init__(self, frame: Callable[[], dict[str, Any]]) -> None:
        """`frame` returns the document without the templates' operations."""
        self._frame = frame
        self._made_of: tuple[TemplateSet, AllowedModels] | None = None
        self._rendered = _Rendered(b"", "")

    def text(self, templates: TemplateSet, models: AllowedModels) -> bytes:
        return self._render(templates, models).text

    def response(self, templates: TemplateSet, models: AllowedModels) -> Response:
        """Swagger UI asks for it on each visit; most get 304."""
        document = self._render(templates, models)
        if accepts_gzip():
            document.packed = document.packed or gzipped(document.text)
            response = gzip_response(document.packed, "application/json", document.etag)
        else:
            response = Response(document.text, mimetype="application/json", headers={"Vary": "Accept-Encoding"})
            response.set_etag(document.etag)
            response.make_conditional(request)
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    def _render(self, templates: TemplateSet, models: AllowedModels) -> _Rendered:
        if self._made_of is None or self._made_of[0] is not templates or self._made_of[1] is not models:
            document = with_details(with_templates(self._frame(), templates, models), templates, models)
            text = json.dumps(document, indent=2, allow_nan=False).encode()
            self._rendered = _Rendered(text, hashlib.sha256(text).hexdigest()[:16])
            self._made_of = templates, models
        return self._rendered


@docs.route("/openapi.json")
def document() -> Response:
    openapi: OpenApi = current_app.extensions[OPENAPI_EXTENSION]
    has = services()
    return openapi.response(has.templates, has.models)


@docs.route("/docs")
def show() -> str:
    return render_template("docs.html")
