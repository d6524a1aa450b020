"""The connection to a provider, against a server that sends exact bytes.

Longer than other modules: all of them use the same scripted server.
"""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import httpcore2
import httpx2
import pytest
import trustme

from llm_service.adapters.providers.http1 import MAX_HEAD_BYTES, Http1Connection, TimeLimit
from llm_service.adapters.providers.transport import DeadlineTransport
from llm_service.adapters.runtime.clock import SystemClock
from tests.support.clocks import until

REQUEST = b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;name=value\r\n \r\n6\r\nworld\n\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
Serve = Callable[[socket.socket], object]


@pytest.fixture(name="tls", scope="module")
def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and its client's."""
    authority, serving = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    asking = ssl.create_default_context()
    authority.configure_trust(asking)
    return serving, asking


@contextmanager
def server(serve: Serve, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> Iterator[Http1Connection]:
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
                if tls is None:
                    serve(accepted)
                else:
                    with tls[0].wrap_socket(accepted, server_side=True) as secured:
                        serve(secured)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        with closing(Http1Connection("127.0.0.1", listening.getsockname()[1], tls and tls[1])) as connection:
            yield connection
    finally:
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


def soon() -> TimeLimit:
    return TimeLimit(time.monotonic() + 60, SystemClock().alarm)


def exchange(connection: Http1Connection, more: bytes = b"") -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
    limit = soon()
    connection.send(REQUEST + more, limit)
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


@pytest.mark.parametrize(
    "answer",
    [
        SIZED.replace(b"\r\n", b"\n"),
        SIZED.replace(b"OK\r\n", b"OK\r\nX: a\r\n b\r\n"),
        SIZED.replace(b"OK\r\n", b"OK\r\nX: a\x01b\r\n"),
        SIZED.replace(b"1.1", b"1.2"),
        SIZED.replace(b" OK", b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nab\r\n0\r\n\r\n",
    ],
)
def test_what_real_servers_send_is_read(answer: bytes) -> None:
    with server(sends(answer)) as connection:
        status, _, body = exchange(connection)
    assert (status, body) == (200, b"ab")


@pytest.mark.parametrize("endless", [b"Trailer: " + b"x" * 300_000, b"1;" + b"x" * 300_000])
def test_bytes_without_data_are_bounded(endless: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    with server(sends(start + (b"0\r\n" if endless.startswith(b"T") else b"") + endless)) as connection:
        with pytest.raises(httpcore2.RemoteProtocolError, match="too large"):
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
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
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


@pytest.mark.parametrize("secured", [False, True])
def test_a_connection_lost_while_sending_is_no_fault_of_tls(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], secured: bool
) -> None:
    """Such a fault would say that the setup is wrong and that nothing is billed."""

    def serve(accepted: socket.socket) -> None:
        accepted.recv(1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(serve, tls if secured else None) as connection:
        with pytest.raises((httpcore2.ReadError, httpcore2.RemoteProtocolError)) as raised:
            exchange(connection, b"x" * 20_000_000)
        assert not isinstance(raised.value.__cause__, ssl.SSLError)
        assert not connection.end_exchange()


@pytest.mark.parametrize("bad", ["a\r\nInjected: 1", "a\n", "a\0"])
def test_a_header_that_would_add_another_is_not_sent(bad: str) -> None:
    seen: list[bytes] = []
    with server(lambda accepted: seen.append(accepted.recv(65536))) as connection:
        request = httpx2.Request("POST", f"http://127.0.0.1:{connection.address[1]}/", headers={"X-Name": bad})
        with pytest.raises(httpcore2.LocalProtocolError):
            DeadlineTransport(request)
    assert seen == []


@pytest.mark.parametrize("secured", [False, True])
def test_a_wait_ends_at_the_deadline_and_after_the_idle_time(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], secured: bool
) -> None:
    with server(keeps_open(SIZED[:-1]), tls if secured else None) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        connection.read_head(limit)
        limit.idle_s = 0.05
        with pytest.raises(httpcore2.ReadTimeout):
            list(connection.read_body(limit))
        limit.deadline = time.monotonic() - 1
        with pytest.raises(httpcore2.ReadTimeout):
            list(connection.read_body(limit))
        assert not connection.end_exchange()


def test_a_connection_that_was_shut_down_is_not_used_again() -> None:
    with server(keeps_open(SIZED)) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        limit.idle_s = 0.05
        connection.read_head(limit)
        list(connection.read_body(limit))
        time.sleep(0.3)  # the alarm was set, and the exchange is not over
        assert not connection.end_exchange()


def test_an_exchange_that_is_over_times_out_nothing() -> None:
    with server(keeps_open(SIZED, SIZED)) as connection:
        limit = soon()
        connection.send(REQUEST, limit)
        limit.idle_s = 0.05
        connection.read_head(limit)
        list(connection.read_body(limit))
        assert connection.end_exchange()
        time.sleep(0.3)
        assert connection.is_alive()
        assert exchange(connection)[2] == b"ab"


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
