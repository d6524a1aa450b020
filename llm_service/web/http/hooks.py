"""What every request and response gets: an id, security headers, and a log line."""

import logging
import re
import time
from functools import partial

import structlog
from flask import Flask

from .connection import drop_rest_of_body, set_read_timeout
from .current import current_g, current_request, the_app
from .request import refuse_long_headers
from .response import DOCS_HEADERS, Response

log = structlog.get_logger("llm_service")
_stdlib_log = logging.getLogger("llm_service")

CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HSTS = "max-age=31536000"
STATIC_MAX_AGE_S = 31_536_000


def register_hooks(app: Flask) -> None:
    """Call this before anything else that registers hooks: its `before_request` must run first."""
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    request, g = current_request(), current_g()
    g.started = time.perf_counter()
    g.request_id = g.shown_request_id = the_app().config["MAKE_ID"]()
    if request.method == "POST":
        set_read_timeout(request)
    own = request.environ.get("HTTP_X_REQUEST_ID")
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if own is not None and CLIENT_REQUEST_ID.fullmatch(own):
        g.shown_request_id = own
        structlog.contextvars.bind_contextvars(client_request_id=own)
    refuse_long_headers(request.environ)


def _finish(response: Response) -> Response:
    request, g = current_request(), current_g()
    headers, endpoint = response.headers, request.endpoint
    headers.add("X-Request-ID", g.shown_request_id)
    if endpoint == "docs.show":
        response.fixed = DOCS_HEADERS
    if request.is_secure:
        headers["Strict-Transport-Security"] = HSTS
    if endpoint == "static" and response.status_code in (200, 304):
        # A file's URL contains the hash of its content (`asset`), so a changed file has another URL. Browsers take over
        # the header of a 304, too.
        known = "v" in request.args
        headers["Cache-Control"] = f"public, max-age={STATIC_MAX_AGE_S}, immutable" if known else "no-cache"
    else:
        headers.setdefault("Cache-Control", "no-store")
    if response.status_code >= 400 and request.method not in ("GET", "HEAD"):
        response.call_on_close(partial(drop_rest_of_body, request.environ))
    _log(response)
    return response


def _log(response: Response) -> None:
    """Changes and refusals at INFO; reads, cache hits and requests of a page during typing at DEBUG."""
    request, g = current_request(), current_g()
    quiet = response.status_code < 400 and (request.method in ("GET", "HEAD") or g.get("quiet", False))
    if quiet and not _stdlib_log.isEnabledFor(logging.DEBUG):
        return  # early: this runs on every cache hit
    write = log.debug if quiet else log.info
    write(
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1),
    )
