"""Whether a request comes from this machine itself, as far as that can be told.

The client, the Host that it names and the address that the server listens on must all be this machine's own, and no
proxy may stand in between unless `APP_PROXY_HOPS` accounts for it.
"""

import ipaddress
import re
from functools import lru_cache

from flask import current_app, request

# As WSGI spells X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP, Forwarded and Via.
FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in ("X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "FORWARDED", "VIA")
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")


def is_open() -> bool:
    """Listening address, peer, named client and Host are all loopback, and the settings do not require a key.

    `ProxyFix` has put the named client into `remote_addr`.
    """
    if not current_app.config["OPEN_ON_LOOPBACK"]:
        return False
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
    # Servers name the address that they listen on; 0.0.0.0 is everybody's.
    listening = request.environ.get("SERVER_NAME", "")
    if not (is_loopback(listening) or names_loopback(listening)):
        return False
    return is_loopback(peer) and is_loopback(client) and names_loopback(request.environ["HTTP_HOST"])


def names_loopback(host: str) -> bool:
    name = host_name(host)
    return name == "localhost" or is_loopback(name)


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
    """The name in a Host header, without port and brackets, in small letters; empty where it is no such header."""
    match = _HOST.fullmatch(host.lower())
    return match[1].strip("[]") if match else ""
