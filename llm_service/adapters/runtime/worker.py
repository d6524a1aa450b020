"""gunicorn's gevent worker, with connections that end when their caller neither reads nor writes.

gunicorn waits forever for a caller that reads nothing, with the whole response in memory. A socket's timeout does not
help: gevent counts it for all the data of one `sendall`, so a slow caller would lose a large response that it is reading,
and from the start for each `recv`, so a caller that sends a byte at a time keeps its connection for days.
"""

import errno
import fcntl
import struct
import termios
import time
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import structlog
from gevent.socket import socket, wait
from gunicorn.workers.ggevent import GeventWorker

log = structlog.get_logger("llm_service")

CHECKS = 12
_RESET = struct.pack("ii", 1, 0)


class Worker(GeventWorker):
    """The worker class of `deploy/gunicorn.conf.py`."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        connection = CallerSocket(client.family, client.type, client.proto, fileno=client.detach())
        super().handle(listener, connection, addr)


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
