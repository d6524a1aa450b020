"""HTTP to the model provider with a deadline for the whole exchange.

httpx's timeouts are per read, so an answer that sends one byte a second never times out. Here every read and write may
take at most the time until the exchange's deadline. Connections are reused, the last one first.

An exchange can be stopped from outside: shutting down its socket wakes the reader in any thread or greenlet, even in
the middle of a TLS record.

If there is a proxy, all requests go through it. To an https origin it opens a tunnel (CONNECT), inside which the
origin's certificate is verified as always. A request to an http origin is sent to the proxy itself, with the whole URL.
"""

import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

import httpcore2
import httpx2
import structlog

from llm_service.core.generation.call_context import CallContext

from .http1 import Headers, Http1Connection, TimeLimit
from .names import Resolve, Resolver, system_addresses
from .proxies import PORTS, Proxy

KEEP_IDLE = 100
MAX_ERROR_BODY_BYTES = 64 * 1024
log = structlog.get_logger("llm_service")
_FORBIDDEN = re.compile(rb"[\r\n\0]")
_LENGTH = b"content-length"


class DeadlineTransport:
    """Sends requests that differ only in their bodies. Safe from threads and greenlets."""

    def __init__(
        self, request: httpx2.Request, proxy: Proxy | None = None, resolve: Resolve = system_addresses
    ) -> None:
        """`request`: the method, the address and the headers of all requests. `resolve`: for the origin or the proxy.

        Raises `httpcore2.LocalProtocolError` for a header that contains a line end.
        """
        if proxy is not None:
            log.info("proxy", host=proxy.host, port=proxy.port)
        self._head = _head(request, proxy)
        self._scheme = request.url.scheme
        # The host as it is in the Host header: Python's own encoding of other scripts differs.
        self._address = (request.url.raw_host.decode("ascii"), request.url.port or PORTS[request.url.scheme])
        self._proxy = proxy
        self._resolver = Resolver(resolve)
        self._ssl_context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: deque[Http1Connection] = deque(maxlen=KEEP_IDLE)
        self._closed = False

    def send(self, body: bytes, seconds: float, context: CallContext) -> "Response":
        """Send a request, and return its response when the head has arrived; the caller closes it.

        `seconds`: how long everything may take, until the end of the response. If `context` is stopped, everything ends.
        """
        limit = TimeLimit(time.monotonic() + seconds, context.alarm)
        exchange = _Exchange(self._take() or self._new(), context, self._give_back)
        try:
            exchange.connection.send(b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body), limit)
            status, headers = exchange.connection.read_head(limit)
        except BaseException:
            exchange.close(reusable=False)
            raise
        return Response(exchange, status, headers, limit)

    def close(self) -> None:
        """Close the idle connections now, and those in use when their exchanges end."""
        self._closed = True
        self._close_idle()

    def _take(self) -> Http1Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_alive():
                return connection
            connection.close()

    def _new(self) -> Http1Connection:
        tls = self._tls() if self._scheme == "https" else None
        return Http1Connection(*self._address, tls, self._proxy, self._resolver)

    def _give_back(self, connection: Http1Connection) -> None:
        if len(self._idle) < KEEP_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if self._closed:  # after the line above: `close` may have run in between
            self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._ssl_context is None:
                self._ssl_context = httpx2.create_ssl_context()
                self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


class Response(httpx2.SyncByteStream):
    """A response whose body is read as it arrives. If it was not read to its end, `close` closes the connection."""

    def __init__(self, exchange: "_Exchange", status: int, headers: Headers, limit: TimeLimit) -> None:
        self.status = status
        self.headers = headers
        self.limit = limit
        self._exchange = exchange

    def header(self, name: bytes) -> str:
        """The first value of a header; empty if it is missing. `name` is in lower case."""
        return next((value.decode("latin-1") for found, value in self.headers if found.lower() == name), "")

    def __iter__(self) -> Iterator[bytes]:
        """The body's bytes as they were sent, even if they are compressed."""
        body = self._exchange.connection.read_body(self.limit)
        return body if self.status < 300 else _beginning(body)

    def for_httpx(self) -> httpx2.Response:
        """The same response, with httpx's ways to read the body."""
        return httpx2.Response(self.status, headers=self.headers, stream=self)

    def close(self) -> None:
        self._exchange.close(reusable=True)


def _beginning(body: Iterator[bytes]) -> Iterator[bytes]:
    """Of an error: nobody needs more of it."""
    size = 0
    for chunk in body:
        size += len(chunk)
        if size > MAX_ERROR_BODY_BYTES:
            return
        yield chunk


class _Exchange:
    """A connection while one request uses it. The call's `stop` aborts it."""

    def __init__(
        self, connection: Http1Connection, context: CallContext, give_back: Callable[[Http1Connection], None]
    ) -> None:
        self.connection = connection
        self._context = context
        self._give_back = give_back
        self._closed = False
        self._lock = threading.Lock()
        context.on_stop(self._abort)

    def _abort(self) -> None:
        with self._lock:
            if not self._closed:
                self.connection.abort()

    def close(self, *, reusable: bool) -> None:
        """Return the connection, or close it. Stopping the call must not stop the next exchange."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._context.on_stop(None)
        if self.connection.end_exchange() and reusable:
            self._give_back(self.connection)
        else:
            self.connection.close()


def _head(request: httpx2.Request, proxy: Proxy | None) -> bytes:
    """The request's lines, without a length and the empty line."""
    headers = [header for header in request.headers.raw if header[0].lower() != _LENGTH]
    if _FORBIDDEN.search(b"".join(chain(*headers))):
        raise httpcore2.LocalProtocolError("A header of the request is not valid.")
    target = request.url.raw_path
    if proxy is not None and request.url.scheme == "http":
        # Without a tunnel, the proxy reads the request, and needs the whole URL.
        target, headers = b"http://%b%b" % (request.url.netloc, target), [*headers, *proxy.headers]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target), *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join([*lines, b""])
