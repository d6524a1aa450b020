"""Every route says what it needs, and nothing else opens it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from llm_service.app import services_of
from llm_service.core.access.caller import Scope
from llm_service.web.security.permissions import ROUTE_PERMISSIONS, Access
from tests.support.constants import OWN_PAGE
from tests.support.keys import KeyClient, bearer, make_key, signed_in, token_of
from tests.support.requests import BODY, GENERATE

VALUES = {
    "template_id": "basic_chat_v1",
    "request_id": "0199-missing",
    "error": "not-found",
    "filename": "css/app.css",
    "format": "json",
    "revision": "0" * 12,
}
SINGLE = [scope.value for scope in Scope]


@pytest.fixture(name="closed")
def _closed(make_app: Callable[..., Flask]) -> Flask:
    return make_app(APP_AUTH="required")


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """Endpoint, method and address of everything that there is."""
    return [
        (rule.endpoint, method, rule.build({name: VALUES[name] for name in rule.arguments})[1])  # type: ignore[index]
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_the_table_has_every_route_and_no_other(app: Flask) -> None:
    assert {endpoint for endpoint, _, _ in routes(app)} == set(ROUTE_PERMISSIONS)


def test_open_without_a_key_is_what_the_contract_names(closed: Flask) -> None:
    """With any method, from anywhere."""
    client = closed.test_client()
    opened = set()
    for _, method, address in routes(closed):
        with client.open(address, method=method, headers=OWN_PAGE, environ_base={"REMOTE_ADDR": "10.0.0.1"}) as answer:
            if answer.status_code not in (401, 302, 307):
                opened.add(address)
    assert opened == {
        "/api/v1/health",
        "/api/v1/ready",
        "/login",
        "/preferences",
        "/problems/not-found",
        "/static/css/app.css",
    }


def body_of(method: str, address: str) -> dict[str, Any]:
    if method in ("GET", "DELETE") or not address.startswith("/api/"):
        return {}
    if address.endswith("/cancel"):
        return {}
    return {"json": BODY if address == GENERATE else {"input": "Hi"}}


@pytest.mark.parametrize("scope", SINGLE)
def test_a_key_opens_what_its_scope_says_and_nothing_else(closed: Flask, scope: str) -> None:
    text, _ = make_key(closed, "alice", (scope,))
    call, browser = KeyClient(closed, text), signed_in(closed, text)
    token = token_of(browser)
    for endpoint, method, address in routes(closed):
        if endpoint == "login.sign_out":
            continue
        need = ROUTE_PERMISSIONS[endpoint]
        may = isinstance(need, Access) or scope in (need.value, "admin")
        answer = call(method, address, headers=OWN_PAGE, **body_of(method, address))
        assert (answer.status_code != 403) is may, (endpoint, answer.status_code)
        if not may and address.startswith("/api/"):
            assert answer.get_json()["error"] == "not-allowed"
        headers = {**OWN_PAGE, "X-CSRF-Token": token}
        with browser.open(address, method=method, headers=headers, **body_of(method, address)) as answer:
            assert (answer.status_code != 403) is may, (endpoint, answer.status_code, "signed in")


def test_a_route_that_says_nothing_opens_for_nobody(app: Flask) -> None:
    ran: list[str] = []

    def forgotten() -> str:
        ran.append("ran")
        return ""

    app.add_url_rule("/api/v1/forgotten", "forgotten", forgotten)
    text, _ = make_key(app, scopes=("admin",))
    for client in (app.test_client(), signed_in(app, text)):
        assert client.get("/api/v1/forgotten").status_code == 500
    assert KeyClient(app, text)("GET", "/api/v1/forgotten").status_code == 500
    assert ran == []


def test_pages_hide_what_one_may_not_open(closed: Flask) -> None:
    shown = {
        "generate": ["Generate", "Templates", "API docs"],
        "history": ["Templates", "History", "API docs"],
        "usage": ["Templates", "Usage", "API docs"],
        "admin": ["Generate", "Templates", "History", "Usage", "API docs"],
    }
    for scope, labels in shown.items():
        browser = signed_in(closed, make_key(closed, "alice", (scope,))[0])
        for page in ("/templates", "/docs"):
            nav = browser.get(page).text.split('aria-label="Main">')[1].split("</nav>")[0]
            assert re.findall(r">([^<>]+)</a>", nav) == labels


def test_a_key_that_may_only_generate_sees_its_answer_and_no_history(closed: Flask) -> None:
    text, _ = make_key(closed, "alice", ("generate",))
    browser = signed_in(closed, text)
    form = {"template_id": "basic_chat_v1", "input": "canary-own", "csrf_token": token_of(browser)}
    answer = browser.post("/", data=form, headers=OWN_PAGE)
    assert answer.status_code == 200
    assert "canary-own" in answer.text
    assert "/history/" not in answer.text
    (row,) = services_of(closed).history.page("alice", limit=1).items
    assert "canary-own" not in browser.get(f"/?from={row.request_id}").text
    assert "canary-own" not in browser.post("/generate/answer", data={**form, "input": "other"}, headers=OWN_PAGE).text


@pytest.mark.parametrize("auth", ["auto", "required"])
def test_what_a_scope_opens_is_in_the_document(make_app: Callable[..., Flask], auth: str) -> None:
    """On loopback, where no key is needed, it says that a key may be omitted."""
    app = make_app(APP_AUTH=auth)
    document = app.test_client().get("/openapi.json", headers=bearer(make_key(app)[0])).get_json()
    keyless: list[dict[str, list[str]]] = [{}] if auth == "auto" else []
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    paths = document["paths"]
    assert paths[GENERATE]["post"]["security"] == [{"bearer": ["generate"]}, *keyless]
    assert paths["/api/v1/templates/basic_chat_v1/generate"]["post"]["security"] == [{"bearer": ["generate"]}, *keyless]
    assert paths["/api/v1/history/{request_id}"]["delete"]["security"] == [{"bearer": ["history"]}, *keyless]
    assert paths["/api/v1/cache"]["delete"]["security"] == [{"bearer": ["admin"]}, *keyless]
    assert paths["/api/v1/templates"]["get"]["security"] == [{"bearer": []}, *keyless]
    assert paths["/api/v1/health"]["get"]["security"] == []
    for methods in paths.values():
        for operation in (methods[name] for name in methods if name != "parameters"):
            assert "security" in operation
            if operation["security"]:
                assert {"401", "403", "429"} <= set(operation["responses"])


def test_the_cache_is_emptied_by_who_may(app: Flask) -> None:
    text, _ = make_key(app, "boss", ("admin",))
    client = app.test_client()
    client.post(GENERATE, json=BODY)
    assert client.post(GENERATE, json=BODY).get_json()["cached"] is True
    answer = KeyClient(app, text)("DELETE", "/api/v1/cache")
    assert (answer.status_code, answer.get_json()) == (200, {"cleared": 1})
    assert client.get("/api/v1/status").get_json()["cache_size"] == 0
    assert client.post(GENERATE, json=BODY).get_json()["cached"] is False
    assert client.get("/api/v1/history").get_json()["items"], "the history stays"


def test_a_wrong_method_is_reported_to_callers_that_may_use_the_right_one(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_AUTH="required").test_client()
    assert client.open("/api/v1/health", method="TRACE").status_code == 405
    assert client.open("/api/v1/usage", method="TRACE").status_code == 401


def test_a_cancel_shows_no_text_to_a_key_that_may_not_read_the_history(app: Flask) -> None:
    reader, writer = (
        KeyClient(app, make_key(app, "alice", scopes)[0]) for scopes in (("generate", "history"), ("generate",))
    )
    answer = writer("POST", GENERATE, json=BODY).get_json()
    cancel = f"/api/v1/history/{answer['request_id']}/cancel"
    shown, hidden = reader("POST", cancel).get_json(), writer("POST", cancel).get_json()
    assert shown["output"] == answer["output"]
    texts = ("input", "parameters", "system_prompt", "user_prompt", "output")
    assert [hidden[name] for name in texts] == [None] * len(texts)
    assert (hidden["status"], hidden["request_id"]) == ("completed", answer["request_id"])
