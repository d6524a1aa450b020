"""The shipped nginx configuration, run by a real nginx in front of a real gunicorn."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.support.constants import ROOT
from tests.support.processes import free_port, needed_program, serving, stop
from tests.support.upstream import Upstream


@pytest.fixture(name="proxy", scope="module")
def _proxy(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[str]:
    nginx = needed_program("nginx", "/usr/sbin/nginx")
    folder = tmp_path_factory.mktemp("nginx")
    port, behind = free_port(), free_port()
    text = (ROOT / "deploy/nginx.conf").read_text()
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        "/srv/llm-api-service/static/": f"{ROOT}/static/",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/": f"{folder}/",
        "gzip_types text/css": "gzip_min_length 0; gzip_types text/event-stream text/css",
        "http {": "http {\n" + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }  # fmt: skip
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    # Started by root, nginx would work as nobody, who may not write into the tests' folder.
    (folder / "nginx.conf").write_text(("user root;\n" if os.getuid() == 0 else "") + text)
    models = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal", "APP_MODELS": "normal,tokens-10-10"}
    with serving(folder, PORT=str(behind), APP_PROXY_HOPS="1", GUNICORN_CMD_ARGS="", **models):
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            base = f"http://127.0.0.1:{port}"
            for _ in range(100):
                if process.poll() is None and fetch(base + "/api/v1/health")[0] == 200:
                    break
                time.sleep(0.05)
            yield base
        finally:
            stop(process)


def fetch(url: str, data: bytes | None = None, **headers: str) -> tuple[int, Message, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named), timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
    except OSError:
        return 0, Message(), b""


def test_page_and_static_files(proxy: str) -> None:
    status, headers, page = fetch(proxy + "/")
    assert status == 200
    assert b"generate-form" in page
    assert len(headers.get_all("Content-Security-Policy", [])) == 1
    address = page.decode().split('href="/static/css/app.css')[1].split('"')[0]
    status, headers, css = fetch(f"{proxy}/static/css/app.css{address}")
    assert (status, css) == (200, (ROOT / "static/css/app.css").read_bytes())
    assert "immutable" in headers["Cache-Control"]


def test_the_api(proxy: str) -> None:
    body = json.dumps({"template_id": "basic_chat", "input": "Hello"}).encode()
    status, headers, answer = fetch(
        proxy + "/api/v1/generate", body, Content_Type="application/json", X_Request_ID="mine"
    )
    assert (status, headers["X-Request-ID"]) == (200, "mine")
    assert json.loads(answer)["output"].endswith("Hello")


def test_a_stream_passes_as_it_comes_although_nginx_would_gzip_it(proxy: str) -> None:
    body = {"template_id": "basic_chat", "input": "Hello", "stream": True, "model": "tokens-10-10"}
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    request = urllib.request.Request(f"{proxy}/api/v1/generate", json.dumps(body).encode(), headers)
    began, times, text = time.monotonic(), list[float](), zlib.decompressobj(wbits=31)
    with urllib.request.urlopen(request, timeout=10) as response:
        packed = response.headers["Content-Encoding"] == "gzip"
        events = b""
        while chunk := response.read1():
            times.append(time.monotonic() - began)
            events += text.decompress(chunk) if packed else chunk
    assert events.count(b"event: delta") == 10
    assert events.count(b"event: done") == 1
    assert len(times) >= 8, "the pieces came one by one"
    assert times[-1] - times[0] > 0.6


def test_the_clients_own_forwarding_header_counts_for_nothing(proxy: str) -> None:
    assert fetch(proxy + "/api/v1/status", X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9")[0] == 200


def test_errors_of_the_service_and_of_nginx_have_one_shape(proxy: str) -> None:
    for data, status, error in [
        (b"{", 400, "invalid-json"),
        (b" " * 1_500_000, 413, "too-large"),
        (b" " * 3_000_000, 413, "too-large"),
    ]:
        got, headers, body = fetch(proxy + "/api/v1/generate", data, Content_Type="application/json")
        assert (got, headers.get_content_type()) == (status, "application/problem+json")
        problem = json.loads(body)
        assert (problem["error"], problem["status"]) == (error, status)
        assert headers["X-Request-ID"] == problem["request_id"]
    assert fetch(proxy + "/nowhere")[1].get_content_type() == "text/html"
