"""Connections to Redis that wait a tenth of a second at most, for all that a command needs together.

redis-py's own timeouts are for each read and write: a server that answers byte by byte, or a handshake of four round trips,
would take many times as long. Its defaults are 5 s, and 4.4 s of retries.

A timeout alone says little in a process that was busy for as long: the answer may have come long ago. So each wait ends with
a look whether it is there.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from ssl import SSLWantReadError
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from .url import RedisAddress

T = TypeVar("T")
# A command and what its connection needs first.
COMMAND_S = 0.1
# An answer that takes longer is a slow one: several of them would cost a request more than a timeout.
SLOW_S = 0.05
# What a command waits at least, if this process was busy since it began.
LEAST_S = 0.02
# In a process that is busy: a burst of requests makes it connect often, and it looks late at what has connected. Each try may
# add as much to a request, so there are no more.
CONNECT_TRIES = 2
# More commands wait for each other. Each takes a fraction of a millisecond, and a burst must not begin with dozens of connects.
MAX_CONNECTIONS = 8
# Background readers (`XREAD BLOCK`, pub/sub) may wait half as long for Redis.
BLOCKING_S = 10.0
BLOCKING_CONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Told about the answers: `slow` while a slow one is still missing, `quick` after each other one."""

    slow: Callable[[], None]
    quick: Callable[[], None]


class BoundedSocket:
    """A socket whose reads and writes share one deadline, which `begin` sets: a command's and its handshake's."""

    def __init__(self, sock: Any, pace: Pace) -> None:
        self._sock, self._pace = sock, pace
        self._until = self._slow_at = 0.0
        self._asked = self._waits = False
        self.settimeout(COMMAND_S)

    def begin(self, until: float) -> None:
        self._until, self._slow_at = until, time.monotonic() + SLOW_S

    def settimeout(self, seconds: float | None) -> None:
        """0: reads do not wait. All other times are those of `begin`."""
        self._waits = seconds != 0
        self._sock.settimeout(seconds)

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(max(self._until - time.monotonic(), LEAST_S))
        self._sock.sendall(data)
        self._asked = True

    def recv(self, size: int) -> bytes:
        found: bytes = self._read(lambda: self._sock.recv(size))
        return found

    def recv_into(self, buffer: Any, *sizes: int) -> int:
        found: int = self._read(lambda: self._sock.recv_into(buffer, *sizes))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _read(self, read: Callable[[], T]) -> T:
        if not self._waits:
            return read()
        now = time.monotonic()
        least_s = LEAST_S if self._asked else 0.0
        self._asked = False
        if now < self._slow_at:
            with_answer = self._within(read, max(min(self._slow_at, self._until) - now, least_s))
            if with_answer:
                self._pace.quick()
                return with_answer[0]
            self._pace.slow()
        with_answer = self._within(read, max(self._until - time.monotonic(), least_s))
        if with_answer:
            return with_answer[0]
        raise TimeoutError("timed out")

    def _within(self, read: Callable[[], T], seconds: float) -> tuple[T] | None:
        """What was read; None = there is nothing."""
        if seconds > 0:
            self._sock.settimeout(seconds)
            try:
                return (read(),)
            except TimeoutError:
                pass
        # The timer of a busy event loop rings before it looks at its sockets.
        self._sock.settimeout(0)
        try:
            return (read(),)
        except (BlockingIOError, SSLWantReadError):
            return None


class _Bounded(AbstractConnection):
    """Mixed into redis-py's connections. The pool calls `connect` each time that it hands one out."""

    def __init__(self, *arguments: Any, pace: Pace, **options: Any) -> None:
        self._pace, self._until = pace, 0.0
        super().__init__(*arguments, **options)

    def connect(self) -> None:
        self._until = time.monotonic() + COMMAND_S
        if not self.is_connected:
            super().connect()  # type: ignore[no-untyped-call]
        sock: Any = self._sock
        sock.begin(self._until)

    def _connect(self) -> BoundedSocket:
        for tries_left in range(CONNECT_TRIES - 1, -1, -1):
            began, cpu_s = time.monotonic(), time.process_time()
            try:
                sock = self._connect_once()
                break
            except TimeoutError:
                late = time.monotonic() - began > 1.25 * COMMAND_S
                busy = time.process_time() - cpu_s > COMMAND_S / 2
                if not tries_left or not (late or busy):
                    raise
                self._until = time.monotonic() + COMMAND_S  # it was this process that took so long
        bounded = BoundedSocket(sock, self._pace)
        bounded.begin(self._until)
        return bounded

    def _connect_once(self) -> socket.socket:
        with _at_most(COMMAND_S):
            sock: socket.socket = super()._connect()  # type: ignore[no-untyped-call,safe-super]
            return sock


class BoundedConnection(_Bounded, Connection):
    """Over TCP."""


class BoundedSSLConnection(_Bounded, SSLConnection):
    """Over TLS."""


class BoundedUnixConnection(_Bounded, UnixDomainSocketConnection):
    """Over a Unix socket."""


def bounded_client(address: RedisAddress, pace: Pace) -> redis.Redis:
    """For commands of requests. The caller closes it."""
    kind = BoundedUnixConnection if address.path else BoundedSSLConnection if address.uses_tls else BoundedConnection
    # The probe has a connection of its own.
    return _client(kind, address, COMMAND_S, COMMAND_S, max_connections=MAX_CONNECTIONS + 1, pace=pace)


def blocking_client(address: RedisAddress) -> redis.Redis:
    """For background readers that wait for Redis. The caller closes it."""
    kind = UnixDomainSocketConnection if address.path else SSLConnection if address.uses_tls else Connection
    return _client(kind, address, BLOCKING_S, BLOCKING_CONNECT_S)


def _client(
    kind: type[AbstractConnection], address: RedisAddress, timeout_s: float, connect_s: float, **options: Any
) -> redis.Redis:
    pool = ConnectionPool(
        connection_class=kind,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # No CLIENT SETINFO and no CLIENT MAINT_NOTIFICATIONS: round trips that nobody needs.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        # Bytes: what others wrote need not be text.
        decode_responses=False,
        **address.options(),
        **options,
    )
    return redis.Redis.from_pool(pool)


def make_slots() -> AbstractContextManager[object]:
    """Lets as many in at once as there are connections. The threading module's own is broken by a greenlet that is killed."""
    if not _under_gevent():
        return threading.Semaphore(MAX_CONNECTIONS)
    from gevent.lock import Semaphore

    slots: AbstractContextManager[object] = Semaphore(MAX_CONNECTIONS)
    return slots


def _at_most(seconds: float) -> AbstractContextManager[object]:
    """Ends also what has no timeout of its own, such as looking up a name; without gevent, only what has one."""
    if not _under_gevent():
        return nullcontext()
    from gevent import Timeout

    bound: AbstractContextManager[object] = Timeout(seconds, TimeoutError("timed out"))
    return bound


def _under_gevent() -> bool:
    try:
        from gevent import monkey
    except ImportError:
        return False
    return bool(monkey.is_module_patched("socket"))
