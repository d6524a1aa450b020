"""The connection of a request: whether its caller is still there, and timeouts on reads and writes."""

import socket
from collections.abc import Callable
from typing import Any

from flask import request

# Where each server puts the connection's socket in the WSGI environment.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
# A caller that reads nothing for this long counts as disconnected.
WRITE_TIMEOUT_S = 60
# So does a caller that sends no more of the body that it announced.
READ_TIMEOUT_S = 20


def disconnect_check() -> Callable[[], bool]:
    """A function that tells whether the caller has closed the connection; always False without access to its socket.

    It only peeks: data that follows the request stays in the socket.
    """
    connection = _socket()
    return (lambda: False) if connection is None else (lambda: _closed(connection))


def set_read_timeout() -> None:
    """Close the connection if the request's body stops arriving, instead of waiting forever."""
    connection = _socket()
    if connection is not None:
        connection.settimeout(READ_TIMEOUT_S)


def set_write_timeout() -> None:
    """Close the connection if the caller stops reading, instead of waiting forever."""
    connection = _socket()
    if connection is not None:
        connection.settimeout(WRITE_TIMEOUT_S)


def _socket() -> Any:
    return next((request.environ[name] for name in _SOCKETS if name in request.environ), None)


def _closed(connection: Any) -> bool:
    # Under gevent, the native socket below, which never blocks.
    native = getattr(connection, "_sock", connection)
    try:
        peeked: bytes = native.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not peeked
