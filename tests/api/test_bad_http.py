"""Bad requests as HTTP, row by row of the list of bad inputs."""

import json
import logging
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from tests.api.test_access import get
from tests.api.test_generate import BODY
from tests.support.bad_input import Bad
from tests.support.constants import KEY_CANARY, OWN_PAGE, ROOT
from tests.support.upstream import Upstream

GENERATE, HISTORY, MISSING = "/api/v1/generate", "/api/v1/history", "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"
PROMPTS = ROOT / "prompts"
EVIL_HOST = {"headers": {"Host": "evil.example"}}


def read(number: int, name: str, path: str, status: int, error: str | None = None, **headers: str) -> Bad:
    sent = {"headers": {key.replace("_", "-"): value for key, value in headers.items()}}
    return Bad(number, name, status, error, sent, "GET", path)


def keyed(name: str, key: str) -> Bad:
    return Bad(103, name, 400, "invalid-idempotency-key", {"json": BODY, "headers": {"Idempotency-Key": key}})


def listed(number: int, query: str, status: int = 422, error: str | None = "invalid-input") -> Bad:
    return read(number, query[:40], f"{HISTORY}?{query}", status, error)


ROWS = [
    *[Bad(71, method, 405, "method-not-allowed", method=method) for method in ("PUT", "PATCH", "DELETE", "TRACE", "FOO")],
    Bad(72, "method override", 405, "method-not-allowed", {"headers": {"X-HTTP-Method-Override": "POST"}}, "DELETE"),
    read(72, "another override", "/api/v1/health", 200, X_HTTP_Method="DELETE"),
    Bad(73, "foreign host", 400, "untrusted-host", EVIL_HOST, "GET", "/api/v1/health"),
    Bad(73, "foreign host, generate", 400, "untrusted-host", {**EVIL_HOST, "json": BODY}),
    Bad(73, "an address as a name", 400, "untrusted-host", {"headers": {"Host": "127.0.0.1.nip.io"}}, "GET", "/api/v1/status"),
    Bad(73, "a dot at the end", 400, "untrusted-host", {"headers": {"Host": "localhost."}}, "GET", "/api/v1/status"),
    read(77, "forwarded host", "/api/v1/health", 200, X_Forwarded_Host="evil.example", X_Forwarded_Proto="https"),
    read(77, "forwarded host, closed", "/api/v1/status", 401, "not-authenticated", X_Forwarded_Host="localhost"),
    read(81, "a thousand ranges", f"{HISTORY}/export", 200, Range="bytes=" + "0-1," * 1000 + "0-1"),
    read(82, "a range behind the end", f"{HISTORY}/export", 200, Range="bytes=99999-"),
    read(82, "a range behind the end of a file", "/static/css/app.css", 416, Range="bytes=9999999-"),
    read(82, "a range of junk", "/static/css/app.css", 416, Range="bytes=a-b,-,--1"),
    read(83, "any version", "/static/css/app.css", 304, If_None_Match="*"),
    read(83, "junk dates", "/static/css/app.css", 200, If_Modified_Since="yesterday", If_None_Match='W/"', If_Range="\x7f"),
    read(83, "any version of what has none", "/api/v1/health", 200, If_None_Match="*", If_Modified_Since="0"),
    *[listed(86, f"{name}={value}") for name in ("limit", "page") for value in ("0", "-1", "1e9", "NaN", "", "1000000000", "1.5", "1x", "%EF%BC%91", "1_0", "%2B1", "%201")],
    listed(87, "limit=1&limit=2"),
    listed(87, "q=a&q=a"),
    listed(88, "q=" + "a" * 100_000),
    listed(88, "q=%00", 200, None),
    listed(88, "q=%ff", 200, None),
    listed(88, "q=';DROP TABLE answers", 200, None),
    listed(88, "q=%25_", 200, None),
    listed(88, "unknown=1"),
    listed(88, "%00=1"),
    listed(88, "&".join(f"k{n}=1" for n in range(2000))),
    *[read(90, name[:20], f"{HISTORY}/{name}", 404, "not-found") for name in ("x" * 5000, "-1", "0", "%2e%2e", "%00", MISSING.upper(), f"{MISSING}%0a", "' OR 1=1")],
    Bad(101, "a foreign page's fetch", 403, "csrf", {"data": json.dumps(BODY), "content_type": "text/plain", "headers": {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}}),
    Bad(101, "a foreign page's fetch without a type", 403, "csrf", {"data": json.dumps(BODY), "headers": {"Sec-Fetch-Site": "cross-site"}}),
    Bad(101, "text/plain by itself", 415, "unsupported-media-type", {"data": json.dumps(BODY), "content_type": "text/plain"}),
    Bad(101, "a form of an old browser", 403, "csrf", {"data": {"input": "a"}, "headers": {"Origin": "null"}}),
    keyed("empty", ""),
    keyed("256 characters", "a" * 256),
    keyed("NUL", "a\x00"),
    keyed("not ASCII", "k\u00e9y"),
    keyed("SQL", "' OR 1=1 --"),
    keyed("quotes alone", '""'),
    keyed("a list", "a, b"),
]  # fmt: skip
# Tested below by tests of their own.
NAMED = {89, 91, 109, 110}


