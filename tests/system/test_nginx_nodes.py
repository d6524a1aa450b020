"""What nginx does with two nodes when one of them is away, breaks off or is busy: a POST that was sent is never sent again."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.nginx import nginx_before
from tests.support.processes import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
BUSY = b"HTTP/1.1 503 X\r\nContent-Length: 4\r\nRetry-After: 1\r\nConnection: close\r\n\r\nbusy"
BREAKS_OFF = b""


@dataclass
class FakeNode:
    """`asked`: the first line of each request."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextmanager
def node(answer: bytes) -> Iterator[FakeNode]:
    """Reads each request, sends these bytes, and closes."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        made = FakeNode(listening.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with closing(listening.accept()[0]) as accepted:
                        made.asked.append(accepted.recv(65_536).decode().split(" HTTP")[0])
                        accepted.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def status_of(port: int, method: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/generate", method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture(name="stack")
def _stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_a_node_refuses_goes_to_the_other(tmp_path: Path, stack: ExitStack) -> None:
    good = stack.enter_context(node(OK))
    port = stack.enter_context(nginx_before(tmp_path, free_port(), second=good.port))
    assert [status_of(port, method) for method in ("POST", "GET") * 4] == [200] * 8
    assert len(good.asked) == 8


def test_only_what_changes_nothing_is_asked_again(tmp_path: Path, stack: ExitStack) -> None:
    good, bad = stack.enter_context(node(OK)), stack.enter_context(node(BREAKS_OFF))
    port = stack.enter_context(nginx_before(tmp_path, bad.port, second=good.port))
    statuses = [status_of(port, "POST") for _ in range(4)]
    assert sorted(statuses) == sorted([200] * len(good.asked) + [503] * len(bad.asked)), "one node for each"
    assert bad.asked
    assert [status_of(port, "GET") for _ in range(4)] == [200] * 4


def test_a_node_that_is_busy_stays_in(tmp_path: Path, stack: ExitStack) -> None:
    good, busy = stack.enter_context(node(OK)), stack.enter_context(node(BUSY))
    port = stack.enter_context(nginx_before(tmp_path, busy.port, second=good.port))
    statuses = [status_of(port, "POST") for _ in range(20)]
    assert statuses.count(503) == len(busy.asked) > 3
    assert len(busy.asked) + len(good.asked) == 20
