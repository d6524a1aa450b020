"""The way through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6), and the errors of proxies."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import httpcore2

from .proxies import Proxy

MAX_ANSWER_BYTES = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_HEAD_END = re.compile(rb"\n\r?\n")


class ProxyFailed(httpcore2.ProxyError):
    """The proxy did not lead to the provider, which got nothing. The message is for callers.

    `status`: how the proxy answered CONNECT, if it did.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @classmethod
    def refused(cls, status: int) -> Self:
        return cls(f"The proxy refused the connection to the model provider (status {status}).", status)


class ProxyTimeout(ProxyFailed, httpcore2.ConnectTimeout):
    """The proxy did not answer in time."""


@contextmanager
def proxy_errors() -> Iterator[None]:
    """While it is the proxy that is connected to: errors of the socket are the proxy's."""
    try:
        yield
    except TimeoutError as error:
        raise ProxyTimeout("The proxy to the model provider did not answer in time.") from error
    except socket.gaierror as error:
        raise ProxyFailed("The name of the proxy to the model provider cannot be resolved (dns).") from error
    except OSError as error:
        raise ProxyFailed("The proxy to the model provider cannot be reached.") from error


def open_tunnel(connected: socket.socket, proxy: Proxy, address: tuple[str, int], until: float) -> None:
    """Make a connection to the proxy one to `address`.

    `until`: on the monotonic clock. Raises `ProxyFailed` and `OSError`.
    """
    connected.settimeout(_left_s(until))
    connected.sendall(_connect_request(proxy, *address))
    head, rest = _read_head(connected, until)
    status_line = _STATUS_LINE.match(head)
    if status_line is None:
        raise ProxyFailed("The answer of the proxy to the model provider is not valid HTTP.")
    status = int(status_line[1])
    if not 200 <= status < 300:
        raise ProxyFailed.refused(status)
    if rest:
        # In TLS, the client speaks first.
        raise ProxyFailed("The proxy to the model provider sent more than an answer to CONNECT.")


def _connect_request(proxy: Proxy, host: str, port: int) -> bytes:
    target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
    headers = [(b"Host", target), *proxy.headers]
    lines = [b"CONNECT %b HTTP/1.1" % target, *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _read_head(connected: socket.socket, until: float) -> tuple[bytes, bytes]:
    """The head of the answer, and what follows it."""
    received, searched = b"", 0
    while (end := _HEAD_END.search(received, searched)) is None:
        if len(received) > MAX_ANSWER_BYTES:
            raise ProxyFailed("The answer of the proxy to the model provider is too large.")
        searched = max(0, len(received) - 2)
        connected.settimeout(_left_s(until))
        data = connected.recv(MAX_ANSWER_BYTES)
        if not data:
            raise ProxyFailed("The proxy to the model provider closed the connection without an answer.")
        received += data
    return received[: end.end()], received[end.end() :]


def _left_s(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the proxy's answer")
    return left
