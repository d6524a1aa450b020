"""How an operation of the API is declared: strict requests, documented answers, problem documents."""

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, TypeVar

import marshmallow as ma
import msgspec
from flask import Request, current_app
from flask_smorest import Blueprint as SmorestBlueprint
from werkzeug.datastructures import MIMEAccept

from llm_service.core.errors import InvalidInput

from ..context import services
from ..http.current import current_request
from ..http.errors import NotAcceptable, fields_of
from ..http.problems import PROBLEMS, STATUS_IN_PATH
from ..http.query import reject_unknown_args
from ..http.response import Response
from ..http.strict_json import parse_json, read_body, reject_unstorable
from ..schemas.base import UUID_EXAMPLE
from ..schemas.problems import ProblemSchema

V = TypeVar("V", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]
JSON_TYPE, PROBLEM_TYPE = "application/json", "application/problem+json"
# The statuses of a limit that is reached.
LIMITED = (402, 429)
RATE_LIMIT_HEADERS = {
    "RateLimit-Limit": {
        "schema": {"type": "integer"},
        "description": "The limit of generations per minute, else the budget that is closest to its end (money in millionths of a "
        "dollar); with 402 and 429, the limit that refused the request. Only sent if something is limited; "
        "`GET /api/v1/limits` lists all limits.",
    },
    "RateLimit-Remaining": {"schema": {"type": "integer"}, "description": "What is left of the limit."},
    "RateLimit-Reset": {
        "schema": {"type": "integer"},
        "description": "Seconds until part of the limit is available again.",
    },
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": 'The name of the limit, for example `"generations-per-minute";q=60;w=60`.',
    },
}
RETRY_AFTER = {
    "Retry-After": {
        "schema": {"type": "integer"},
        "description": "Seconds to wait before a retry; omitted if a retry would not help.",
    }
}


class Blueprint(SmorestBlueprint):
    """A smorest blueprint that parses bodies strictly and refuses undeclared query arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_request(_check_request)

    def doc(self, **kwargs: Any) -> Callable[[V], V]:
        return _document_only(super().doc(**kwargs))

    def response(self, *args: Any, **kwargs: Any) -> Callable[[V], V]:
        """As smorest's, but the view must return a finished `Response` (`json_response`)."""
        return _document_only(super().response(*args, **kwargs), kwargs.get("content_type", JSON_TYPE))

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[V], V]:
        return _document_only(super().alt_response(*args, **kwargs), kwargs.get("content_type", JSON_TYPE))

    def body(self, schema: ma.Schema, *, repeats: bool = False, **documented: Any) -> Callable[[V], Callable[..., Any]]:
        """Parse the JSON body strictly, validate it with the schema, and pass it to the view as a dict.

        `repeats`: the same body often comes again.
        """
        document = _document_only(super().arguments(schema, **documented))

        def decorate(view: V) -> Callable[..., Any]:
            @wraps(document(view))
            def reading(*args: Any, **kwargs: Any) -> Any:
                request = current_request()
                values = _recent_values(schema, request) if repeats else _load(schema, read_body(request))
                return view(values, *args, **kwargs)

            return reading

        return decorate

    def query(self, schema: type[ma.Schema]) -> Callable[[V], V]:
        """Declare a view's query arguments."""

        def decorate(view: V) -> V:
            decorated = self.arguments(schema(), location="query", unknown=ma.RAISE)(view)
            decorated.declares_query_args = True
            return decorated  # type: ignore[no-any-return]

        return decorate

    def problems(self, *codes: str, in_path: bool = False) -> Callable[[V], V]:
        """Document the errors of a view, grouped by status. `in_path`: the template's id comes from the path."""
        if "not-authenticated" in codes:  # the access check has three errors
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


def _document_only(decorator: Callable[[V], Any], media_type: str | None = None) -> Callable[[V], V]:
    """Keep the documentation of a smorest decorator, without the function that it wraps around the view.

    `media_type`: of the response that it documents; `_check_accept` needs all of a view's.

    A view with ten documented responses would be called through ten functions, each of which checks whether the next is a
    coroutine: a third of the time of a cache hit.
    """

    def decorate(view: V) -> V:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]
        if media_type is not None:
            view.media_types = (*getattr(view, "media_types", ()), media_type)  # type: ignore[attr-defined]
        return view

    return decorate


def _recent_values(schema: ma.Schema, request: Request) -> Any:
    """The body's values, validated. Nobody may change them: requests with the same body share them."""
    body, recent = read_body(request), services().recent_bodies
    if "HTTP_CACHE_CONTROL" in request.environ:
        return _load(schema, body)  # who controls the cache wants no copy
    values = recent.get((schema, body))
    if values is None:
        values = _load(schema, body)
        recent.put((schema, body), values, 2 * len(body))
    return values


def _load(schema: ma.Schema, body: bytes) -> Any:
    values = parse_json(body)
    reject_unstorable(values)
    try:
        return schema.load(values)
    except ma.ValidationError as error:
        raise InvalidInput.of(fields_of(error.messages)) from error


def _check_request() -> None:
    """Before each API request: refuse undeclared query arguments and an `Accept` that excludes each of the operation's media types."""
    request = current_request()
    environ = request.environ
    accept = environ.get("HTTP_ACCEPT", "*/*")
    if accept == "*/*" and not environ.get("QUERY_STRING"):
        return
    view = current_app.view_functions.get(request.endpoint or "")
    if environ.get("QUERY_STRING"):
        # Declared arguments are checked by their schema.
        reject_unknown_args(None if view is None or getattr(view, "declares_query_args", False) else ())
    # Programs send `application/json` with every request, also for a text file.
    if accept not in ("*/*", JSON_TYPE):
        _check_accept(request.accept_mimetypes, getattr(view, "media_types", (JSON_TYPE,)))


def _check_accept(accept: MIMEAccept, media_types: Collection[str]) -> None:
    """Parameters are ignored: `application/json; charset=utf-8` is what we send. `q=0` with a parameter refuses nothing."""
    ranges = [(text.partition(";")[0].strip(), quality) for text, quality in accept if quality or ";" not in text]
    if accept and MIMEAccept(ranges).best_match((*media_types, PROBLEM_TYPE)) is None:
        names = " or ".join(name for name in dict.fromkeys(media_types) if name != PROBLEM_TYPE)
        raise NotAcceptable(f"The response is {names}, which the Accept header excludes.")


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A finished response, which smorest does not serialize a second time."""
    # As `json.dumps` would write it, in a sixth of the time.
    text = msgspec.json.format(msgspec.json.encode(body), indent=0)
    return Response(text, status, headers, content_type=JSON_TYPE)


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
                "request_id": UUID_EXAMPLE,
            }
        }
        for code in codes
    }
    return {"schema": ProblemSchema, "description": listed, "examples": examples}
