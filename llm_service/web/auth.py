"""Who is let in.

Until there are API keys, the service is open on loopback only: the client, the Host that it names and the address
that the server listens on must all be this machine's own, and no proxy may stand in between unless `APP_PROXY_HOPS`
accounts for it. Everyone let in is the one owner `local`. Everything is closed but what `OPEN_ENDPOINTS` names.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from .errors import Csrf, NotAuthenticated, UntrustedHost

LOCAL_OWNER = "local"
OPEN_ENDPOINTS = frozenset({"static", "health.health", "health.ready", "problems.show"})
FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register_access(app: Flask) -> None:
    app.before_request(_check_host)
    app.before_request(_check_access)
    app.before_request(_check_origin)


def _check_host() -> None:
    """Against DNS rebinding: a foreign page can make a browser call 127.0.0.1, but not under one of our names."""
    match = _HOST.fullmatch(request.environ.get("HTTP_HOST", "").lower())
    if match is None or not _is_trusted(match[1].strip("[]")):
        raise UntrustedHost("The Host header does not name this service.")


def _is_trusted(name: str) -> bool:
    """`.example.org` in the list means the name itself and all below it."""
    trusted = [one.lower().strip("[]") for one in current_app.config["TRUSTED_NAMES"]]
    return any(name == one or (one[0] == "." and f".{name}".endswith(one)) for one in trusted)


def _check_access() -> None:
    g.owner = None
    if request.endpoint in OPEN_ENDPOINTS:
        return
    if not _is_open():
        raise NotAuthenticated("This service is open to clients on its own machine only.")
    g.owner = LOCAL_OWNER


def _is_open() -> bool:
    """Peer, named client and Host are all loopback. `ProxyFix` has put the named client into `remote_addr`."""
    hops = current_app.config["PROXY_HOPS"]
    peer = request.environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR", request.remote_addr)
    if hops:
        named = [part for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
        if len(named) < hops:
            return False
    elif any(name in request.headers for name in FORWARDING_HEADERS):
        return False
    return _is_loopback(peer) and _is_loopback(request.remote_addr) and _names_loopback(request.host)


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


def _is_loopback(address: str | None) -> bool:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _names_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return name == "localhost" or _is_loopback(name)
