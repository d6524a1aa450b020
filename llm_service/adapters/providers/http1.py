"""One HTTP/1.1 connection to a provider: a socket, TLS of the standard library, and llhttp as the parser.

A streamed answer is one small read per token, and httpcore and h11 are written in Python. Here a read takes all that has
arrived, and a C parser divides it.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import httpcore2

from llm_service.core.clock import Alarm, MakeAlarm

from .names import Resolver, connect
from .proxies import Proxy
from .response_parser import ResponseParser
from .tunnel import open_tunnel, proxy_errors

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 30.0
READ_BYTES = 64 * 1024
MAX_HEAD_BYTES = 100 * 1024
Headers = Sequence[tuple[bytes, bytes]]


class TimeLimit:
    """When an exchange must be over. `idle_s`, if set, also limits each wait for its response."""

    __slots__ = ("deadline", "idle_s", "make_alarm")

    def __init__(self, deadline: float, make_alarm: MakeAlarm) -> None:
        self.deadline = deadline
        self.make_alarm = make_alarm
        self.idle_s: float | None = None

    def set_deadline(self, deadline: float) -> None:
        self.deadline = deadline

    def wait_s(self) -> float:
        """Seconds that the next wait may take.

        Raises `httpcore2.ReadTimeout` at the deadline.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("deadline")
        return left if self.idle_s is None else min(left, self.idle_s)


