"""What every answer carries, of every route and every kind of refusal."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.constants import OWN_PAGE
from tests.support.requests import BODY, GENERATE, addresses

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "font-src": "'self'",
    "connect-src": "'self'", "form-action": "'self'", "base-uri": "'none'", "object-src": "'none'",
    "frame-ancestors": "'none'",
}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ID = re.compile(r"[0-9a-f-]{36}")


def check(response: TestResponse, path: str) -> None:
    """The table; one value of each."""
    where = f"{response.request.method} {path}: {response.status_code}"
    headers = response.headers
    for name, value in EVERYWHERE.items():
        assert headers.getlist(name) == [value], (where, name)
    (policy,) = headers.getlist("Content-Security-Policy")
    expected = {**POLICY, "img-src": "'self' data:"} if path == "/docs" and response.status_code == 200 else POLICY
    assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == expected, where
    assert ID.fullmatch(headers["X-Request-ID"]), where
    kept = path.startswith("/static/") and response.status_code in (200, 304, 416) and "v=" in path
    if kept:
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable", where
    elif path == "/openapi.json" and response.request.method in ("GET", "HEAD") and response.status_code == 200:
        assert headers["Cache-Control"] == "private, no-cache", where
    elif not path.startswith("/static/"):
        assert "no-store" in headers["Cache-Control"], where
    for name in ("Server", "X-Powered-By", "Access-Control-Allow-Origin", "Set-Cookie"):
        assert name not in headers, where
    if response.status_code >= 400:
        wanted = "application/problem+json" if path.startswith("/api/") else "text/html"
        assert response.mimetype == wanted, where


def broken() -> str:
    raise RuntimeError("secret detail")


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    app.add_url_rule("/api/v1/broken", view_func=broken, endpoint="broken_api")
    app.add_url_rule("/broken", view_func=broken, endpoint="broken_page")
    return app.test_client()


def test_every_route_with_every_method(app: Flask, client: FlaskClient) -> None:
    seen = set()
    for path in [*addresses(app), "/nowhere", "/api/nowhere", "/static/nowhere.js"]:
        for method in METHODS:
            response = client.open(path, method=method, headers=OWN_PAGE, buffered=True)
            check(response, path)
            seen.add(response.status_code)
    assert {200, 404, 405, 415, 500} <= seen


def cases(request_id: str) -> Iterator[tuple[str, str, dict[str, Any], int]]:
    json = {"content_type": "application/json"}
    yield "POST", GENERATE, {"json": BODY}, 200
    yield "POST", GENERATE, {"json": {**BODY, "stream": True}}, 200
    yield "POST", GENERATE, {"json": {}}, 422
    yield "POST", GENERATE, {"data": b"{", **json}, 400
    yield "POST", GENERATE, {"data": b"x"}, 415
    yield "POST", GENERATE, {"data": b" " * 2_000_000, **json}, 413
    yield "POST", GENERATE, {"json": BODY, "headers": {"Accept": "application/xml"}}, 406
    yield "POST", GENERATE, {"json": BODY, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403
    yield "GET", "/", {"headers": {"Host": "evil.example"}}, 400
    yield "GET", "/history", {"environ_base": {"REMOTE_ADDR": "10.0.0.1"}}, 302
    yield "GET", "/api/v1/history", {"environ_base": {"REMOTE_ADDR": "10.0.0.1"}}, 401
    yield "GET", "/?template=a&template=b", {}, 422
    yield "POST", "/", {"data": {"input": "x" * 3_000_000}, "headers": OWN_PAGE}, 413
    yield "POST", "/generate/answer", {"data": {"input": "Hi"}, "headers": OWN_PAGE}, 200
    yield "POST", "/generate/answer", {"data": {"input": "Hi", "fresh": "1"}, "headers": OWN_PAGE}, 200
    yield "POST", "/generate/preview", {"data": {"input": "Hi"}, "headers": OWN_PAGE}, 200
    yield "POST", "/", {"data": {"input": "Hi"}, "headers": OWN_PAGE}, 303
    yield "GET", f"/history/{request_id}", {}, 200
    yield "GET", f"/history/{request_id}/output.txt", {}, 200
    yield "GET", f"/generate/{request_id}/events", {}, 200
    yield "GET", f"/api/v1/history/{request_id}", {}, 200
    yield "GET", f"/api/v1/history/{request_id}/output.txt", {}, 200
    yield "GET", f"/api/v1/history/{request_id}/events", {}, 200
    yield "GET", "/api/v1/history/export?format=csv", {}, 200
    yield "GET", "/history/export.json", {}, 200
    yield "GET", "/static/css/app.css?v=0", {}, 200
    yield "GET", "/static/css/app.css", {"headers": {"Range": "bytes=9999999-"}}, 416
    yield "GET", "/static/css/app.css", {"headers": {"If-None-Match": "*"}}, 304
    yield "GET", "/docs", {}, 200
    yield "GET", "/openapi.json", {}, 200


def test_answers_of_every_kind(client: FlaskClient) -> None:
    request_id = client.post(GENERATE, json={**BODY, "input": "First"}).get_json()["request_id"]
    for method, path, sent, status in cases(request_id):
        response = client.open(path, method=method, buffered=True, **sent)
        assert response.status_code == status, (method, path)
        check(response, path)


def test_downloads_have_our_names(client: FlaskClient) -> None:
    request_id = client.post(GENERATE, json={**BODY, "input": 'a"; filename="b.exe'}).get_json()["request_id"]
    names = {
        f"/history/{request_id}/output.txt": f"generation-{request_id}.txt",
        f"/api/v1/history/{request_id}/output.txt": f"generation-{request_id}.txt",
        "/history/export.csv": "history.csv",
        "/api/v1/history/export?format=jsonl": "history.jsonl",
    }
    for path, name in names.items():
        assert client.get(path, buffered=True).headers["Content-Disposition"] == f'attachment; filename="{name}"'


def test_https_is_remembered(make_app: Any) -> None:
    client = make_app(APP_PROXY_HOPS="1").test_client()
    forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    assert client.get("/api/v1/health", headers=forwarded).headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in client.get("/api/v1/health").headers
