"""What every request and every response gets: an id, the security headers, a log line."""

import logging
import re
import time

import structlog
from flask import Flask, Response, current_app, g, request

from .connection import bound_reads

log = structlog.get_logger("llm_service")
_stdlib_log = logging.getLogger("llm_service")

CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{data}; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
_EVERYWHERE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
HEADERS = (*_EVERYWHERE, ("Content-Security-Policy", _CSP.format(data="")))
# Swagger UI draws its icons from data: addresses.
DOCS_HEADERS = (*_EVERYWHERE, ("Content-Security-Policy", _CSP.format(data=" data:")))
HSTS = "max-age=31536000"
STATIC_MAX_AGE_S = 31_536_000


def register_hooks(app: Flask) -> None:
    """Call it before anything else that registers hooks: its `before` must run first."""
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = current_app.config["MAKE_ID"]()
    if request.method == "POST":
        bound_reads()
    own = request.environ.get("HTTP_X_REQUEST_ID")
    structlog.contextvars.clear_contextvars()
    if own is not None and CLIENT_REQUEST_ID.fullmatch(own):
        g.shown_request_id = own
        structlog.contextvars.bind_contextvars(request_id=g.request_id, client_request_id=own)
    else:
        g.shown_request_id = g.request_id
        structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    headers = response.headers
    headers.extend(
        [("X-Request-ID", g.shown_request_id), *(DOCS_HEADERS if request.endpoint == "docs.show" else HEADERS)]
    )
    if request.is_secure:
        headers["Strict-Transport-Security"] = HSTS
    if request.endpoint == "static" and response.status_code == 200:
        # The address of a file holds its content's hash (`asset`), so that a changed file has another address.
        known = "v" in request.args
        headers["Cache-Control"] = f"public, max-age={STATIC_MAX_AGE_S}, immutable" if known else "no-cache"
    else:
        headers.setdefault("Cache-Control", "no-store")
    _log(response)
    return response


def _log(response: Response) -> None:
    """Changing requests and refusals at INFO; reads, cache hits and what a page asks while one types at DEBUG."""
    quiet = response.status_code < 400 and (request.method in ("GET", "HEAD") or g.get("quiet", False))
    if quiet and not _stdlib_log.isEnabledFor(logging.DEBUG):
        return  # before anything is put together: this is the way of every cache hit
    write = log.debug if quiet else log.info
    write(
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1),
    )
