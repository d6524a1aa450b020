"""Two owners, every route that takes an id, every method: neither ever meets the other's rows."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from llm_service.app import services_of
from llm_service.core.generation.model import GenerateRequest
from tests.support.constants import OWN_PAGE
from tests.support.keys import KeyClient, bearer, make_key, signed_in, token_of
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

CANARY = "canary-of-alice"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(name="closed")
def _closed(make_app: Callable[..., Flask]) -> Flask:
    return make_app(APP_AUTH="required")


@pytest.fixture(name="alice")
def _alice(closed: Flask) -> KeyClient:
    return KeyClient(closed, make_key(closed, "alice")[0])


@pytest.fixture(name="row")
def _row(alice: KeyClient) -> str:
    """Alice's generation."""
    answer = alice("POST", GENERATE, json={**BODY, "input": CANARY})
    return str(answer.get_json()["request_id"])


def by_id(app: Flask, row: str) -> list[str]:
    """Every address that takes a generation's id."""
    rules = [rule for rule in app.url_map.iter_rules() if "request_id" in rule.arguments]
    assert len(rules) >= 8
    values = {"request_id": row, "format": "txt"}
    return sorted({rule.build({name: values[name] for name in rule.arguments})[1] for rule in rules})  # type: ignore[index]


def test_an_id_of_another_owner_is_not_there(closed: Flask, alice: KeyClient, row: str) -> None:
    """Status and body are those of an id that nobody has."""
    text, _ = make_key(closed, "bob")
    bob, browser = KeyClient(closed, text), signed_in(closed, text)
    headers = {**OWN_PAGE, "X-CSRF-Token": token_of(browser)}
    missing = "01999999-0000-7000-8000-000000000000"

    def reply(send: Any, method: str, address: str, **more: Any) -> tuple[int, str]:
        answer = send(method, address, **more)
        status, body = answer.status_code, answer.get_data(as_text=True)
        answer.close()
        for mark in (row, missing, address, answer.headers["X-Request-ID"]):
            body = body.replace(mark, "ID")
        body = re.sub("[0-9a-f]{128}", "TOKEN", body)  # masked for each response
        assert CANARY not in body
        return status, body

    def through_browser(method: str, address: str, **more: Any) -> Any:
        return browser.open(address, method=method, headers=headers, **more)

    leaks = 0
    for address, nowhere in zip(by_id(closed, row), by_id(closed, missing), strict=True):
        for method in METHODS:
            # Without a valid body, the row would not be looked up.
            body = {"json": {"starred": True}} if method == "PATCH" else {}
            for send in (bob, through_browser):
                there = reply(send, method, address, **body)
                assert there[0] in (404, 405), (method, address, there)
                leaks += there != reply(send, method, nowhere, **body)
    assert leaks == 0
    assert alice("GET", f"/api/v1/history/{row}").get_json()["input"] == CANARY
    assert browser.get(f"/?from={row}").status_code == 200
    assert CANARY not in browser.get(f"/?from={row}").text


def test_lists_exports_and_deletions_are_one_s_own(closed: Flask, alice: KeyClient, row: str) -> None:
    text, _ = make_key(closed, "bob")
    bob, browser = KeyClient(closed, text), signed_in(closed, text)
    for address in (
        "/api/v1/history",
        f"/api/v1/history?q={CANARY}",
        *(f"/api/v1/history/export?format={name}" for name in ("json", "jsonl", "csv")),
        "/api/v1/usage?group_by=owner",
        "/api/v1/usage",
    ):
        answer = bob("GET", address)
        assert answer.status_code == 200
        assert CANARY not in answer.text
        assert "alice" not in answer.text
        assert row not in answer.text
    for address in (
        "/",
        "/history",
        f"/history?q={CANARY}",
        "/history/rows",
        "/history/export.json",
        "/usage",
        "/generate/recent",
    ):
        page = browser.get(address).text
        assert row not in page, address
        assert CANARY not in page or CANARY in address, address
    assert bob("DELETE", "/api/v1/history").get_json() == {"deleted": 0}
    browser.post("/history/clear", data={"csrf_token": token_of(browser)}, headers=OWN_PAGE)
    assert alice("GET", f"/api/v1/history/{row}").status_code == 200
    cursor = alice("GET", "/api/v1/history?limit=1").get_json()
    assert cursor["items"][0]["request_id"] == row
    assert bob("GET", "/api/v1/history?cursor=b999").get_json()["items"] == []


