"""The door: which Host, who, whether they may, and whether it was meant.

Everything is closed but what `web.scopes` says: a route that is not in its table opens for nobody.
"""

from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Scope
from llm_service.core.errors import ServiceError, StorageUnavailable

from ..http.errors import CHALLENGE, Csrf, NotAllowed, NotAuthenticated, UntrustedHost
from ..http.loopback import host_name
from ..http.security_log import record
from .authentication import NOT_LET_IN, drop_cookie, identify
from .permissions import ROUTE_PERMISSIONS, Need

log = structlog.get_logger("llm_service")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
MAX_ADDRESS_CHARS = 2000


def register_access(app: Flask) -> None:
    app.config["TRUSTED_NAMES"] = [name.lower().strip("[]") for name in app.config["TRUSTED_NAMES"]]
    app.config["ROUTE_PERMISSIONS"] = dict(ROUTE_PERMISSIONS)
    app.before_request(_check)
    app.after_request(drop_cookie)


def _check() -> BaseResponse | None:
    g.caller = g.sign_in = None
    _check_host()
    need = current_app.config["ROUTE_PERMISSIONS"].get(_endpoint())
    if need is not Need.UNASKED:
        _look_who(need)
        if need is not Need.OPEN:
            if g.caller is None:
                return _ask_who()
            _check_scope(need)
    _check_origin()
    return None


def _endpoint() -> str | None:
    """That a method is wrong is told to whoever might use a right one there."""
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        adapter = current_app.create_url_adapter(request)
        assert adapter is not None
        endpoint, _ = adapter.match(method=next(iter(error.valid_methods)))
        return str(endpoint)
    return request.endpoint


def _check_host() -> None:
    """Against DNS rebinding: a foreign page can make a browser call 127.0.0.1, but not under one of our names."""
    name = host_name(request.environ.get("HTTP_HOST", ""))
    if not name or not any(_is_under(name, trusted) for trusted in current_app.config["TRUSTED_NAMES"]):
        raise UntrustedHost("The Host header does not name this service.")


def _is_under(name: str, trusted: str) -> bool:
    """`.example.org` means the name itself and all below it."""
    return name == trusted or (trusted.startswith(".") and f".{name}".endswith(trusted))


def _look_who(need: Scope | Need | None) -> None:
    """Set `g.caller`. Whatever goes wrong with that lets nobody in."""
    try:
        g.caller = identify()
    except ServiceError as error:
        if need is not Need.OPEN:
            raise
        log.info("open to strangers", error=error.code)
    except Exception as error:
        log.error("unexpected error", exc_info=error)
        raise StorageUnavailable("Who is asking could not be found out. Try again shortly.") from error


def _ask_who() -> BaseResponse:
    """To a browser's page the way to sign in, to a program 401."""
    shown_a_key = "HTTP_AUTHORIZATION" in request.environ
    if shown_a_key or request.path.startswith("/api/") or request.endpoint == "docs.document":
        record("denied", reason="no key")
        raise NotAuthenticated(NOT_LET_IN)
    if "HX-Request" in request.headers:
        # A fragment is no page to come back to: the page that asked for it is.
        address = _login(_path_of(request.headers.get("HX-Current-URL", "")))
        return Response(status=401, headers={"HX-Redirect": address, "WWW-Authenticate": CHALLENGE})
    return redirect(_login(request.full_path.removesuffix("?") if request.method in SAFE_METHODS else ""))


def _path_of(address: str) -> str:
    try:
        there = urlsplit(address)
    except ValueError:
        return ""
    return f"{there.path}?{there.query}" if there.query else there.path


def _login(address: str) -> str:
    wanted = local_address(address)
    return url_for("login.show", next=wanted) if wanted and wanted != "/" else url_for("login.show")


def local_address(text: str) -> str | None:
    """The text, if it is the address of a page of this service that one may come back to."""
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


def _check_scope(need: Scope | Need | None) -> None:
    """No route at all goes on to its 404 or 405."""
    if request.endpoint is None or need is Need.SOMEBODY:
        return
    if not isinstance(need, Scope):
        raise ServiceError("This address says nowhere who may use it.")
    if not g.caller.may(need):
        record("denied", reason="scope", needs=need.value)
        raise NotAllowed(f"Your key does not have the scope {need.value}.")


def _check_origin() -> None:
    """A changing request must come from our own page, or from no browser at all.

    Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`. A page's form that says neither is refused; a program
    that calls the API says neither. A signed-in browser must also bring its session's token. Who sends a key in a header
    is none of this: a browser may add a password to it by itself, but no key. To sign in asks for no header, so that one
    changes nothing there.
    """
    if request.method in SAFE_METHODS:
        return
    if "HTTP_AUTHORIZATION" in request.environ and request.endpoint != "login.sign_in":
        return
    if not _is_same_origin() or not _has_token():
        record("denied", reason="csrf")
        raise Csrf("This request was sent from another site's page, or from one that is too old: reload it.")


def _is_same_origin() -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "same-origin" or (site == "none" and not origin)
    if origin is not None:
        return origin == f"{request.scheme}://{request.host}"
    return request.path.startswith("/api/") and g.sign_in is None


def _has_token() -> bool:
    """To sign in anew needs none: the page may be older than the session."""
    if g.sign_in is None or request.endpoint == "login.sign_in":
        return True
    token = request.headers.get(CSRF_HEADER)
    if token is None and not request.path.startswith("/api/"):
        token = request.form.get(CSRF_FIELD)
    return token is not None and g.sign_in.has_token(token)
