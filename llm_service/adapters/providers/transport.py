"""HTTP to the model provider with a deadline for the whole exchange.

httpx's timeouts are per read, so an answer that sends one byte a second never times out. Here every read and write may
take at most the time until the exchange's deadline. Connections are reused, the last one first.

An exchange can be stopped from outside (`stopped_by`): shutting down its socket wakes the reader in any thread or
greenlet, even in the middle of a TLS record.

If there is a proxy, all requests go through it. To an https origin it opens a tunnel (CONNECT), inside which the
origin's certificate is verified as always. A request to an http origin is sent to the proxy itself, with the whole URL.
"""

import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain

import httpcore2
import httpx2
import structlog

from llm_service.core.generation.call_context import CallContext

from .http1 import Http1Connection, Limit
from .proxies import PORTS, Proxy

KEEP_IDLE = 100
MAX_ERROR_BODY_BYTES = 64 * 1024
log = structlog.get_logger("llm_service")
_FORBIDDEN = re.compile(rb"[\r\n\0]")
# Scheme, host and port; None = the scheme's own.
Origin = tuple[str, str, int | None]


# The SDK passes only a timeout to the transport.
_context: ContextVar[CallContext | None] = ContextVar("context", default=None)


@contextmanager
def stopped_by(context: CallContext) -> Iterator[None]:
    """When the call is stopped, requests sent inside, and their responses, end."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class DeadlineTransport(httpx2.BaseTransport):
    """A request's timeout is the seconds that the whole exchange may take.

    The response has its `Limit` as `extensions["limit"]`.
    """

    def __init__(self, proxy: Proxy | None = None) -> None:
        if proxy is not None:
            log.info("proxy", host=proxy.host, port=proxy.port)
        self._proxy = proxy
        self._ssl_context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: deque[tuple[Origin, Http1Connection]] = deque(maxlen=KEEP_IDLE)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        limit = Limit(time.monotonic() + request.extensions["timeout"]["read"])
        # The host as it is in the Host header: Python's own encoding of other scripts differs.
        origin = (request.url.scheme, request.url.raw_host.decode("ascii"), request.url.port)
        connection = self._take(origin) or self._new(origin)
        exchange = _Exchange(origin, connection, _context.get(), self._give_back)
        try:
            connection.send(_head(request, self._proxy) + request.read(), limit)
            status, headers = connection.read_head(limit)
        except BaseException:
            exchange.close(reusable=False)
            raise
        return httpx2.Response(
            status, headers=headers, stream=_Body(exchange, status, limit), extensions={"limit": limit}
        )

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self, origin: Origin) -> Http1Connection | None:
        while True:
            try:
                found, connection = self._idle.pop()
            except IndexError:
                return None
            if found == origin and connection.is_alive():
                return connection
            connection.close()

    def _new(self, origin: Origin) -> Http1Connection:
        scheme, host, port = origin
        return Http1Connection(host, port or PORTS[scheme], self._tls() if scheme == "https" else None, self._proxy)

    def _give_back(self, origin: Origin, connection: Http1Connection) -> None:
        if len(self._idle) < KEEP_IDLE:
            self._idle.append((origin, connection))
        else:
            connection.close()

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._ssl_context is None:
                self._ssl_context = httpx2.create_ssl_context()
                self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


class _Exchange:
    """A connection while one request uses it. The call's `stop` aborts it."""

    def __init__(
        self,
        origin: Origin,
        connection: Http1Connection,
        context: CallContext | None,
        give_back: Callable[[Origin, Http1Connection], None],
    ) -> None:
        self.connection = connection
        self._origin = origin
        self._context = context
        self._give_back = give_back
        self._closed = False
        self._lock = threading.Lock()
        if context is not None:
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
        if self._context is not None:
            self._context.on_stop(None)
        if self.connection.end_exchange() and reusable:
            self._give_back(self._origin, self.connection)
        else:
            self.connection.close()


class _Body(httpx2.SyncByteStream):
    """A response's bytes. If they were not read to their end, closing it closes the connection."""

    def __init__(self, exchange: _Exchange, status: int, limit: Limit) -> None:
        self._exchange = exchange
        self._status = status
        self._limit = limit

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._exchange.connection.read_body(self._limit):
            size += len(chunk)
            if self._status >= 300 and size > MAX_ERROR_BODY_BYTES:
                return
            yield chunk

    def close(self) -> None:
        self._exchange.close(reusable=True)


def _head(request: httpx2.Request, proxy: Proxy | None) -> bytes:
    """Raises `httpcore2.LocalProtocolError` for a header that contains a line end, or a body without a length."""
    if "transfer-encoding" in request.headers or _FORBIDDEN.search(b"".join(chain(*request.headers.raw))):
        raise httpcore2.LocalProtocolError("A header of the request is not valid.")
    target, headers = request.url.raw_path, request.headers.raw
    if proxy is not None and request.url.scheme == "http":
        # Without a tunnel, the proxy reads the request, and needs the whole URL.
        target, headers = b"http://%b%b" % (request.url.netloc, target), [*headers, *proxy.headers]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