def test_the_cache_and_the_idempotency_keys_are_one_s_own(closed: Flask, alice: KeyClient, row: str) -> None:
    bob = KeyClient(closed, make_key(closed, "bob")[0])
    asked = {**BODY, "input": CANARY}
    answer = bob("POST", GENERATE, json=asked)
    assert (answer.get_json()["cached"], answer.headers["Cache-Status"]) == (False, "llm-service; fwd=miss; stored")
    assert bob("POST", "/api/v1/templates/basic_chat_v1/preview", json={"input": "x"}).get_json()["would_hit"] is False
    key = {"Idempotency-Key": "the-same"}
    first = alice("POST", GENERATE, json={**BODY, "input": "one"}, headers=key).get_json()
    other = bob("POST", GENERATE, json={**BODY, "input": "two"}, headers=key)
    assert other.status_code == 200, "not a mismatch with another owner's key"
    assert other.get_json()["request_id"] != first["request_id"]
    again = alice("POST", GENERATE, json={**BODY, "input": "one"}, headers=key)
    assert again.get_json()["request_id"] == first["request_id"]


def test_two_keys_of_one_name_share_a_history(closed: Flask, alice: KeyClient, row: str) -> None:
    second = KeyClient(closed, make_key(closed, "alice")[0])
    assert second("GET", f"/api/v1/history/{row}").status_code == 200
    assert second("POST", GENERATE, json={**BODY, "input": CANARY}).get_json()["cached"] is True


def test_a_shared_call_is_one_s_own(make_app: Callable[..., Flask]) -> None:
    """Flights are found by the cache's key, which names the owner."""
    app = make_app(APP_AUTH="required")
    preview = services_of(app).preview.preview
    asked = GenerateRequest("basic_chat_v1", "Hi", {}, None)
    keys = {preview(asked, make_key(app, name)[1].caller()).prepared.cache_key for name in ("alice", "bob", "alice")}
    assert len(keys) == 2


ACROSS = [
    ("GET", "/api/v1/history?owner=alice"),
    ("GET", "/api/v1/history/export?owner=alice"),
    ("GET", "/api/v1/usage?owner=alice"),
]


@pytest.mark.parametrize(("method", "address"), ACROSS)
def test_another_owner_s_name_needs_admin(closed: Flask, row: str, method: str, address: str) -> None:
    bob = KeyClient(closed, make_key(closed, "bob")[0])
    assert bob(method, address).get_json()["error"] == "not-allowed"
    assert bob(method, address.replace("alice", "bob")).status_code == 200
    boss = KeyClient(closed, make_key(closed, "boss", ("admin",))[0])
    answer = boss(method, address)
    assert answer.status_code == 200
    assert row in answer.text or '"requests": 1' in answer.text


def test_admin_looks_across(closed: Flask, row: str) -> None:
    boss = KeyClient(closed, make_key(closed, "boss", ("admin",))[0])
    assert boss("GET", "/api/v1/history").get_json()["items"] == []
    items = boss("GET", "/api/v1/usage?group_by=owner").get_json()["items"]
    assert [item["owner"] for item in items] == ["alice"]
    assert boss("GET", f"/api/v1/history/{row}").get_json()["input"] == CANARY
    assert CANARY in boss("GET", f"/api/v1/history/{row}/output.txt").text
    assert CANARY in boss("GET", f"/api/v1/history/{row}/events").text
    assert boss("POST", f"/api/v1/history/{row}/cancel").get_json()["status"] == "completed"
    assert boss("DELETE", f"/api/v1/history/{row}").status_code == 204
    assert boss("GET", f"/api/v1/history/{row}").status_code == 404


def test_admin_reaches_what_runs_also_where_nothing_is_kept(make_app: Callable[..., Flask], upstream: Upstream) -> None:
    app = make_app(
        APP_AUTH="required", APP_HISTORY="off", OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="fault-hang-after-3"
    )
    alice = bearer(make_key(app, "alice")[0])
    stream = app.test_client().post(GENERATE, json={**BODY, "stream": True}, headers=alice)
    url = f"/api/v1/history/{stream.headers['X-Request-ID']}"
    assert KeyClient(app, make_key(app, "bob")[0])("GET", url).status_code == 404
    boss = KeyClient(app, make_key(app, "boss", ("admin",))[0])
    assert boss("GET", url).get_json()["status"] == "running"
    assert boss("POST", f"{url}/cancel").get_json()["status"] == "cancelled"
    stream.close()


def test_who_is_let_in_without_a_key_is_one_owner(app: Flask) -> None:
    alice = KeyClient(app, make_key(app, "alice")[0])
    row = alice("POST", GENERATE, json=BODY).get_json()["request_id"]
    local = app.test_client()
    assert local.get(f"/api/v1/history/{row}").status_code == 404
    assert local.get("/api/v1/history?owner=alice").get_json()["error"] == "not-allowed"
    assert json.loads(local.get("/api/v1/usage?group_by=owner").data)["items"] == []
