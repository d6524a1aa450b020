"""Who has access, and what every response contains."""

import json
import logging
from collections.abc import Callable

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient

from llm_service.web.security.permissions import Access
from tests.support.constants import KEY_CANARY
from tests.support.requests import BODY, GENERATE, addresses, get

STATUS = "/api/v1/status"
OPEN = ["/api/v1/health", "/api/v1/ready", "/login", "/problems/not-found", "/static/css/app.css"]
CLOSED = [
    "/",
    "/history",
    "/templates",
    "/status",
    "/docs",
    "/openapi.json",
    STATUS,
    "/api/v1/history",
    "/nowhere",
    "/api/nowhere",
]


@pytest.mark.shared_app
@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {"peer": "192.168.1.7"},
        {"peer": ""},
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X_Real_IP": "127.0.0.1"},
        {"X_Forwarded_Host": "localhost"},
    ],
)
def test_whoever_is_not_local_is_refused(client: FlaskClient, path: str, headers: dict[str, str]) -> None:
    """A program gets 401, and a browser the sign-in page."""
    is_page = not path.startswith(("/api/", "/openapi.json"))
    assert get(client, path, **headers)[0] == (302 if is_page else 401)


@pytest.mark.shared_app
@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_to_everyone(client: FlaskClient, path: str) -> None:
    assert get(client, path, peer="192.168.1.7")[0] == 200


@pytest.mark.shared_app
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_local_clients_are_let_in(client: FlaskClient, peer: str, host: str) -> None:
    assert get(client, STATUS, peer=peer, Host=host)[0] == 200


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("listening", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("localhost", 200),
        ("0.0.0.0", 401),
        ("::", 401),
        ("192.168.1.7", 401),
        ("", 401),
    ],
)
def test_where_the_server_listens_counts_too(client: FlaskClient, listening: str, status: int) -> None:
    environ = {"SERVER_NAME": listening, "REMOTE_ADDR": "127.0.0.1"}
    answer = client.get(STATUS, headers={"Host": "localhost"}, environ_overrides=environ)
    assert answer.status_code == status


@pytest.mark.shared_app
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.com", "a@localhost", "127.0.0.1.nip.io", "x:y:z"])
def test_a_foreign_host_is_refused_everywhere(client: FlaskClient, host: str) -> None:
    assert get(client, "/api/v1/health", Host=host) == (400, "untrusted-host")
    assert client.get("/", headers={"Host": host}).mimetype == "text/html"


def test_behind_a_proxy(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_PROXY_HOPS="1").test_client()
    assert get(client, STATUS, X_Forwarded_For="127.0.0.1")[0] == 200
    assert get(client, STATUS, X_Forwarded_For="10.0.0.1, 127.0.0.1")[0] == 200, "the last one is the proxy's word"
    assert get(client, STATUS, X_Forwarded_For="127.0.0.1, 10.0.0.1")[0] == 401
    assert get(client, STATUS, X_Forwarded_For="10.0.0.1")[0] == 401
    assert get(client, STATUS)[0] == 401, "a proxy that names nobody lets nobody in"
    assert get(client, STATUS, peer="10.0.0.1", X_Forwarded_For="127.0.0.1")[0] == 401


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("127.0.0.1, 127.0.0.1", 200),
        ("203.0.113.9, 127.0.0.1, 10.0.0.5", 200),
        ("203.0.113.9, 10.0.0.5", 401),
        ("127.0.0.1, 203.0.113.9, 10.0.0.5", 401),
        ('127.0.0.1, ", 203.0.113.9, 10.0.0.5', 401),
        ('"127.0.0.1, 203.0.113.9", 10.0.0.5', 401),
        ("127.0.0.1, , 10.0.0.5", 401),
        ("127.0.0.1:80, 10.0.0.5", 401),
        ("127.0.0.1", 401),
    ],
)
def test_behind_two_proxies(make_app: Callable[..., Flask], forwarded: str, status: int) -> None:
    """A client may send any X-Forwarded-For; the proxies append to it."""
    client = make_app(APP_PROXY_HOPS="2").test_client()
    assert get(client, STATUS, X_Forwarded_For=forwarded)[0] == status


@pytest.mark.parametrize(
    "name", ["X_Forwarded_Port", "X_Forwarded_Prefix", "X_Forwarded", "CF_Connecting_IP", "True_Client_IP"]
)
def test_what_a_proxy_or_a_tunnel_adds_ends_the_open_mode(client: FlaskClient, name: str) -> None:
    assert get(client, STATUS, **{name: "127.0.0.1"})[0] == 401


