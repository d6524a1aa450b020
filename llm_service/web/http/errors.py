"""Errors as answers: problem documents (RFC 9457) under `/api`, pages everywhere else.

flask-smorest would answer every HTTP error of the whole app as JSON of its own; `web.api` switches that off, and the
handlers here decide by the path.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from flask import Flask, Response, g, json, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from llm_service.core.errors import FieldError, InvalidInput, ServiceError, UnknownTemplate
from llm_service.core.limits.errors import LimitError

from ..context import services
from ..schemas.limits import limit_json
from .problems import PROBLEMS, STATUS_IN_PATH
from .rate_limit_headers import refusal_headers
from .security_log import record

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


class EdgeError(ServiceError):
    """What is wrong with a request as HTTP, before the core sees it."""

    code = "invalid-json"


class InvalidJson(EdgeError):
    pass


class DuplicateKey(EdgeError):
    code = "duplicate-key"


class TooDeep(EdgeError):
    code = "too-deep"


class InvalidIdempotencyKey(EdgeError):
    code = "invalid-idempotency-key"


class UntrustedHost(EdgeError):
    code = "untrusted-host"


class NotAuthenticated(EdgeError):
    code = "not-authenticated"


class NotAllowed(EdgeError):
    """It is known who asks, and they may not."""

    code = "not-allowed"


class TooManyAttempts(EdgeError):
    """Wrong keys, too many of them in a minute; `retry_after_s` is set."""

    code = "rate-limited"
    retryable = True


class Csrf(EdgeError):
    code = "csrf"


class NotAcceptable(EdgeError):
    code = "not-acceptable"


class TooLarge(EdgeError):
    code = "too-large"


class UnsupportedMediaType(EdgeError):
    code = "unsupported-media-type"


class HttpError(EdgeError):
    """An HTTP error that werkzeug or webargs raised, under the code that its status means here."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def status_of(error: ServiceError) -> int:
    if isinstance(error, UnknownTemplate) and error.in_path:
        return STATUS_IN_PATH[error.code]
    return PROBLEMS[error.code].status


def problem_document(error: ServiceError, instance: str, request_id: str) -> dict[str, Any]:
    """The members of RFC 9457 and ours; `errors` only where fields are at fault."""
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
        document["errors"] = [{"field": one.field, "message": one.message} for one in error.fields]
    if isinstance(error, LimitError) and error.limit:
        document["limit"] = limit_json(error.limit)
    return document


def register_error_handlers(app: Flask) -> None:
    app.register_error_handler(ServiceError, _answer)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_bug)


def report(error: ServiceError) -> None:
    """Log what is not the caller's fault, and whom a limit refused."""
    if isinstance(error, LimitError):
        _report_limited(error)
    if status_of(error) >= 500:
        log.error("problem", error=error.code, detail=error.detail, cause=_cause(error))


def _report_limited(error: LimitError) -> None:
    limit = error.limit
    record("limited", error=error.code, limit=limit and limit.kind.value, everyone=limit and not limit.own)


def _answer(error: ServiceError) -> Response:
    status = status_of(error)
    report(error)
    if request.path.startswith("/api/"):
        response = Response(
            json.dumps(problem_document(error, request.path, g.request_id)), status, mimetype="application/problem+json"
        )
    else:
        page = render_template("errors/error.html", problem=PROBLEMS[error.code], error=error, status=status)
        response = Response(page, status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    elif status == 503:
        response.headers["Retry-After"] = "5"
    if isinstance(error, LimitError):
        response.headers.update(refusal_headers(error, services().clock.now_ms()))
    if status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _answer_http(error: HTTPException) -> Any:
    """werkzeug's and webargs' errors. Redirects are answers, not errors."""
    if error.code is None or error.code < 400:
        return error.get_response()
    response = _answer(_as_service_error(error))
    if error.code == 416:
        response.status_code = 416  # of a static file; no other answer has ranges
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _answer_bug(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _answer(ServiceError("The service met an error that it did not expect."))


def _as_service_error(error: HTTPException) -> ServiceError:
    status = error.code or 500
    fields = fields_of(getattr(error, "data", {}).get("messages", {}))
    if fields:
        return InvalidInput.of(fields)
    code = CODE_OF_STATUS.get(status, "internal-error" if status >= 500 else "invalid-input")
    detail = PROBLEMS[code].meaning if code != "internal-error" else HTTP_STATUS_CODES.get(status, "Error")
    return HttpError(code, detail)


def fields_of(messages: Any) -> list[FieldError]:
    """marshmallow's nested messages as fields."""
    return list(_flatten(messages))


def _flatten(messages: Any, path: str = "") -> Iterator[FieldError]:
    """webargs' outermost level names where the value came from: that is no field."""
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
    """The kind of what lies below, for the log; its words may quote a prompt or a key."""
    names = []
    inner = error.__cause__
    while inner is not None:
        names.append(type(inner).__qualname__)
        inner = inner.__cause__
    return " <- ".join(names) or None
