"""Which HTTP proxy leads to the provider: the rules for the usual variables of the environment.

The variables are settings, so this module imports no network library.
"""

import base64
import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._:-]+")
_WRONG = (
    "must be the URL of an HTTP proxy, such as http://proxy.example:3128 (http also for a provider with https). Special "
    "characters in a user or a password are written as %XX. Proxies over TLS (https://...) or SOCKS are not supported"
)


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """The value of a proxy variable. It may contain a password. `parse_proxy` checks it if the proxy is used."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proxy:
    """`credentials`: user and password for Basic authentication, with a colon in between."""

    host: str
    port: int
    credentials: bytes | None = field(default=None, repr=False)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """For the proxy only; the provider must not get them."""
        if self.credentials is None:
            return []
        return [(b"Proxy-Authorization", b"Basic " + base64.b64encode(self.credentials))]

    def secrets(self) -> list[str]:
        """Values that no log may show."""
        if self.credentials is None:
            return []
        encoded = base64.b64encode(self.credentials).decode("ascii")
        return [self.credentials.partition(b":")[2].decode(errors="replace"), encoded]


def parse_proxy(url: ProxyUrl) -> Proxy:
    """Raises `ValueError`. Its message quotes nothing: in a wrong URL, the password may be anywhere."""
    text = url.text if "://" in url.text else f"http://{url.text}"
    if not text.isascii() or not text.isprintable():
        raise ValueError(_WRONG)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", PORTS["http"] if parts.port is None else parts.port
    except ValueError:
        raise ValueError(_WRONG) from None
    wrong = parts.path not in ("", "/") or parts.query or parts.fragment or not port or not _HOST.fullmatch(host)
    if wrong or parts.scheme != "http":
        raise ValueError(_WRONG)
    if parts.username is None:
        return Proxy(host, port)
    return Proxy(host, port, unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or ""))


def proxy_variable(address: str, given: Collection[str], no_proxy: str) -> str | None:
    """The variable whose proxy leads to an address; None = the connection is direct.

    `given`: the names of the variables that have a value. As with curl and httpx, only `NO_PROXY` exempts loopback
    addresses.
    """
    parts = urlsplit(address)
    name = next((name for name in (f"{parts.scheme.upper()}_PROXY", "ALL_PROXY") if name in given), None)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    return None if name is None or _is_exempt(host, port, no_proxy) else name


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Names as in the standard library; also networks, `*.example.org`, and `*` among others, which it does not know."""
    entries = re.split(r"[\s,]+", no_proxy.lower())
    if "*" in entries or _is_in(host, _networks(entries)):
        return True
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    names = (entry.removeprefix("*").lstrip(".") for entry in entries)
    return any(f".{tail}".endswith(f".{name}") for name in names if name for tail in (host, address))


def _is_in(host: str, networks: Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _networks(entries: list[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """An address is a network of one."""
    for entry in entries:
        try:
            yield ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            continue
