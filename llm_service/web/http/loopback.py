"""Whether a request comes from this machine itself, as far as that can be told.

The client, the Host that it names and the address that the server listens on must all be this machine's own, and no
proxy may stand in between unless `APP_PROXY_HOPS` accounts for it.
"""

import ipaddress
import re
from functools import lru_cache

from flask import current_app, request

# As WSGI spells the headers that proxies and tunnels add, and that are none of X-Forwarded-*.
FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in (
        "FORWARDED", "VIA", "X_REAL_IP", "X_CLIENT_IP", "X_CLUSTER_CLIENT_IP", "X_ORIGINAL_HOST", "X_ORIGINAL_FORWARDED_FOR",
        "CF_CONNECTING_IP", "TRUE_CLIENT_IP", "FASTLY_CLIENT_IP",
    )
)  # fmt: skip
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")


def is_open() -> bool:
    """Listening address, peer, named client and Host are all loopback, and the settings do not require a key."""
    if not current_app.config["OPEN_ON_LOOPBACK"]:
        return False
    if not current_app.config["PROXY_HOPS"] and _was_forwarded():
        return False
    # Servers name the address that they listen on; 0.0.0.0 is everybody's.
    listening = request.environ.get("SERVER_NAME", "")
    if not (is_loopback(listening) or names_loopback(listening)):
        return False
    peer = request.environ.get("REMOTE_ADDR")
    return is_loopback(peer) and is_loopback(client_address()) and names_loopback(request.environ["HTTP_HOST"])


def client_address() -> str | None:
    """The peer's, or the one that the outermost of our own proxies saw; None where what it says is no address.

    Proxies append to X-Forwarded-For what they see, whatever stands there already. So only the last values count, each of
    them up to its comma: quotes have no meaning, which a stranger could give them.
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


def _was_forwarded() -> bool:
    environ = request.environ
    return not FORWARDING_HEADERS.isdisjoint(environ) or any(name.startswith("HTTP_X_FORWARDED") for name in environ)


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
