"""The proxy that other tests make faults with does make them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.clocks import until
from tests.support.tcp_proxy import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    TcpProxy,
    Timeout,
)

WAIT_S = 20
# That what is on its way has not come: a bound for waiting in vain.
SHORT_S = 0.1


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[int]:
    """Says everything back; `bye` closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def echo(client: socket.socket) -> None:
            with client, suppress(OSError):
                while (data := client.recv(65_536)) not in (b"", b"bye"):
                    client.sendall(data)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=echo, args=[listening.accept()[0]], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(name="proxy")
def _proxy(server: int) -> Iterator[TcpProxy]:
    with TcpProxy(server) as proxy:
        yield proxy


@pytest.fixture(name="client")
def _client(proxy: TcpProxy) -> Iterator[socket.socket]:
    """Connected, and heard through the proxy."""
    with connect(proxy) as client:
        assert said(client, b"hello") == b"hello"
        yield client


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)


def said(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return exactly(client, len(data))


def exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def test_what_is_down_cuts_and_refuses_and_comes_back(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(Down())
    assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as again:
        assert said(again, b"hello") == b"hello"


def test_a_reset_is_one_for_open_and_for_new_connections(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(ResetPeer())
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError), connect(proxy) as another:
        said(another, b"hello")


def test_nothing_passes_and_then_all_that_was_held_back(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(Timeout())
    with connect(proxy) as another:
        for each in (client, another):
            each.sendall(b"hello")
            each.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                each.recv(1)
            each.settimeout(WAIT_S)
        proxy.heal()
        assert [exactly(each, 5) for each in (client, another)] == [b"hello"] * 2


def test_an_answer_comes_later(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(Latency(0.2))
    began = time.monotonic()
    assert said(client, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.2
    proxy.use(Latency(600))
    client.sendall(b"hello")
    proxy.heal()
    assert exactly(client, 5) == b"hello"


def test_answers_have_a_rate(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(Bandwidth(10_000))
    began = time.monotonic()
    assert said(client, b"x" * 3000) == b"x" * 3000
    assert time.monotonic() - began >= 0.25


def test_answers_come_in_pieces(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(Slicer(2, 0.02))
    client.sendall(b"hello")
    assert [client.recv(100) for _ in range(3)] == [b"he", b"ll", b"o"]


def test_a_connection_ends_after_so_many_bytes(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(LimitData(3))
    client.sendall(b"hello")
    assert exactly(client, 100) == b"hel"
    until(lambda: proxy.open_connections == 0, WAIT_S)


def test_the_end_comes_later(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.use(SlowClose(600))
    client.sendall(b"bye")
    client.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(WAIT_S)
    proxy.heal()
    assert client.recv(1) == b""


def test_a_server_that_is_away_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with TcpProxy(port) as proxy, connect(proxy) as client:
        assert client.recv(1) == b""
