"""The connection of a request: whether its caller is still there, and a timeout on reads.

The server ends connections whose caller stops reading: `adapters/runtime/worker.py`.
"""

import socket
from collections.abc import Callable
from typing import Any

from flask import Request

from .current import current_request

# A caller that sends no more of the body that it announced counts as disconnected.
READ_TIMEOUT_S = 20


def disconnect_check() -> Callable[[], bool]:
    """A function that tells whether the caller has closed the connection; always False without access to its socket.

    It only peeks: data that follows the request stays in the socket.
    """
    connection = _socket(current_request())
    return (lambda: False) if connection is None else (lambda: _closed(connection))


def set_read_timeout(request: Request) -> None:
    """Close the connection if the request's body stops arriving, instead of waiting forever."""
    connection = _socket(request)
    if connection is not None:
        connection.settimeout(READ_TIMEOUT_S)


def _socket(request: Request) -> Any:
    """Where each server puts the connection's socket in the WSGI environment."""
    return request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")


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