def test_a_trusted_name_that_is_not_loopback_needs_more_than_a_name(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_TRUSTED_HOSTS="llm.example.org").test_client()
    assert get(client, "/api/v1/health", Host="llm.example.org")[0] == 200
    assert get(client, STATUS, Host="llm.example.org") == (401, "not-authenticated")


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("headers", "page", "api"),
    [
        ({}, 403, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 303, 200),
        ({"Sec-Fetch-Site": "none"}, 303, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        ({"Origin": "http://localhost"}, 303, 200),
        ({"Origin": "http://evil.example"}, 403, 403),
        ({"Origin": "http://localhost:1"}, 403, 403),
        ({"Origin": "null"}, 403, 403),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "none"}, 403, 403),
    ],
)
def test_changing_requests_come_from_our_own_page(
    client: FlaskClient, headers: dict[str, str], page: int, api: int
) -> None:
    assert client.post("/history/clear", headers=headers).status_code == page
    response = client.post(GENERATE, json=BODY, headers=headers)
    assert response.status_code == api
    if api == 403:
        assert response.get_json()["error"] == "csrf"


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def test_every_response_has_the_headers(app: Flask, client: FlaskClient) -> None:
    seen = set()
    for address in [*addresses(app), "/nowhere", "/api/nowhere"]:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            response = client.open(address, method=method, buffered=True)
            seen.add(response.status_code)
            assert {name: response.headers.get(name) for name in HEADERS} == HEADERS, address
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Request-ID"]
            static = address.startswith("/static/") and response.status_code == 200
            is_document = address == "/openapi.json" and method == "GET"
            kept = "private, no-cache" if is_document else "no-store"
            assert response.headers["Cache-Control"] == ("no-cache" if static else kept)
            if response.status_code >= 400:
                kind = "application/problem+json" if address.startswith("/api") else "text/html"
                assert response.mimetype == kind, (method, address)
                assert "Traceback" not in response.text
    assert {200, 404, 405, 415, 403} <= seen


def test_a_static_file_with_its_hash_may_be_kept(client: FlaskClient) -> None:
    page = client.get("/").text
    address = page.split('href="/static/css/app.css')[1].split('"')[0]
    with client.get("/static/css/app.css" + address) as response:
        assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.shared_app
@pytest.mark.parametrize(("own", "kept"), [("abc.DEF-1_2", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False), ("a\x1b[2J", False)])  # fmt: skip
def test_request_id(client: FlaskClient, own: str, kept: bool) -> None:
    shown = client.get("/api/v1/health", headers={"X-Request-ID": own}).headers["X-Request-ID"]
    assert (shown == own) is kept
    assert len(shown) == 36 or kept


def test_a_problem_document_has_its_members_and_its_page(client: FlaskClient) -> None:
    response = client.get("/api/v1/templates/nope", headers={"X-Request-ID": "mine"})
    problem = response.get_json()
    assert problem == {
        "type": "/problems/unknown-template",
        "title": "Template not found",
        "status": 404,
        "detail": "There is no template 'nope'. GET /api/v1/templates lists them.",
        "instance": "/api/v1/templates/nope",
        "error": "unknown-template",
        "request_id": problem["request_id"],
    }
    assert response.headers["X-Request-ID"] == "mine" != problem["request_id"]
    assert client.get(problem["type"]).status_code == 200


def test_log_lines_have_the_request_id_and_nothing_secret(upstream_app: Flask, log_lines: list[str]) -> None:
    client = upstream_app.test_client()
    hostile = {"User-Agent": 'x {"level": "fake"}\x1b[2J', "X-Request-ID": "my-own-id"}
    body = {**BODY, "input": "canary-prompt", "model": "fault-401"}
    problem = client.post(GENERATE, json=body, headers=hostile).get_json()
    client.get(f"/api/v1/templates/canary-{KEY_CANARY}")
    logging.getLogger("other").warning("Bearer %s and http://user:canary-pass@host/", KEY_CANARY)
    entries = [json.loads(line) for line in log_lines]
    request = next(entry for entry in entries if entry["event"] == "request" and entry["status"] == 502)
    assert (request["request_id"], request["client_request_id"]) == (problem["request_id"], "my-own-id")
    assert request["route"] == GENERATE
    assert any(entry["event"] == "problem" and entry["error"] == "upstream-auth" for entry in entries)
    for secret in (KEY_CANARY, "canary-prompt", "canary-pass", "\n{", "\x1b"):
        assert [line for line in log_lines if secret in line] == []


def test_a_bug_is_a_plain_500(app: Flask, log_lines: list[str]) -> None:
    def broken() -> str:
        raise RuntimeError("secret detail")

    app.add_url_rule("/api/v1/broken", view_func=broken)
    app.add_url_rule("/broken", view_func=broken, endpoint="broken_page")
    app.config["ROUTE_PERMISSIONS"].update(broken=Access.ANY_KEY, broken_page=Access.ANY_KEY)
    client = app.test_client()
    for address, kind in (("/api/v1/broken", "application/problem+json"), ("/broken", "text/html")):
        response = client.get(address)
        assert (response.status_code, response.mimetype) == (500, kind)
        assert "secret detail" not in response.text
    assert any("secret detail" in line and '"event": "unexpected error"' in line for line in log_lines)


def test_a_line_that_cannot_be_made_is_told_and_breaks_nothing(log_lines: list[str]) -> None:
    structlog.get_logger("llm_service").warning("odd", value={("a", "b"): 1})
    assert [json.loads(line)["cause"] for line in log_lines] == ["TypeError"]
