"""Whether a request comes from this machine itself.

The client's address, the Host header and the server's listening address must all be loopback, and there must be no
proxy in between that `APP_PROXY_HOPS` does not account for.
"""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from flask import current_app, request

from .current import the_app

# The headers that proxies and tunnels add besides X-Forwarded-*, as WSGI spells them.
FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in (
        "FORWARDED", "VIA", "X_REAL_IP", "X_CLIENT_IP", "X_CLUSTER_CLIENT_IP", "X_ORIGINAL_HOST", "X_ORIGINAL_FORWARDED_FOR",
        "CF_CONNECTING_IP", "TRUE_CLIENT_IP", "FASTLY_CLIENT_IP",
    )
)  # fmt: skip
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")


def is_local_request(environ: WSGIEnvironment) -> bool:
    """Whether the request is local and the settings require no key for that."""
    config = the_app().config
    if not config["OPEN_ON_LOOPBACK"] or (not config["PROXY_HOPS"] and _was_forwarded(environ)):
        return False
    # SERVER_NAME is the listening address; 0.0.0.0 is reachable from everywhere.
    listening = environ.get("SERVER_NAME", "")
    if not (is_loopback(listening) or is_loopback_host(listening)):
        return False
    return (
        is_loopback(environ.get("REMOTE_ADDR"))
        and (not config["PROXY_HOPS"] or is_loopback(client_address()))
        and is_loopback_host(environ["HTTP_HOST"])
    )


def client_address() -> str | None:
    """The peer's address, or the one that the outermost of our own proxies saw; None if that is not an IP address.

    Proxies append to X-Forwarded-For, whatever the client sent. So only the last values count, and they are split at
    commas only: a client could use quotes to hide one.
    """
    hops = current_app.config["PROXY_HOPS"]
    if not hops:
        return request.environ.get("REMOTE_ADDR")
    named = request.headers.get("X-Forwarded-For", "").split(",")
    return _address(named[-hops]) if len(named) >= hops else None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return None


def _was_forwarded(environ: WSGIEnvironment) -> bool:
    return not FORWARDING_HEADERS.isdisjoint(environ) or "\nHTTP_X_FORWARDED" in "\n".join(("", *environ))


def is_loopback_host(host: str) -> bool:
    name = host_name(host)
    return name == "localhost" or is_loopback(name)


def use_host_of_target(environ: WSGIEnvironment) -> None:
    """The host of `GET http://host/path` counts, and not the Host header's (RFC 9112, section 3.2.2).

    werkzeug's own server does the same; gunicorn leaves the header as it is.
    """
    target = environ.get("RAW_URI", "/")
    if target[:1] not in "/*" and "HTTP_HOST" in environ:
        environ["HTTP_HOST"] = urlsplit(target).netloc  # gunicorn has split it as well, so it can be split


@lru_cache(maxsize=1024)
def is_loopback(address: str | None) -> bool:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


@lru_cache(maxsize=1024)
def host_name(host: str) -> str:
    """The name in a Host header in lower case, without port and brackets; empty if the header is malformed."""
    match = _HOST.fullmatch(host.lower())
    return match[1].strip("[]") if match else ""