class Http1Connection:
    """A connection for one exchange at a time. All methods raise `httpcore2` errors.

    `abort` may be called from any thread or greenlet: it wakes a reader, even in the middle of a TLS record, and who
    waits for a name server, for TCP, for a proxy's answer or for the TLS handshake.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        """To `host`; through `proxy`, if there is one. Without TLS, the requests themselves are the proxy's.

        `resolver` None = a new one with the system's names.
        """
        self.address = (host, port)
        self._tls = tls
        self._proxy = proxy
        self._resolver = resolver or Resolver()
        self._resolving = threading.Event()
        self._socket: socket.socket | None = None
        self._alarm: Alarm | None = None
        self._aborted = False
        self._timed_out = False
        self._broken = False
        self._response: ResponseParser | None = None
        self._expires_at = 0.0

    def send(self, request: bytes, limit: TimeLimit) -> None:
        """Connect if needed, and send a request: its head and its body."""
        connected = self._socket or self._connect(limit)
        self._response = ResponseParser()
        connected.settimeout(limit.wait_s())
        try:
            connected.sendall(request)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError:
            # A server may answer, and close, before it has read all: reading tells. The error may be one of TLS.
            self._broken = True
        # The alarm limits the reads, of which there is one for each token.
        connected.settimeout(None)
        self._alarm = limit.make_alarm(self._time_out)

    def read_head(self, limit: TimeLimit) -> tuple[int, Headers]:
        """The final response's status and headers."""
        response, size = self._current, 0
        while not response.has_head:
            data = self._receive(limit)
            if not data:
                raise httpcore2.RemoteProtocolError("The server disconnected without a response.")
            size += len(data)
            response.feed(data)
            if size > MAX_HEAD_BYTES and not response.has_head:
                raise httpcore2.RemoteProtocolError("The headers are too large.")
        return response.status, response.headers

    def read_body(self, limit: TimeLimit) -> Iterator[bytes]:
        """The body's bytes, as they arrive."""
        response, without_data = self._current, 0
        while True:
            if data := response.take():
                without_data = 0
                yield data
            if response.complete:
                return
            received = self._receive(limit)
            without_data += len(received)
            if without_data > MAX_HEAD_BYTES:
                raise httpcore2.RemoteProtocolError("The trailers or the chunks' extensions are too large.")
            if received:
                response.feed(received)
            elif response.ends_with_the_connection:
                return
            else:
                raise httpcore2.RemoteProtocolError("The server disconnected before the response was complete.")

    def end_exchange(self) -> bool:
        """Whether the connection can be used again."""
        self._expires_at = time.monotonic() + KEEPALIVE_S
        self._cancel_alarm()
        if self._response is None or self._socket is None:
            return False
        self._response.close()
        return self._response.allows_another and not (self._aborted or self._timed_out or self._broken)

    def is_alive(self) -> bool:
        """Whether an idle connection can be used: neither too old nor closed by the server."""
        if self._socket is None or time.monotonic() > self._expires_at:
            return False
        self._socket.settimeout(0)
        try:
            # Below TLS. What arrives on an idle connection is its end.
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def abort(self) -> None:
        """End the exchange, wherever it is."""
        self._aborted = True
        self._resolving.set()
        self._shut_down()

    def close(self) -> None:
        self._cancel_alarm()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _time_out(self) -> None:
        self._timed_out = True
        self._shut_down()

    def _shut_down(self) -> None:
        """Wake the reader, or who connects."""
        if (connected := self._socket) is not None:
            # The plain system call: a TLS socket's own `shutdown` would remove the TLS layer under a reader.
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    @property
    def _current(self) -> ResponseParser:
        assert self._response is not None, "send comes first"
        return self._response

    def _connect(self, limit: TimeLimit) -> socket.socket:
        try:
            self._reach(limit)
        except Exception:
            if not self._aborted:
                raise
        # Outside of the handler: the error that the abort provoked must not be taken for the cause.
        self._refuse_if_aborted()
        assert self._socket is not None
        return self._socket

    def _reach(self, limit: TimeLimit) -> None:
        if self._proxy is None:
            with _errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                self._dial(self.address, limit)
        else:
            with proxy_errors():
                connected = self._dial((self._proxy.host, self._proxy.port), limit)
                if self._tls is not None:
                    open_tunnel(connected, self._proxy, self.address, time.monotonic() + _connect_s(limit))
        if self._tls is not None:
            with _errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                self._secure(self._tls, limit)

    def _dial(self, address: tuple[str, int], limit: TimeLimit) -> socket.socket:
        self._resolving.clear()
        self._refuse_if_aborted()
        addresses = self._resolver.addresses(*address, _connect_s(limit), self._resolving)
        connect(addresses, lambda: _connect_s(limit), self._use)
        assert self._socket is not None
        self._refuse_if_aborted()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _secure(self, tls: ssl.SSLContext, limit: TimeLimit) -> None:
        assert self._socket is not None
        # In two steps: `abort` must reach the socket that waits.
        secured = tls.wrap_socket(self._socket, server_hostname=self.address[0], do_handshake_on_connect=False)
        self._use(secured)
        secured.settimeout(_connect_s(limit))
        secured.do_handshake()

    def _use(self, connected: socket.socket | None) -> None:
        self._socket = connected
        if connected is not None:
            self._refuse_if_aborted()

    def _refuse_if_aborted(self) -> None:
        if self._aborted:
            self.close()
            raise httpcore2.ConnectError("stopped")

    def _receive(self, limit: TimeLimit) -> bytes:
        if self._socket is None or self._alarm is None:
            raise httpcore2.ReadError("closed")
        self._alarm.set(limit.wait_s())
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            self._refuse_if_timed_out()
            raise httpcore2.ReadError(str(error)) from error
        if not data:
            self._refuse_if_timed_out()
        return data

    def _refuse_if_timed_out(self) -> None:
        if self._timed_out:
            raise httpcore2.ReadTimeout("The server sent nothing in time.")


def _connect_s(limit: TimeLimit) -> float:
    """Seconds that a step of connecting may take.

    Raises `httpcore2.ConnectTimeout` at the deadline: nothing was sent.
    """
    left = limit.deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ConnectTimeout("deadline")
    return min(CONNECT_TIMEOUT_S, left)


@contextmanager
def _errors(timeout: type[Exception], other: type[Exception]) -> Iterator[None]:
    """Raise `httpcore2`'s errors, which tell what happened to the request. TLS faults are their causes."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise other(str(error)) from error
