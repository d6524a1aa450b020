"""What no client library would send, byte by byte, to the real server."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import parse_headers
from io import BytesIO
from pathlib import Path

import pytest

from llm_service.web.http.connection import READ_TIMEOUT_S
from llm_service.web.http.response import HEADERS
from tests.support.processes import Server, serving

POST = "POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = "GET /api/v1/health HTTP/1.1\r\n"
LOCAL = "Host: localhost\r\n"


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


def connect(server: Server, timeout_s: float = 20) -> socket.socket:
    host, _, port = server.base_url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=timeout_s)


def read_all(connection: socket.socket) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65_536):
            data += piece
    except ConnectionResetError:
        pass  # the server refused and had more to read
    return data


def status_of(data: bytes) -> int:
    """0 = the connection was closed without an answer."""
    return int(data.split(b" ", 2)[1]) if data else 0


def ask(server: Server, request: str) -> tuple[int, bytes]:
    with connect(server) as connection:
        connection.sendall(request.encode("latin-1"))
        with suppress(OSError):  # the server may have refused and closed already
            connection.shutdown(socket.SHUT_WR)
        data = read_all(connection)
    return status_of(data), data


def health(server: Server) -> int:
    with urllib.request.urlopen(f"{server.base_url}/api/v1/health", timeout=10) as response:
        return int(response.status)


@pytest.mark.parametrize(
    ("number", "name", "request_text", "expected"),
    [
        (74, "two hosts", f"{GET}{LOCAL}Host: evil.example\r\n\r\n", 400),
        (74, "the same host twice", f"{GET}{LOCAL}{LOCAL}\r\n", 400),
        (75, "no host", f"{GET}\r\n", 400),
        (75, "an empty host", f"{GET}Host:\r\n\r\n", 400),
        (76, "a foreign absolute address", "GET http://evil.example/api/v1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        (76, "an absolute address of another host", f"GET http://evil.example/api/v1/health HTTP/1.1\r\n{LOCAL}\r\n", 400),
        (76, "an absolute address with a user", f"GET http://me@localhost/api/v1/health HTTP/1.1\r\n{LOCAL}\r\n", 400),
        (76, "an absolute address without a host", "GET http://localhost/api/v1/health HTTP/1.1\r\n\r\n", 400),
        (79, "two framings", f"{POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (79, "an unknown coding", f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (79, "two lengths", f"{POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", 400),
        (79, "a negative length", f"{POST}Content-Length: -1\r\n\r\n", 400),
        (79, "a length with a sign", f"{POST}Content-Length: +2\r\n\r\n{{}}", 400),
        (79, "a length of words", f"{POST}Content-Length: two\r\n\r\n", 400),
        (79, "a line feed in a header", f"{GET}{LOCAL}X-A: a\nX-B: b\r\n\r\n", 400),
        (79, "a NUL in a header", f"{GET}{LOCAL}X-A: a\x00b\r\n\r\n", 400),
        (79, "a space before the colon", f"{GET}Host : localhost\r\n\r\n", 400),
        (79, "a folded header", f"{GET}{LOCAL}X-A: a\r\n b\r\n\r\n", 400),
        (79, "no HTTP at all", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (79, "a bad chunk", f"{POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n", 400),
        (80, "a line of 10 kB", f"GET /{'a' * 10_000} HTTP/1.1\r\n{LOCAL}\r\n", 414),
        (80, "200 headers", GET + LOCAL + "".join(f"X-{n}: 1\r\n" for n in range(200)) + "\r\n", 431),
        (80, "a header of 9 kB", f"{GET}{LOCAL}X-A: {'a' * 9000}\r\n\r\n", 431),
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused(server: Server, number: int, name: str, request_text: str, expected: int) -> None:
    status, data = ask(server, request_text)
    assert status == expected, (number, name, data[:300])
    assert_problem(status, data)
    assert data.count(b"HTTP/1.1") <= 1, "what follows is not another request"
    assert b"Traceback" not in data
    assert health(server) == 200


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_an_absolute_address_of_ours_counts_and_not_the_host_header(server: Server, host: str) -> None:
    """RFC 9112, section 3.2.2."""
    request = f"GET http://localhost/api/v1/health HTTP/1.1\r\nHost: {host}\r\n\r\n"
    assert ask(server, request)[0] == 200


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/api/v1/generate", "Content-Type: application/json\r\n", 413),
        ("/api/v1/generate", "Content-Type: text/plain\r\n", 415),
        ("/api/v1/nowhere", "Content-Type: application/json\r\n", 404),
        ("/api/v1/health", "Content-Type: application/json\r\n", 405),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_all_of_a_refused_body_gets_the_answer(
    server: Server, target: str, headers: str, status: int, chunked: bool
) -> None:
    """As HTTP libraries do it: first all is sent, then the answer is read. The connection is closed after it."""
    body = b" " * 2_000_000
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = f"POST {target} HTTP/1.1\r\n{LOCAL}{headers}Connection: close\r\n{framing}\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode())
        time.sleep(0.3)  # its answer is there before the rest of the body
        connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        data = b""
        while piece := connection.recv(65_536):
            data += piece
    assert status_of(data) == status
    assert json.loads(data.partition(b"\r\n\r\n")[2])["status"] == status


def assert_problem(status: int, data: bytes) -> None:
    """Also where gunicorn answers and the app is not asked."""
    head, _, body = data.partition(b"\r\n\r\n")
    headers, problem = parse_headers(BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n")), json.loads(body)
    assert headers["Content-Type"] == "application/problem+json"
    assert (problem["status"], headers["X-Request-ID"]) == (status, problem["request_id"])
    assert problem["type"] == f"/problems/{problem['error']}"
    for name, value in (*HEADERS, ("Cache-Control", "no-store")):
        assert headers.get_all(name) == [value]


def test_what_gunicorn_refuses_is_not_quoted(server: Server) -> None:
    """Neither in the answer nor in the log: it may be a key."""
    canary = "llms_canary_in_a_bad_header"
    for request in (f"{GET}{LOCAL}Authorization : Bearer {canary}\r\n\r\n", f"{canary}\r\n\r\n"):
        status, data = ask(server, request)
        assert status == 400
        assert_problem(status, data)
        assert canary.encode() not in data
    assert canary not in server.log.read_text()


FORM = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n"
CHUNKED_FORM = f"{FORM}Transfer-Encoding: chunked\r\n\r\n"
LONG_FORM = "template=basic_chat_v1&input=" + "a" * 2_500_000


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        (f"{CHUNKED_FORM}{len(LONG_FORM):x}\r\n{LONG_FORM}\r\n0\r\n\r\n", 413),
        (f"{FORM}Content-Length: {len(LONG_FORM)}\r\n\r\n{LONG_FORM}", 413),
        (f"{CHUNKED_FORM}zz\r\n", 400),
        (f"{FORM}Content-Length: 400\r\n\r\ntemplate=basic_chat_v1&input=cut+off", 400),
    ],
    ids=["long, in chunks", "long", "a bad chunk", "cut off"],
)
def test_a_form_that_is_not_whole_does_nothing(server: Server, request_text: str, expected: int) -> None:
    before = rows_of(server)
    with connect(server) as connection:
        connection.sendall(request_text.encode())
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while piece := connection.recv(65_536):
            data += piece
    assert status_of(data) == expected
    assert b"Traceback" not in data
    assert rows_of(server) == before


def rows_of(server: Server) -> list[str]:
    with urllib.request.urlopen(f"{server.base_url}/api/v1/history?limit=200") as response:
        return [row["request_id"] for row in json.load(response)["items"]]


def resident_kb(server: Server) -> int:
    return sum(
        int(line.split()[1])
        for pid in server.workers()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


def test_a_body_without_end_is_refused_after_a_mebibyte(server: Server) -> None:
    """Row 29: a gibibyte in chunks. The server answers and stops reading long before its end."""
    health(server)
    before, sent, chunk = resident_kb(server), 0, b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with connect(server) as connection:
        connection.sendall(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while sent < 1024**3:
                connection.sendall(chunk)
                sent += len(chunk)
                if sent > 1024**2:
                    connection.setblocking(False)
                    try:
                        data = connection.recv(65_536)
                        break
                    except BlockingIOError:
                        connection.setblocking(True)
                        connection.settimeout(20)
        except (BrokenPipeError, ConnectionResetError):
            data = b""
    assert status_of(data) == 413
    assert sent < 64 * 1024**2
    assert resident_kb(server) - before < 8 * 1024
    assert health(server) == 200


def test_a_body_that_does_not_come_ends_the_connection(server: Server) -> None:
    """Rows 36 and 84: plain, and after `100 Continue`; both at once, since each takes the whole time."""
    waiting = [connect(server, READ_TIMEOUT_S * 3) for _ in range(2)]
    for connection, more in zip(waiting, ("", "Expect: 100-continue\r\n"), strict=True):
        connection.sendall(f'{POST}{more}Content-Length: 1000\r\n\r\n{{"input": "a"'.encode())
    for connection in waiting:
        with connection:
            data = read_all(connection)
        last = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert status_of(last) == 400
        assert b"Traceback" not in data


def test_the_server_disconnects_callers_that_stop_reading(server: Server) -> None:
    """How long that takes, and whom it spares, is in tests/adapters/test_worker.py and in the soak."""
    assert "Using worker: llm_service.bootstrap.gunicorn_worker.Worker" in server.log.read_text()


def test_slow_callers_hold_nobody_up(server: Server) -> None:
    """Row 85: forty that send their headers a byte at a time, forty that stop in their bodies."""
    slow = [connect(server) for _ in range(80)]
    for number, connection in enumerate(slow):
        head = GET if number % 2 else f"{POST}Content-Length: 100\r\n\r\n{{"
        connection.sendall(head.encode())
    for _ in range(10):
        for connection in slow[1::2]:
            connection.sendall(b"X")
        assert health(server) == 200
        time.sleep(0.05)
    body = json.dumps({"template_id": "basic_chat_v1", "input": "Hello"}).encode()
    request = urllib.request.Request(f"{server.base_url}/api/v1/generate", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
    for connection in slow:
        connection.close()
    assert server.process.poll() is None
