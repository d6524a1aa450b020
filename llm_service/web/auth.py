"""Who is let in.

Until there are API keys, the service is open on loopback only: the client, the Host that it names and the address
that the server listens on must all be this machine's own, and no proxy may stand in between unless `APP_PROXY_HOPS`
accounts for it. Everyone let in is the one owner `local`. Everything is closed but what `OPEN_ENDPOINTS` names.
"""

import ipaddress
import re
from functools import lru_cache

from flask import Flask, current_app, g, request

from llm_service.core.access import LOCAL

from .errors import Csrf, NotAuthenticated, UntrustedHost

OPEN_ENDPOINTS = frozenset({"static", "health.health", "health.ready", "problems.show"})
# As WSGI spells X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP, Forwarded and Via.
FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in ("X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "FORWARDED", "VIA")
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register_access(app: Flask) -> None:
    app.config["TRUSTED_NAMES"] = [name.lower().strip("[]") for name in app.config["TRUSTED_NAMES"]]
    app.before_request(_check)


def _check() -> None:
    _check_host()
    _check_access()
    _check_origin()


def _check_host() -> None:
    """Against DNS rebinding: a foreign page can make a browser call 127.0.0.1, but not under one of our names."""
    name = _host_name(request.environ.get("HTTP_HOST", ""))
    if not name or not any(_is_under(name, trusted) for trusted in current_app.config["TRUSTED_NAMES"]):
        raise UntrustedHost("The Host header does not name this service.")


def _is_under(name: str, trusted: str) -> bool:
    """`.example.org` means the name itself and all below it."""
    return name == trusted or (trusted.startswith(".") and f".{name}".endswith(trusted))


def _check_access() -> None:
    g.caller = LOCAL if _is_open() else None
    if g.caller is None and request.endpoint not in OPEN_ENDPOINTS:
        raise NotAuthenticated("This service is open to clients on its own machine only.")


def _is_open() -> bool:
    """Peer, named client and Host are all loopback. `ProxyFix` has put the named client into `remote_addr`."""
    hops = current_app.config["PROXY_HOPS"]
    client = request.remote_addr
    peer = client
    if hops:
        peer = request.environ["werkzeug.proxy_fix.orig"]["REMOTE_ADDR"]
        named = [part for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
        if len(named) < hops:
            return False
    elif not FORWARDING_HEADERS.isdisjoint(request.environ):
        return False
    return _is_loopback(peer) and _is_loopback(client) and _names_loopback(request.environ["HTTP_HOST"])


def _names_loopback(host: str) -> bool:
    name = _host_name(host)
    return name == "localhost" or _is_loopback(name)


def _check_origin() -> None:
    """A changing request must come from our own page, or from no browser at all.

    Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`. A page's form that says neither is refused; a program
    that calls the API says neither.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        good = site == "same-origin" or (site == "none" and not origin)
    elif origin is not None:
        good = origin == f"{request.scheme}://{request.host}"
    else:
        good = request.path.startswith("/api/")
    if not good:
        raise Csrf("This request was sent from another site's page.")


@lru_cache(maxsize=1024)
def _is_loopback(address: str | None) -> bool:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


@lru_cache(maxsize=1024)
def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in small letters; empty where it is no such header."""
    match = _HOST.fullmatch(host.lower())
    return match[1].strip("[]") if match else ""
