"""The connection to a provider, against a server that sends exact bytes."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import httpcore2
import pytest

from llm_service.adapters.providers.http1 import MAX_HEAD_BYTES, Http1Connection, Limit
from tests.support.clocks import until

REQUEST = b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;name=value\r\n \r\n6\r\nworld\n\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
Serve = Callable[[socket.socket], object]


@contextmanager
def server(serve: Serve) -> Iterator[Http1Connection]:
    """A connection to a server that passes each of its connections to `serve`, and then closes it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            with accepted:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(accepted)

    thread = threading.Thread(target=accept)
    thread.start()
    with closing(Http1Connection("127.0.0.1", listening.getsockname()[1], None)) as connection:
        yield connection
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def sends(*pieces: bytes) -> Serve:
    """Read a request, send these bytes, and close."""

    def serve(accepted: socket.socket) -> None:
        accepted.recv(65536)
        for piece in pieces:
            accepted.sendall(piece)

    return serve


def keeps_open(*answers: bytes) -> Serve:
    """One of the answers for each request on the same connection, then wait for its end."""

    def serve(accepted: socket.socket) -> None:
        for answer in answers:
            accepted.recv(65536)
            accepted.sendall(answer)
        accepted.recv(65536)

    return serve


def soon() -> Limit:
    return Limit(time.monotonic() + 60)


def exchange(connection: Http1Connection) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
    limit = soon()
    connection.send(REQUEST, limit)
    status, headers = connection.read_head(limit)
    return status, headers, b"".join(connection.read_body(limit))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_a_chunked_response_in_pieces_of_any_size(size: int) -> None:
    pieces = [CHUNKED[start : start + size] for start in range(0, len(CHUNKED), size)]
    with server(sends(*pieces)) as connection:
        status, headers, body = exchange(connection)
    assert (status, body) == (200, b"hello world\n")
    assert headers == [(b"Content-Type", b"text/event-stream"), (b"Transfer-Encoding", b"chunked")]


def test_the_body_arrives_while_it_is_sent() -> None:
    more = threading.Event()

    def serve(accepted: socket.socket) -> None:
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        more.wait(60)
        accepted.sendall(b"1\r\nb\r\n0\r\n\r\n")

    with server(serve) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        connection.read_head(limit)
        body = connection.read_body(limit)
        assert next(body) == b"a"
        more.set()
        assert list(body) == [b"b"]


def test_a_response_without_a_length_ends_with_the_connection() -> None:
    with server(sends(b"HTTP/1.1 200 OK\r\n\r\nhello", b" world")) as connection:
        assert exchange(connection)[2] == b"hello world"
        assert not connection.end_exchange()


def test_a_response_without_a_body() -> None:
    with server(keeps_open(b"HTTP/1.1 204 No Content\r\n\r\n")) as connection:
        assert exchange(connection) == (204, [], b"")
        assert connection.end_exchange()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        SIZED[:-1],
        CHUNKED[:-5],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_whole_response_is_an_error(answer: bytes) -> None:
    with server(sends(answer)) as connection:
        with pytest.raises((httpcore2.RemoteProtocolError, httpcore2.ReadError)):
            exchange(connection)
        assert not connection.end_exchange()


def test_a_connection_is_used_again() -> None:
    with server(keeps_open(SIZED, CHUNKED, SIZED)) as connection:
        for body in (b"ab", b"hello world\n", b"ab"):
            assert exchange(connection)[2] == body
            assert connection.end_exchange()
            assert connection.is_alive()


@pytest.mark.parametrize(
    "answer",
    [
        SIZED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        SIZED.replace(b"1.1", b"1.0"),
        SIZED + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        SIZED + b"more",
    ],
)
def test_a_connection_that_says_or_sends_too_much_is_not_used_again(answer: bytes) -> None:
    with server(keeps_open(answer)) as connection:
        status, headers, body = exchange(connection)
        assert (status, len(headers) in (1, 2), body) == (200, True, b"ab")
        assert not connection.end_exchange()


def test_a_response_that_is_not_read_to_its_end_ends_its_connection() -> None:
    with server(keeps_open(CHUNKED[:-5])) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        connection.read_head(limit)
        assert not connection.end_exchange()


@pytest.mark.parametrize("late", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_an_idle_connection_that_the_server_ends_is_not_alive(late: bytes) -> None:
    ends = threading.Event()

    def serve(accepted: socket.socket) -> None:
        accepted.recv(65536)
        accepted.sendall(SIZED)
        ends.wait(60)
        accepted.sendall(late)

    with server(serve) as connection:
        exchange(connection)
        assert connection.end_exchange()
        assert connection.is_alive()
        ends.set()
        until(lambda: not connection.is_alive())


def test_an_answer_before_the_request_is_sent_is_read() -> None:
    """Servers refuse a large body before they have read it."""

    def serve(accepted: socket.socket) -> None:
        accepted.recv(1)
        accepted.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        accepted.shutdown(socket.SHUT_WR)
        while accepted.recv(1 << 20):
            pass

    with server(serve) as connection:
        limit = soon()
        connection.send(REQUEST + b"x" * 4_000_000, limit)
        assert connection.read_head(limit)[0] == 413


def test_a_wait_ends_at_the_deadline_and_after_the_idle_time() -> None:
    with server(keeps_open(SIZED[:-1])) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        connection.read_head(limit)
        limit.idle_s = 0.05
        with pytest.raises(httpcore2.ReadTimeout):
            list(connection.read_body(limit))
        limit.deadline = time.monotonic() - 1
        with pytest.raises(httpcore2.ReadTimeout):
            list(connection.read_body(limit))


def test_abort_wakes_a_reader() -> None:
    with server(keeps_open(SIZED[:-1])) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        connection.read_head(limit)
        body = connection.read_body(limit)
        assert next(body) == b"a"
        threading.Timer(0.05, connection.abort).start()
        with pytest.raises(httpcore2.RemoteProtocolError):
            next(body)
        assert not connection.end_exchange()


def test_after_an_abort_nothing_is_sent() -> None:
    seen: list[bytes] = []
    with server(lambda accepted: seen.append(accepted.recv(65536))) as connection:
        connection.abort()
        with pytest.raises(httpcore2.ConnectError):
            exchange(connection)
    assert seen in ([], [b""])


def test_where_nobody_listens_it_is_a_connect_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with closing(Http1Connection("127.0.0.1", port, None)) as connection, pytest.raises(httpcore2.ConnectError):
        exchange(connection)
