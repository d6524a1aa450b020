"""Checks before each request: the Host header, the caller, the permission, and the origin (CSRF).

A route that `permissions.ROUTE_PERMISSIONS` does not list is closed to everyone.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from flask import Flask, Request, Response, current_app, redirect, request, url_for
from flask.ctx import _AppCtxGlobals
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Caller, Scope
from llm_service.core.errors import ServiceError, StorageUnavailable

from ..http.current import current_g, current_request, the_app
from ..http.errors import CHALLENGE, Csrf, NotAllowed, NotAuthenticated, UntrustedHost
from ..http.loopback import host_name, use_host_of_target
from ..http.security_log import log_security_event
from .authentication import INVALID_KEY, authenticate, drop_cookie
from .permissions import ROUTE_PERMISSIONS, Access

log = structlog.get_logger("llm_service")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
MAX_ADDRESS_CHARS = 2000


def register_access(app: Flask) -> None:
    app.config["TRUSTED_NAMES"] = [name.lower().strip("[]") for name in app.config["TRUSTED_NAMES"]]
    app.config["ROUTE_PERMISSIONS"] = dict(ROUTE_PERMISSIONS)
    app.before_request(_check_access)
    app.after_request(drop_cookie)


def _check_access() -> BaseResponse | None:
    request, g, config = current_request(), current_g(), the_app().config
    g.caller = g.sign_in = None
    _check_host(request, config["TRUSTED_NAMES"])
    required = config["ROUTE_PERMISSIONS"].get(_endpoint(request))
    if required is not Access.PUBLIC_UNCHECKED:
        _authenticate(required, g)
        if required is not Access.PUBLIC:
            if g.caller is None:
                return _challenge()
            _check_scope(required, request.endpoint, g.caller)
    if request.method not in SAFE_METHODS:
        _check_origin(request, g)
    return None


def _endpoint(request: Request) -> str | None:
    """The route's endpoint. For a wrong method it is the right method's: only its callers may see a 405."""
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        adapter = current_app.create_url_adapter(request)
        assert adapter is not None
        endpoint, _ = adapter.match(method=next(iter(error.valid_methods)))
        return str(endpoint)
    return request.endpoint


def _check_host(request: Request, trusted_names: Sequence[str]) -> None:
    """Protects against DNS rebinding: another site can make a browser call 127.0.0.1, but not under one of our names."""
    use_host_of_target(request.environ)
    name = host_name(request.environ.get("HTTP_HOST", ""))
    if not name or (name not in trusted_names and not any(_is_under(name, trusted) for trusted in trusted_names)):
        raise UntrustedHost("The Host header is missing, or names a host that this service does not serve.")


def _is_under(name: str, trusted: str) -> bool:
    """`.example.org` matches the name itself and its subdomains."""
    return name == trusted or (trusted.startswith(".") and f".{name}".endswith(trusted))


def _authenticate(required: Scope | Access | None, g: _AppCtxGlobals) -> None:
    """Set `g.caller`. Any failure keeps the caller out."""
    try:
        g.caller = authenticate()
    except ServiceError as error:
        if required is not Access.PUBLIC:
            raise
        log.info("authentication failed on a public route", error=error.code)
    except Exception as error:
        log.error("unexpected error", exc_info=error)
        raise StorageUnavailable("Your API key could not be checked. Try again later.") from error


def _challenge() -> BaseResponse:
    """A browser's page gets the sign-in page, a program 401."""
    sent_a_key = "HTTP_AUTHORIZATION" in request.environ
    if sent_a_key or request.path.startswith("/api/") or request.endpoint == "docs.document":
        log_security_event("denied", reason="no key")
        raise NotAuthenticated(INVALID_KEY)
    address = request.full_path.removesuffix("?")
    if "HX-Request" in request.headers:
        # A fragment is not a page to return to: the page that loaded it is.
        address = _path_of(request.headers.get("HX-Current-URL", ""))
        return Response(status=401, headers={"HX-Redirect": _login(address), "WWW-Authenticate": CHALLENGE})
    if request.endpoint == "generate_page.submit":
        # The browser sends the form again, to the sign-in page, which keeps what was typed.
        return redirect(_login(""), 307)
    if request.method not in SAFE_METHODS:
        address = _path_of(request.headers.get("Referer", ""))  # where the form was
    return redirect(_login(address))


def _path_of(address: str) -> str:
    try:
        there = urlsplit(address)
    except ValueError:
        return ""
    return f"{there.path}?{there.query}" if there.query else there.path


def _login(address: str) -> str:
    """The address of the sign-in page, with the page to return to, and why one is asked if that is not obvious."""
    wanted = local_address(address)
    ended = current_g().get("drop_cookie", False)
    # Werkzeug leaves out what is None.
    return url_for("login.show", reason="ended" if ended else None, next=wanted if wanted != "/" else None)


def local_address(text: str) -> str | None:
    """The text if it is the path of a page of this service that a sign-in may return to, else None."""
    if not text.startswith("/") or text.startswith("//") or len(text) > MAX_ADDRESS_CHARS:
        return None
    if "\\" in text or not text.isprintable():
        return None
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None
    try:
        endpoint, _ = adapter.match(urlsplit(text).path, method="GET")
    except (HTTPException, ValueError):
        return None
    is_page = not text.startswith(("/api/", "/static/")) and not endpoint.startswith("login.")
    return text if is_page else None


def _check_scope(required: Scope | Access | None, endpoint: str | None, caller: Caller) -> None:
    """A request that matches no route continues to its 404 or 405."""
    if endpoint is None or required is Access.ANY_KEY:
        return
    if not isinstance(required, Scope):
        raise ServiceError("No permission is configured for this route.")
    if not caller.may(required):
        log_security_event("denied", reason="scope", needs=required.value)
        raise NotAllowed(f'Your key lacks the "{required.value}" scope.')


def _check_origin(request: Request, g: _AppCtxGlobals) -> None:
    """A request that changes something must come from one of our own pages, or from a program that is no browser.

    Browsers send `Sec-Fetch-Site`, older ones `Origin`. A form post with neither is refused; an API call with neither is
    a program's. A signed-in browser must also send its session's token. Requests with an Authorization header skip the
    check, because browsers never add an API key by themselves; except at sign-in, where the header means nothing.
    """
    if "HTTP_AUTHORIZATION" in request.environ and request.endpoint != "login.sign_in":
        return
    if not _is_same_origin(request, g) or not _has_token(request, g):
        log_security_event("denied", reason="csrf")
        raise Csrf(
            "The request came from another site, or from a page that is out of date. Reload the page and try again."
        )


def _is_same_origin(request: Request, g: _AppCtxGlobals) -> bool:
    site: str | None = request.environ.get("HTTP_SEC_FETCH_SITE")
    origin: str | None = request.environ.get("HTTP_ORIGIN")
    if site is not None:
        return site == "same-origin" or (site == "none" and not origin)
    if origin is not None:
        return origin == f"{request.scheme}://{request.host}"
    return request.path.startswith("/api/") and g.sign_in is None


def _has_token(request: Request, g: _AppCtxGlobals) -> bool:
    """Sign-in needs no token: the page may be older than the session."""
    if g.sign_in is None or request.endpoint == "login.sign_in":
        return True
    token = request.headers.get(CSRF_HEADER)
    if token is None and not request.path.startswith("/api/"):
        token = request.form.get(CSRF_FIELD)
    return token is not None and g.sign_in.has_token(token)
