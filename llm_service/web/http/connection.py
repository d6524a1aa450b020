"""The connection of a request: whether its caller is still there, and a timeout on reads.

The server ends connections whose caller stops reading: `adapters/runtime/worker.py`.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Request

from .current import current_request

# A caller that sends no more of the body that it announced counts as disconnected.
READ_TIMEOUT_S = 20
# How much is read and dropped of a refused body: more than nginx lets through, and than any honest mistake needs.
MAX_REST_BYTES = 4 * 1024 * 1024
REST_PIECE_BYTES = 64 * 1024
# A caller that sends nothing for this long has read its answer, or never will.
REST_TIMEOUT_S = 5


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


def drop_rest_of_body(environ: WSGIEnvironment) -> None:
    """Read what is left of a request's body, up to a bound, after its answer was sent.

    To close a connection on bytes that nobody has read resets it, and a caller who is still sending loses the answer
    (RFC 9112, section 9.6). Only under gunicorn: its reader knows where the body ends.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    connection.settimeout(REST_TIMEOUT_S)
    left = MAX_REST_BYTES
    # Whatever is wrong with the rest, the request has its answer. Each server raises errors of its own.
    with suppress(Exception):
        while left > 0 and (piece := environ["wsgi.input"].read(REST_PIECE_BYTES)):
            left -= len(piece)


def _socket(request: Request) -> Any:
    """Where each server puts the connection's socket in the WSGI environment."""
    return request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")


def _closed(connection: Any) -> bool:
    # Under gevent, the native socket below, which never blocks.
    native = getattr(connection, "_sock", connection)
    # With a timeout, Python waits for data before it asks the kernel, whatever the flags say.
    if timeout_s := native.gettimeout():
        native.settimeout(0)
    try:
        peeked: bytes = native.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        if timeout_s:
            native.settimeout(timeout_s)
    return not peeked
