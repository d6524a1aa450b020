"""HTTP to the model provider with a deadline for the whole exchange.

httpx's timeouts are per read, so an answer that sends one byte a second never times out. Here every read and write may
take at most the time until the exchange's deadline. Connections are reused, the last one first, without the scan over
all connections that httpcore's pool makes for each request.

An exchange can be stopped from outside (`stopped_by`): shutting down its socket wakes the reader in any thread or
greenlet, even in the middle of a TLS record.

The transport connects directly: proxy variables of the environment are not read.
"""

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from llm_service.core.generation.call_context import CallContext

CONNECT_TIMEOUT_S = 5.0
KEEP_IDLE = 100
KEEPALIVE_S = 30.0
MAX_ERROR_BODY_BYTES = 64 * 1024


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


class Limit:
    """When an exchange must be over. `idle_s`, if set, also limits each wait."""

    __slots__ = ("deadline", "idle_s")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.idle_s: float | None = None

    def wait_s(self) -> float:
        """Seconds that the next wait may take.

        Raises `httpcore2.ReadTimeout` at the deadline.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("deadline")
        return left if self.idle_s is None else min(left, self.idle_s)


class DeadlineTransport(httpx2.BaseTransport):
    """A request's timeout is the seconds that the whole exchange may take.

    The response has its `Limit` as `extensions["limit"]`.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._idle: deque[_Connection] = deque(maxlen=KEEP_IDLE)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        limit = Limit(time.monotonic() + request.extensions["timeout"]["read"])
        origin = _origin(request.url)
        connection = self._take(origin) or _Connection(origin, self._context(origin))
        connection.context = _context.get()
        try:
            response = connection.send(request, limit)
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response, connection, self._give_back),
            extensions={**response.extensions, "limit": limit},
        )

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self, origin: httpcore2.Origin) -> "_Connection | None":
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.http.can_handle_request(origin) and not connection.http.has_expired():
                return connection
            connection.close()

    def _give_back(self, connection: "_Connection") -> None:
        connection.release()
        if connection.http.is_idle() and len(self._idle) < KEEP_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _context(self, origin: httpcore2.Origin) -> ssl.SSLContext | None:
        if origin.scheme == b"https":
            with self._lock:
                self._ssl_context = self._ssl_context or httpx2.create_ssl_context()
        return self._ssl_context


class _Connection:
    """One connection, used by one exchange at a time. That exchange's limit applies to all reads and writes."""

    def __init__(self, origin: httpcore2.Origin, ssl_context: ssl.SSLContext | None) -> None:
        self._backend = _LimitedBackend()
        self.context: CallContext | None = None
        self.http = httpcore2.HTTPConnection(
            origin, ssl_context=ssl_context, keepalive_expiry=KEEPALIVE_S, network_backend=self._backend
        )

    def send(self, request: httpx2.Request, limit: Limit) -> httpcore2.Response:
        self._backend.limit = limit
        if self.context is not None:
            self.context.on_stop(self._backend.abort)
        url = request.url
        return self.http.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
            )
        )

    def release(self) -> None:
        """The exchange is over: stopping its call must not stop the next exchange."""
        if self.context is not None:
            self.context.on_stop(None)
            self.context = None

    def close(self) -> None:
        self.release()
        self.http.close()


class _Body(httpx2.SyncByteStream):
    """A response's bytes. Closing it returns the connection, or closes it if the response was not read to its end."""

    def __init__(self, response: httpcore2.Response, connection: _Connection, give_back: Any) -> None:
        self._response = response
        self._connection = connection
        self._give_back = give_back
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._response.iter_stream():
            size += len(chunk)
            if self._response.status >= 300 and size > MAX_ERROR_BODY_BYTES:
                return
            yield chunk

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._response.close()
            self._give_back(self._connection)


class _LimitedBackend(httpcore2.NetworkBackend):
    limit: Limit

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()
        self._aborted = False
        self._socket: Any = None

    def abort(self) -> None:
        self._aborted = True
        if self._socket is not None:
            _shut_down(self._socket)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        wait_s = min(CONNECT_TIMEOUT_S, self.limit.wait_s())
        stream = self._sockets.connect_tcp(host, port, wait_s, local_address, socket_options)
        self.use(stream)
        return _LimitedStream(stream, self)

    def use(self, stream: httpcore2.NetworkStream) -> None:
        """Set the socket to shut down. While it connects there is none, and nothing was sent."""
        self._socket = stream.get_extra_info("socket")
        if self._aborted:
            stream.close()
            raise httpcore2.ConnectError("stopped")


class _LimitedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, backend: _LimitedBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.limit.wait_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.limit.wait_s())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        wait_s = min(CONNECT_TIMEOUT_S, self._backend.limit.wait_s())
        stream = self._stream.start_tls(ssl_context, server_hostname, wait_s)
        self._backend.use(stream)
        return _LimitedStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _origin(url: httpx2.URL) -> httpcore2.Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return httpcore2.Origin(url.raw_scheme, url.raw_host, port)


def _shut_down(connected: Any) -> None:
    """The plain system call, also for TLS sockets: their own `shutdown` would remove the TLS layer under a reader."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
