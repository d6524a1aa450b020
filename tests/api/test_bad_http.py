"""Bad requests as HTTP, row by row of the list of bad inputs."""

import json
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from tests.support.bad_input import Bad
from tests.support.bad_requests import HISTORY, MISSING, ROWS
from tests.support.constants import KEY_CANARY, OWN_PAGE, ROOT
from tests.support.logs import logged
from tests.support.requests import BODY, GENERATE, get
from tests.support.upstream import Upstream

PROMPTS = ROOT / "prompts"


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
    shown = client.get("/", query_string={"next": address})
    assert (shown.status_code, "evil" in shown.text) == (200, False)
    for path in ("/", "/history/clear", f"/history/{MISSING}/cancel"):
        response = client.post(path, query_string={}, data={"input": "Hi", "next": address}, headers=OWN_PAGE)
        assert response.headers.get("Location", "/").startswith(("/?from=", "/history", "/"))
        assert "evil" not in response.headers.get("Location", "")
    with client.get("//evil.example/%2e%2e", headers={"Host": "localhost"}) as answer:
        assert answer.headers.get("Location") in (None, "/login")


@pytest.mark.slow
def test_paths_that_are_not_there_are_not_remembered(client: FlaskClient) -> None:
    """Row 91."""

    def ask(first: int, count: int) -> int:
        for number in range(first, first + count):
            assert get(client, f"/nowhere/{number}")[0] == 404
            assert get(client, f"/api/v1/templates/nowhere{number}_v1")[0] == 404
        return tracemalloc.get_traced_memory()[0]

    # What is kept of each log line is not the service's.
    with logged("CRITICAL"):
        tracemalloc.start()
        try:
            before = ask(0, 300)
            after = ask(300, 700)
        finally:
            tracemalloc.stop()
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
