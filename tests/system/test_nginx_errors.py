"""nginx's own answers, in front of a service that is away, silent, or never asked."""

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from llm_service.web.http.problems import PROBLEMS
from llm_service.web.http.response import HEADERS
from tests.support.constants import ROOT
from tests.support.nginx import CONFIGURATION, nginx_before
from tests.support.processes import free_port, needed_program

POST = b"POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
# nginx's Content-Security-Policy is shorter: its answers are no pages.
EVERYWHERE = [name for name, _ in HEADERS]


@pytest.fixture(name="alone", scope="module")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The service is not there."""
    with nginx_before(tmp_path_factory.mktemp("nginx"), free_port()) as port:
        yield port


def ask(port: int, request: bytes) -> tuple[int, HTTPMessage, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        data = b""
        while (head := data.partition(b"\r\n\r\n"))[1] == b"" or len(head[2]) < _length(head[0]):
            piece = connection.recv(65_536)
            assert piece, data
            data += piece
    line, _, rest = head[0].partition(b"\r\n")
    return int(line.split()[1]), parse_headers(BytesIO(rest + b"\r\n\r\n")), head[2]


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)content-length: (\d+)", head)
    assert found, head
    return int(found[1])


def assert_problem(answer: tuple[int, HTTPMessage, bytes], status: int, error: str) -> None:
    got, headers, body = answer
    problem: dict[str, Any] = json.loads(body)
    assert (got, problem["status"], problem["error"]) == (status, status, error)
    assert headers["Content-Type"] == "application/problem+json"
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "error", "request_id"}
    assert (problem["type"], problem["title"]) == (f"/problems/{error}", PROBLEMS[error].title)
    assert headers["X-Request-ID"] == problem["request_id"] != ""
    assert headers["Cache-Control"] == "no-store"
    for name in EVERYWHERE:
        assert len(headers.get_all(name, [])) == 1, name
    assert "Strict-Transport-Security" not in headers, "this is not TLS"
    assert headers["Retry-After"] == ("5" if status == 503 else None)


@pytest.mark.parametrize(
    ("request_text", "status", "error"),
    [
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 503, "shutting-down"),
        (POST % 3_000_000, 413, "too-large"),
        (b"GET /api/v1/health HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad-request"),
        (b"no HTTP\r\n\r\n", 400, "bad-request"),
        (b"GET /api/" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "bad-request"),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n", 431, "bad-request"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_each_is_a_problem_document(alone: int, request_text: bytes, status: int, error: str) -> None:
    assert_problem(ask(alone, request_text), status, error)


@contextmanager
def silent_service() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_service_that_does_not_answer_in_time_is_no_invitation_to_pay_twice(tmp_path: Path) -> None:
    with silent_service() as behind, nginx_before(tmp_path, behind, {"timeout 150s": "timeout 1s"}) as port:
        assert_problem(ask(port, POST % 2 + b"{}"), 504, "deadline-exceeded")


def test_pages_get_html_and_files_that_are_missing_keep_their_headers(alone: int) -> None:
    status, headers, _ = ask(alone, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, headers.get_content_type()) == (502, "text/html")
    status, headers, _ = ask(alone, b"GET /static/none.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, headers["X-Content-Type-Options"], headers["Cache-Control"]) == (404, "nosniff", None)


def test_with_tls_it_speaks_http_2(tmp_path: Path) -> None:
    """The commented lines, as an operator would use them."""
    port = free_port()
    certificate, key = tmp_path / "test.pem", tmp_path / "test.key"
    command = [needed_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    changes = {
        "# listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "# ssl_certificate /etc/ssl/llm-api-service.pem": f"ssl_certificate {certificate}",
        "# ssl_certificate_key /etc/ssl/llm-api-service.key": f"ssl_certificate_key {key}",
    }
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with nginx_before(tmp_path, free_port(), changes):
        for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
            context.set_alpn_protocols(offered)
            with (
                socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
                context.wrap_socket(plain) as secure,
            ):
                assert secure.selected_alpn_protocol() == chosen
                if chosen == "http/1.1":
                    secure.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    assert b"Strict-Transport-Security: max-age=31536000\r\n" in secure.recv(65_536)


def test_nginx_gives_up_an_idle_connection_before_gunicorn_does() -> None:
    """Or a POST meets a closing connection, which is a 502: nginx must not repeat it."""
    upstream = re.search(r"upstream llm_service \{.*?\}", CONFIGURATION.read_text(), re.DOTALL)
    assert upstream
    nginx_s = re.search(r"keepalive_timeout (\d+)s;", upstream[0])
    gunicorn_s = re.search(r"^keepalive = (\d+)$", (ROOT / "deploy/gunicorn.conf.py").read_text(), re.MULTILINE)
    assert nginx_s
    assert gunicorn_s
    assert int(nginx_s[1]) < int(gunicorn_s[1])
