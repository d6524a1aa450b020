"""Error responses: problem documents (RFC 9457) under `/api`, HTML pages everywhere else.

flask-smorest would answer every HTTP error of the whole app with its own JSON; `web.api.openapi` turns that off, and the
handlers here choose by the path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import structlog
from flask import Flask, Response, g, json, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from llm_service.core.errors import FieldError, InvalidInput, ServiceError, UnknownTemplate
from llm_service.core.limits.errors import LimitError

from ..context import services
from ..schemas.limits import limit_json
from .problems import PROBLEMS, STATUS_IN_PATH, Problem
from .rate_limit_headers import refusal_headers
from .security_log import log_security_event

log = structlog.get_logger("llm_service")

CHALLENGE = 'Bearer realm="llm-api-service"'
CODE_OF_STATUS = {
    401: "not-authenticated",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
}


class RequestError(ServiceError):
    """A request that is refused before it reaches the core."""

    code = "invalid-json"


class BadRequest(RequestError):
    """Not valid HTTP. The server's, not the app's: its status may be another one than 400."""

    code = "bad-request"


class InvalidJson(RequestError):
    pass


class DuplicateKey(RequestError):
    code = "duplicate-key"


class TooDeep(RequestError):
    code = "too-deep"


class InvalidIdempotencyKey(RequestError):
    code = "invalid-idempotency-key"


class UntrustedHost(RequestError):
    code = "untrusted-host"


class NotAuthenticated(RequestError):
    code = "not-authenticated"


class NotAllowed(RequestError):
    """The caller is known, but lacks permission."""

    code = "not-allowed"


class TooManyAttempts(RequestError):
    """Too many invalid keys within a minute; `retry_after_s` is set."""

    code = "rate-limited"
    retryable = True


class Csrf(RequestError):
    code = "csrf"


class NotAcceptable(RequestError):
    code = "not-acceptable"


class TooLarge(RequestError):
    code = "too-large"


class UnsupportedMediaType(RequestError):
    code = "unsupported-media-type"


class UnsupportedCoding(UnsupportedMediaType):
    """Of the body: the answer says which codings are taken (RFC 9110, 12.5.3)."""


class HttpError(RequestError):
    """An HTTP error that werkzeug or webargs raised, with our code for its status."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def status_of(error: ServiceError) -> int:
    if isinstance(error, UnknownTemplate) and error.in_path:
        return STATUS_IN_PATH[error.code]
    return PROBLEMS[error.code].status


def retry_after_s(error: ServiceError) -> int | None:
    """Whole seconds for the Retry-After header; None if waiting would not help."""
    if error.retry_after_s is not None:
        return max(1, round(error.retry_after_s))
    return 5 if status_of(error) == 503 else None


def problem_of(error: ServiceError) -> Problem:
    """The error explained to people, with the time to wait in its remedy."""
    problem = PROBLEMS[error.code]
    return replace(problem, remedy=problem.remedy_after(retry_after_s(error)))


def problem_document(error: ServiceError, instance: str, request_id: str) -> dict[str, Any]:
    """The members of RFC 9457 and our own; `errors` only if fields are at fault."""
    document: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": PROBLEMS[error.code].title,
        "status": status_of(error),
        "detail": error.detail or PROBLEMS[error.code].meaning,
        "instance": instance,
        "error": error.code,
        "request_id": request_id,
    }
    if error.fields:
        document["errors"] = [{"field": fault.field, "message": fault.message} for fault in error.fields]
    if isinstance(error, LimitError) and error.limit:
        document["limit"] = limit_json(error.limit)
    return document


def register_error_handlers(app: Flask) -> None:
    app.register_error_handler(ServiceError, _error_response)
    app.register_error_handler(HTTPException, _http_error_response)
    app.register_error_handler(Exception, _unexpected_error_response)


def log_error(error: ServiceError) -> None:
    """Log server errors, and requests that a limit refused."""
    if isinstance(error, LimitError):
        _log_limited(error)
    if status_of(error) >= 500:
        log.error("problem", error=error.code, detail=error.detail, cause=_cause(error))


def _log_limited(error: LimitError) -> None:
    limit = error.limit
    log_security_event("limited", error=error.code, limit=limit and limit.kind.value, everyone=limit and not limit.own)


def _error_response(error: ServiceError) -> Response:
    status = status_of(error)
    log_error(error)
    if request.path.startswith("/api/"):
        response = Response(
            json.dumps(problem_document(error, request.path, g.request_id)), status, mimetype="application/problem+json"
        )
    else:
        # A script swaps it into a part of a page.
        name = "_fragment" if "HX-Request" in request.headers else "error"
        page = render_template(f"errors/{name}.html", problem=problem_of(error), error=error, status=status)
        response = Response(page, status)
    if (wait_s := retry_after_s(error)) is not None:
        response.headers["Retry-After"] = str(wait_s)
    if isinstance(error, LimitError):
        response.headers.update(refusal_headers(error, services().clock.now_ms()))
    if isinstance(error, UnsupportedCoding):
        response.headers["Accept-Encoding"] = "identity"
    if status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _http_error_response(error: HTTPException) -> Any:
    """werkzeug's and webargs' errors. Redirects are answers, not errors."""
    if error.code is None or error.code < 400:
        return error.get_response()
    response = _error_response(_as_service_error(error))
    if error.code == 416:
        response.status_code = 416  # only static files support ranges
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _unexpected_error_response(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _error_response(ServiceError("An unexpected error occurred."))


def _as_service_error(error: HTTPException) -> ServiceError:
    status = error.code or 500
    fields = fields_of(getattr(error, "data", {}).get("messages", {}))
    if fields:
        return InvalidInput.of(fields)
    code = CODE_OF_STATUS.get(status, "internal-error" if status >= 500 else "invalid-input")
    detail = PROBLEMS[code].meaning if code != "internal-error" else HTTP_STATUS_CODES.get(status, "Error")
    return HttpError(code, detail)


def fields_of(messages: Any) -> list[FieldError]:
    """marshmallow's nested messages as a flat list."""
    return list(_flatten(messages))


def _flatten(messages: Any, path: str = "") -> Iterator[FieldError]:
    """webargs' outermost level names the part of the request, which is not a field."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            here = str(key)[:64]
            skip = not path and here in ("json", "query", "path", "headers", "_schema")
            yield from _flatten(inner, "" if skip else f"{path}.{here}" if path else here)
    elif isinstance(messages, list | tuple):
        for message in messages:
            yield FieldError(path or "body", str(message).rstrip("."))
    else:
        yield FieldError(path or "body", str(messages))


def _cause(error: BaseException) -> str | None:
    """The types of the underlying errors, for the log; their messages may quote a prompt or a key."""
    names = []
    inner = error.__cause__
    while inner is not None:
        names.append(type(inner).__qualname__)
        inner = inner.__cause__
    return " <- ".join(names) or None
