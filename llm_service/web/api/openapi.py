"""The API's frame: strict parsing, problem documents, and the OpenAPI document."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

import marshmallow as ma
from flask import Flask, Response, current_app, request
from flask_smorest import Api
from flask_smorest import Blueprint as SmorestBlueprint

from llm_service import __version__
from llm_service.core.errors import InvalidInput

from ..http.errors import NotAcceptable, fields_of
from ..http.problems import PROBLEMS, STATUS_IN_PATH
from ..http.query import refuse_query
from ..http.strict_json import read_json
from ..schemas.problems import ProblemSchema
from .operation_scopes import SCHEMES

V = TypeVar("V", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]
PROBLEM_TYPE = "application/problem+json"
# What is answered where a limit has no room.
LIMITED = (402, 429)
DESCRIPTION = """One doorway to language models: prompt templates as validated endpoints, with every answer cached,
counted and kept.

**Units.** Times are RFC 3339 in UTC; durations say their unit (`_ms`); money is US dollars as a decimal in a string;
token counts are the provider's. A count or an amount that is not known is `null`, never 0.

**Errors** are problem documents (RFC 9457). `error` is a stable code, explained at `/problems/<error>`; `errors` names
the fields at fault; `request_id` finds the request in the log.

**Keys.** `Authorization: Bearer llms_...`. Each operation names the scope that its key needs: `generate`, `history`, `usage`, or
`admin`, which opens them all. On its own machine the service may be open without a key.
**Limits**, where there are any, stand in `RateLimit-*` of generate's answers and at `GET /api/v1/limits`. 429 `rate-limited` and
402 `budget-exhausted` say in `limit` what is left and when there is more, and in `Retry-After` when to ask again.

**Every response** carries `X-Request-ID`: your own, if you sent one of the form `[A-Za-z0-9._-]{1,64}`, else ours.
"""


RATE_LIMIT_HEADERS = {
    "RateLimit-Limit": {
        "schema": {"type": "integer"},
        "description": "Of generations a minute, else the budget that is nearest to its end (money in millionths of a dollar); "
        "with 402 and 429, the limit that refused. Only where something is limited: `GET /api/v1/limits` has all.",
    },
    "RateLimit-Remaining": {"schema": {"type": "integer"}, "description": "What is left of it."},
    "RateLimit-Reset": {"schema": {"type": "integer"}, "description": "In how many seconds some of it is free again."},
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": 'Which limit it is: `"generations-per-minute";q=60;w=60`.',
    },
}
RETRY_AFTER = {
    "Retry-After": {
        "schema": {"type": "integer"},
        "description": "In how many seconds to ask again; left out where that would not help.",
    }
}


class Blueprint(SmorestBlueprint):
    """A smorest blueprint that reads bodies strictly and refuses query arguments that nobody declared."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_request(_guard)

    def doc(self, **kwargs: Any) -> Callable[[V], V]:
        return _only_documenting(super().doc(**kwargs))

    def response(self, *args: Any, **kwargs: Any) -> Callable[[V], V]:
        """As smorest's, but the view must return a finished `Response` (`json_response`)."""
        return _only_documenting(super().response(*args, **kwargs))

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[V], V]:
        return _only_documenting(super().alt_response(*args, **kwargs))

    def body(self, schema: ma.Schema, **documented: Any) -> Callable[[V], Callable[..., Any]]:
        """Read the JSON body strictly, check it with the schema, and give it to the view as a dict."""
        document = _only_documenting(super().arguments(schema, **documented))

        def decorate(view: V) -> Callable[..., Any]:
            @wraps(document(view))
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(_checked(schema, read_json(request)), *args, **kwargs)

            return reading

        return decorate

    def query(self, schema: type[ma.Schema]) -> Callable[[V], V]:
        """Declare a view's query arguments."""

        def decorate(view: V) -> V:
            decorated = self.arguments(schema(), location="query", unknown=ma.RAISE)(view)
            decorated.takes_query = True
            return decorated  # type: ignore[no-any-return]

        return decorate

    def problems(self, *codes: str, in_path: bool = False) -> Callable[[V], V]:
        """Document the errors of a view, grouped by status. `in_path`: the template's id comes from the path."""
        if "not-authenticated" in codes:  # the door has three answers
            codes = tuple(dict.fromkeys((*codes, "not-allowed", "rate-limited")))
        status_of = {code: PROBLEMS[code].status for code in codes} | (STATUS_IN_PATH if in_path else {})

        def decorate(view: V) -> V:
            for status in sorted({status_of[code] for code in codes}):
                names = [code for code in codes if status_of[code] == status]
                documented = _problem_response(names, status)
                if status in LIMITED:
                    documented["headers"] = {**RETRY_AFTER, **RATE_LIMIT_HEADERS}
                view = self.alt_response(status, content_type=PROBLEM_TYPE, **documented)(view)
            return view

        return decorate


def _only_documenting(decorator: Callable[[V], Any]) -> Callable[[V], V]:
    """Keep what a smorest decorator documents, and leave out the call that it wraps around the view.

    A view with ten documented answers would be called through ten functions, each of which asks whether the next is a
    coroutine: a third of the time of a cache hit.
    """

    def decorate(view: V) -> V:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]
        return view

    return decorate


def _checked(schema: ma.Schema, values: Any) -> Any:
    try:
        return schema.load(values)
    except ma.ValidationError as error:
        raise InvalidInput.of(fields_of(error.messages)) from error


class ServiceApi(Api):
    """flask-smorest's `Api`, less its app-wide error handler (ours decides by path: `web.errors`)."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Nothing: `web.errors` has them."""

    def _register_responses(self) -> None:
        # smorest would document its own JSON shape under these names.
        for status in HTTPStatus:
            response: dict[str, Any] = {"description": status.phrase}
            if status >= 400:
                response["content"] = {PROBLEM_TYPE: {"schema": ProblemSchema}}
            self.spec.components.response(status.name, response, lazy=True)
        default = {"description": "A problem", "content": {PROBLEM_TYPE: {"schema": ProblemSchema}}}
        self.spec.components.response("DEFAULT_ERROR", default, lazy=True)


def make_api(app: Flask) -> ServiceApi:
    app.config.update(
        API_TITLE=app.config["SERVICE_NAME"],
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": "/", "description": "This server"}],
            "components": {"securitySchemes": SCHEMES},
        },
    )
    return ServiceApi(app)


def _guard() -> None:
    """Before each API request: refuse what no operation could mean."""
    if request.environ.get("QUERY_STRING"):
        view = current_app.view_functions.get(request.endpoint or "")
        # Where arguments are declared, their schema refuses others.
        refuse_query(None if view is None or getattr(view, "takes_query", False) else ())
    if request.environ.get("HTTP_ACCEPT", "*/*") == "*/*":
        return
    accept = request.accept_mimetypes
    if accept and not accept.best_match(["application/json", PROBLEM_TYPE, "text/plain", "text/event-stream"]):
        raise NotAcceptable("The answer is application/json.")


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A finished answer; smorest passes it on as it is, without a second walk through the schema."""
    return Response(json.dumps(body, ensure_ascii=False), status, headers, content_type="application/json")


def _problem_response(codes: list[str], status: int) -> dict[str, Any]:
    listed = "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes)
    examples = {
        code: {
            "value": {
                "type": f"/problems/{code}",
                "title": PROBLEMS[code].title,
                "status": status,
                "detail": PROBLEMS[code].meaning,
                "instance": "/api/v1/generate",
                "error": code,
                "request_id": "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11",
            }
        }
        for code in codes
    }
    return {"schema": ProblemSchema, "description": listed, "examples": examples}