@pytest.fixture(scope="module", name="shared")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("bad")
    app = create_app(
        Settings.from_env({"DATABASE_URL": f"sqlite:///{folder}/test.db", "APP_PROMPTS_DIR": str(PROMPTS)})
    )
    yield app.test_client()
    services_of(app).close()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_is_answered_rightly(shared: FlaskClient, row: Bad) -> None:
    with shared.open(row.path, method=row.method, **row.sent) as response:
        assert (response.status_code, (response.get_json(silent=True) or {}).get("error")) == (row.status, row.error)
        assert "evil.example" not in str(response.headers)
        assert len(response.data) < 40_000
        if row.status == 405:
            assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_foreign_page_reaches_no_model(upstream_app: Flask, upstream: Upstream) -> None:
    """Row 101."""
    before, client = len(upstream.calls), upstream_app.test_client()
    for row in ROWS:
        if row.number == 101:
            client.open(row.path, method="POST", **row.sent)
    assert len(upstream.calls) == before


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"]
)
def test_redirects_stay_here(client: FlaskClient, address: str) -> None:
    """Row 89: an address in the query or the form goes nowhere."""
    assert client.get("/", query_string={"next": address}).status_code == 422
    for path in ("/", "/history/clear", f"/history/{MISSING}/cancel"):
        response = client.post(path, query_string={}, data={"input": "Hi", "next": address}, headers=OWN_PAGE)
        assert response.headers.get("Location", "/").startswith(("/?from=", "/history", "/"))
        assert "evil" not in response.headers.get("Location", "")
    with client.get("//evil.example/%2e%2e", headers={"Host": "localhost"}) as response:
        assert response.headers.get("Location") in (None, "/login")


def test_paths_that_are_not_there_are_not_remembered(client: FlaskClient) -> None:
    """Row 91."""

    def ask(first: int, count: int) -> int:
        for number in range(first, first + count):
            assert get(client, f"/nowhere/{number}")[0] == 404
            assert get(client, f"/api/v1/templates/nowhere{number}_v1")[0] == 404
        return tracemalloc.get_traced_memory()[0]

    # What pytest keeps of each log line is not the service's.
    logging.disable(logging.CRITICAL)
    tracemalloc.start()
    try:
        before = ask(0, 300)
        after = ask(300, 700)
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    assert after - before < 300_000, "less than a fifth of what the paths alone would take with an entry each"


def test_a_file_s_name_is_ours(client: FlaskClient) -> None:
    """Row 109."""
    for title in ('a"; filename="b.exe', "a\r\nSet-Cookie: x=1", "../../x", "x" * 3000, "\u202etxt.exe"):
        request_id = client.post(GENERATE, json={**BODY, "input": title}).get_json()["request_id"]
        for path in (f"{HISTORY}/{request_id}/output.txt", f"/history/{request_id}/output.txt"):
            headers = client.get(path).headers
            assert headers["Content-Disposition"] == f'attachment; filename="generation-{request_id}.txt"'
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Set-Cookie" not in headers


HOSTILE_VALUES = ['x\\r\\n{"level": "fake"}', "\x1b[2J", '"} {"event": "fake"', "\u2028", f"Bearer {KEY_CANARY}"]


@pytest.mark.parametrize("value", HOSTILE_VALUES)
def test_a_log_line_stays_one(upstream_app: Flask, log_lines: list[str], value: str) -> None:
    """Row 110."""
    client = upstream_app.test_client()
    sent = value.encode().decode("latin-1")
    headers = {"User-Agent": sent, "X-Request-ID": sent, "Referer": sent, "Cookie": f"a={sent}"}
    client.post(GENERATE, json={**BODY, "template_id": value * 2, "model": value}, headers=headers)
    client.get(f"/nowhere/{value}", headers=headers)
    client.get(f"{HISTORY}/{value}", query_string={"q": value}, headers=headers)
    client.get("/", query_string={"template": value}, headers=headers)
    assert len(log_lines) >= 4
    for line in log_lines:
        entry: dict[str, Any] = json.loads(line)
        assert entry["event"] != "fake"
        assert re.fullmatch(r"[\x20-\x7e]+", line)
        assert KEY_CANARY not in line
