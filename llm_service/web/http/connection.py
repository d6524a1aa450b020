"""Who waits at the other end of this request's connection."""

import socket
from collections.abc import Callable
from typing import Any

from flask import request

# How the servers name a connection's socket.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
# A caller that takes nothing for so long is taken for gone.
WRITE_TIMEOUT_S = 60
# Likewise a caller that sends nothing more of the body that it announced.
READ_TIMEOUT_S = 20


def caller_gone() -> Callable[[], bool]:
    """Tells whether the caller has closed the connection; never, where the server gives no socket.

    Nothing is read: what the caller may have sent after its request stays there.
    """
    connection = _socket()
    return (lambda: False) if connection is None else (lambda: _closed(connection))


def bound_reads() -> None:
    """A body that does not come ends the connection after a while, instead of holding it for good."""
    connection = _socket()
    if connection is not None:
        connection.settimeout(READ_TIMEOUT_S)


def bound_writes() -> None:
    """A write that its reader does not take ends the connection after a while, instead of waiting for good."""
    connection = _socket()
    if connection is not None:
        connection.settimeout(WRITE_TIMEOUT_S)


def _socket() -> Any:
    return next((request.environ[name] for name in _SOCKETS if name in request.environ), None)


def _closed(connection: Any) -> bool:
    # Under gevent the socket below, which does not wait.
    native = getattr(connection, "_sock", connection)
    try:
        peeked: bytes = native.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not peeked
