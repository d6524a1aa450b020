"""gunicorn's gevent worker, with connections that end when their caller neither reads nor writes, and a stop without loss.

gunicorn waits forever for a caller that reads nothing, with the whole response in memory. A socket's timeout does not
help: gevent counts it for all the data of one `sendall`, so a slow caller would lose a large response that it is reading,
and from the start for each `recv`, so a caller that sends a byte at a time keeps its connection for days.

gunicorn also closes its port while connections wait to be accepted, up to a second after it was told to stop. The system
resets them if no other process listens there, and a proxy does not repeat a POST that it has sent.
"""

import errno
import fcntl
import struct
import termios
import time
from dataclasses import dataclass
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import structlog
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket, wait
from gunicorn.workers.ggevent import GeventWorker

log = structlog.get_logger("llm_service")

CHECKS = 12
_RESET = struct.pack("ii", 1, 0)


class Worker(GeventWorker):
    """The worker class of `deploy/gunicorn.conf.py`."""

    def init_process(self) -> None:
        # gunicorn looks up each setting through two functions, twenty times in a request. A worker's do not change.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def server_class(self, listener: Any, *, spawn: Pool, **more: Any) -> "Listener":
        """gunicorn calls this for each address that it listens on."""
        tls = {"ssl_context": more["ssl_context"]} if self.cfg.is_ssl else {}
        handle = partial(self.handle, Address(listener.getsockname()))
        server = Listener(listener, handle=handle, spawn=spawn, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1  # the others get their share
        return server

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        connection = CallerSocket(client.family, client.type, client.proto, fileno=client.detach())
        super().handle(listener, connection, addr)


@dataclass(frozen=True)
class Address:
    """Where a socket listens. gunicorn asks for it at each connection, also after it has closed the socket."""

    name: Any

    def getsockname(self) -> Any:
        return self.name


class Listener(StreamServer):
    """Accepts what has connected before it closes."""

    def close(self) -> None:
        while not self.closed and not self.full() and (accepted := self.do_read()):
            self.do_handle(*accepted)
        super().close()


class CallerSocket(socket):
    """A socket that waits for its reader as long as that reads, however slowly.

    `send`, `sendall` and `sendfile` raise `ConnectionResetError` if it takes nothing for `WRITE_TIMEOUT_S`. A timeout of
    the socket is for each `recv` only; with it, all waiting for one request is limited to `BODY_TIMEOUT_S`. Then `recv`
    raises `TimeoutError`.
    """

    WRITE_TIMEOUT_S = 60.0
    BODY_TIMEOUT_S = 300.0

    __slots__ = ("_waited_s",)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._waited_s = 0.0

    def sendall(self, data: bytes, flags: int = 0) -> None:
        self._waited_s = 0.0  # a response: the next request is another
        rest = memoryview(data)
        while True:
            rest = rest[self.send(rest, flags) :]
            if not rest:
                return

    def send(self, data: Any, flags: int = 0, timeout: object = None) -> int:
        """`timeout` is ignored. Also what `sendfile` sends comes here: static files."""
        while True:
            try:
                return self._sock.send(data, flags)  # type: ignore[no-any-return]
            except BlockingIOError:
                if self.timeout == 0.0:
                    raise
                self._wait_for_reader()

    def recv(self, *args: Any) -> bytes:
        while True:
            try:
                return self._sock.recv(*args)  # type: ignore[no-any-return]
            except BlockingIOError:
                if self.timeout == 0.0:
                    raise
                self._wait_for_data()

    def _wait_for_data(self) -> None:
        if self.timeout is None:
            wait(self._read_event)
            return
        began = time.monotonic()
        wait(self._read_event, max(0.0, min(self.timeout, self.BODY_TIMEOUT_S - self._waited_s)))
        self._waited_s += time.monotonic() - began

    def _wait_for_reader(self) -> None:
        """Until there is room to write.

        The kernel reports room only when a third of its buffer is free, so what the reader has not taken is looked at too.
        """
        unread, checks = self._unread(), 0
        while checks < CHECKS:
            try:
                wait(self._write_event, self.WRITE_TIMEOUT_S / CHECKS)
                return
            except TimeoutError:
                checks += 1
            left = self._unread()
            if left < unread:
                unread, checks = left, 0
        log.info("disconnected a caller that stopped reading", silent_s=self.WRITE_TIMEOUT_S, unread_bytes=unread)
        # Closing it discards what is left; the kernel would go on trying to send it for minutes.
        self.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        # gunicorn treats it like a caller that hung up.
        raise ConnectionResetError(errno.ECONNRESET, "The caller stopped reading.")

    def _unread(self) -> int:
        """Bytes that the other side has not acknowledged."""
        return int(struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
