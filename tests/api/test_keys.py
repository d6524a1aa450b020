"""Keys over HTTP: what lets in, what does not, and that nobody can tell why.

Longer than other modules: all of them need an app that asks for a key.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import Engine

from llm_service.app import services_of
from llm_service.core.access.keys import make_key, with_checksum
from llm_service.web.security.authentication import INVALID_KEY
from tests.support.constants import OWN_PAGE
from tests.support.keys import KeyClient, bearer, signed_in, token_of
from tests.support.keys import make_key as key_of
from tests.support.logs import logged
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

STATUS = "/api/v1/status"


@pytest.fixture(name="closed")
def _closed(make_app: Callable[..., Flask]) -> Flask:
    """Open to nobody without a key, its own machine's clients neither."""
    return make_app(APP_AUTH="required")


def test_a_key_lets_in_from_anywhere(app: Flask) -> None:
    text, _ = key_of(app, "ci")
    away = {"REMOTE_ADDR": "192.168.1.7"}
    for name in ("Bearer", "bearer", "BEARER"):
        answer = app.test_client().post(
            GENERATE, json=BODY, headers={"Authorization": f"{name} {text}"}, environ_base=away
        )
        assert answer.status_code == 200
    services_of(app).keyring.save_last_used()
    assert services_of(app).keyring.all()[0].last_used_ms is not None
    assert services_of(app).history.page("ci", limit=10).items
    assert services_of(app).history.page("local", limit=10).items == []


def wrongs(text: str) -> dict[str, dict[str, str]]:
    """Everything that is no way in, as headers; the key itself is good."""
    guess = with_checksum(text[:17] + "_" + "0" * 43)
    return {
        "missing": {},
        "no scheme": {"Authorization": text},
        "no key": {"Authorization": "Bearer"},
        "empty": {"Authorization": ""},
        "blank": {"Authorization": "Bearer "},
        "two blanks": {"Authorization": f"Bearer  {text}"},
        "1 MB": {"Authorization": "Bearer " + "x" * 1_000_000},
        "8 kB": {"Authorization": "Bearer " + text * 110},
        "non-ASCII": {"Authorization": "Bearer schlüssel"},
        "digits of another script": {"Authorization": "Bearer " + text[:-1] + "²"},
        "NUL": {"Authorization": f"Bearer {text[:-1]}\0"},
        "two headers": {"Authorization": f"Bearer {text},Bearer {text}"},
        "two schemes": {"Authorization": f"Basic eDp5, Bearer {text}"},
        "Basic": {"Authorization": "Basic " + text},
        "other scheme": {"Authorization": f"Token {text}"},
        "bad checksum": {"Authorization": f"Bearer {text[:-1]}{'0' if text[-1] != '0' else '1'}"},
        "wrong secret": {"Authorization": f"Bearer {guess}"},
        "unknown": {"Authorization": f"Bearer {make_key(lambda size: bytes(range(size)))[0]}"},
        "SQL": {"Authorization": "Bearer ' OR 1=1 --"},
        "SQL union": {"Authorization": "Bearer ' UNION SELECT * FROM keys --"},
        "X-Api-Key": {"X-Api-Key": text},
        "Api-Key": {"Api-Key": text},
        "Cookie": {"Cookie": f"session={text}"},
        "Proxy-Authorization": {"Proxy-Authorization": f"Bearer {text}"},
    }


def refusal(app: Flask, headers: dict[str, str], number: int, address: str = STATUS) -> tuple[int, Any, Any]:
    """Status, body but for the request's id, and the challenge."""
    peer = {"REMOTE_ADDR": f"10.1.{number // 200}.{number % 200}"}
    with app.test_client(use_cookies=False).get(address, headers=headers, environ_base=peer, buffered=True) as response:
        body = response.get_json(silent=True) or {}
        body.pop("request_id", None)
        return response.status_code, body, response.headers.get("WWW-Authenticate")


def test_every_wrong_way_is_told_the_same(closed: Flask) -> None:
    text, _ = key_of(closed)
    expired, _ = key_of(closed, expires_ms=1)
    revoked, key = key_of(closed)
    services_of(closed).keyring.revoke(key.key_id)
    cases = {**wrongs(text), "expired": bearer(expired), "revoked": bearer(revoked)}
    for number, (name, headers) in enumerate(cases.items()):
        status, body, challenge = refusal(closed, headers, number)
        assert (status, challenge) == (401, 'Bearer realm="llm-api-service"'), name
        assert body == {
            "type": "/problems/not-authenticated",
            "title": "Sign-in required",
            "status": 401,
            "detail": INVALID_KEY,
            "instance": STATUS,
            "error": "not-authenticated",
        }, name
    for number, address in enumerate(
        (f"{STATUS}?api_key={text}", f"{STATUS}?token={text}&key={text}", f"{STATUS}?{text}")
    ):
        assert refusal(closed, {}, 300 + number, address)[1]["detail"] == INVALID_KEY
    answer = closed.test_client().post(GENERATE, json={**BODY, "api_key": text}, headers={"Sec-Fetch-Site": "none"})
    assert answer.status_code == 401
    assert refusal(closed, bearer(text), 400)[0] == 200


def test_where_it_is_open_a_wrong_key_is_still_refused(app: Flask) -> None:
    """A caller that sends a key must not be taken for anyone else: that would mix up histories."""
    client = app.test_client()
    assert client.get(STATUS).status_code == 200
    assert client.get(STATUS, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_what_comes_from_a_caller_is_a_bound_parameter(closed: Flask, tmp_path: Path) -> None:
    """CVE-2026-42208: the statements that reach SQLite have a placeholder for the id."""
    text, key = key_of(closed)
    statements: list[tuple[str, Any]] = []

    # An assertion in here would be taken for a fault of the database, and for a refused key.
    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "FROM keys" in statement:
            statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", keep)
    try:
        KeyClient(closed, text)("GET", STATUS)
        closed.test_client().get(STATUS, headers=bearer("' OR 1=1 --"))
    finally:
        event.remove(Engine, "before_cursor_execute", keep)
    assert len(statements) == 2, "what has no key's form does not even get there"
    for statement, parameters in statements:
        assert parameters == (key.key_id,)
        assert "keys.key_id = ?" in statement
        assert key.key_id not in statement


def test_a_revoked_key_opens_nothing_at_once(closed: Flask) -> None:
    text, key = key_of(closed)
    call = KeyClient(closed, text)
    assert call("GET", STATUS).status_code == 200
    services_of(closed).keyring.revoke(key.key_id)
    assert call("GET", STATUS).status_code == 401


def test_a_key_store_that_fails_lets_nobody_in(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    """CVE-2026-12773: an error while somebody is looked up made them somebody else."""
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/broken.db")
    text, _ = key_of(app)
    assert KeyClient(app, text)("GET", STATUS).status_code == 200
    with sqlite3.connect(tmp_path / "broken.db") as connection:
        connection.execute("ALTER TABLE keys RENAME TO elsewhere")
    connection.close()
    time.sleep(0.6)  # longer than a good key is remembered
    answer = KeyClient(app, text)("GET", STATUS)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "storage-unavailable")
    answer = KeyClient(app, text)("GET", "/history")
    assert answer.status_code == 503
    assert app.test_client(use_cookies=False).get(STATUS, headers={"Cookie": "session=" + "0" * 64}).status_code == 503
    assert app.test_client().get("/login").status_code == 200, "it signs nobody in"


def test_a_bug_in_authentication_lets_nobody_in(app: Flask) -> None:
    """A row that this program cannot read."""
    text, _ = key_of(app)
    path = app.config["SETTINGS"].database_path
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE keys SET scopes = 'root'")
    connection.close()
    answer = KeyClient(app, text)("GET", STATUS)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "storage-unavailable")
    assert "root" not in answer.text


def filled(number: int, size: int) -> bytes:
    return bytes([number]) * size


def test_invalid_keys_from_one_address_must_wait_and_valid_ones_never(closed: Flask) -> None:
    text, _ = key_of(closed)
    client = closed.test_client()

    def status(headers: dict[str, str], peer: str = "10.0.0.9") -> int:
        return client.get(STATUS, headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code

    guesses = [bearer(make_key(partial(filled, number))[0]) for number in range(1, 101)]
    assert [status(guess) for guess in guesses] == [401] * 5 + [429] * 95
    assert status(bearer(text)) == 200
    assert status({}) == 401, "to say nothing is no guess"
    assert status(guesses[0], peer="10.0.0.10") == 401
    answer = client.get(STATUS, headers=guesses[0], environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert answer.get_json()["error"] == "rate-limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("wanted", ["other", "third"])
def test_a_key_s_models_are_kept_to_through_every_entry(
    make_app: Callable[..., Flask], wanted: str, tmp_path: Path
) -> None:
    """CVE-2026-44563: one entry that forgets the list is as good as none."""
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    source = "---\nname: T\n{}inputs:\n  - {{name: input, kind: string, required: true}}\n---\nuser:\n{{{{ input }}}}\n"
    (prompts / "plain_v1.prompty").write_text(source.format(""))
    (prompts / "own_v1.prompty").write_text(source.format("model:\n  id: third\n"))
    app = make_app(APP_PROMPTS_DIR=str(prompts), OPENAI_MODEL="first", APP_MODELS="first,other", APP_AUTH="required")
    text, _ = key_of(app, models=frozenset({"first"}))
    call, browser = KeyClient(app, text), signed_in(app, text)
    template = "own_v1" if wanted == "third" else "plain_v1"
    asked = {"input": "Hi"} if wanted == "third" else {"input": "Hi", "model": wanted}
    answers = [
        call("POST", GENERATE, json={"template_id": template, **asked}),
        call("POST", GENERATE, json={"template_id": template, **asked, "stream": True}),
        call("POST", f"/api/v1/templates/{template}/generate", json=asked),
        call("POST", f"/api/v1/templates/{template}/preview", json=asked),
    ]
    assert [(answer.status_code, answer.get_json()["error"]) for answer in answers] == [(422, "unknown-model")] * 4
    form = {"template_id": template, **asked, "csrf_token": token_of(browser)}
    for address in ("/", "/generate/answer"):
        answer = browser.post(address, data=form, headers=OWN_PAGE)
        assert answer.status_code == 422, address
        assert "must be one of" in answer.text
    assert "must be one of" in browser.post("/generate/preview", data=form, headers=OWN_PAGE).text
    assert browser.get(f"/?template={template}").status_code == 200
    assert "other" not in browser.get(f"/?template={template}").text.split('id="field-model"')[-1].split("</select>")[0]
    assert services_of(app).history.page("alice", limit=10).items == []
    assert call("POST", GENERATE, json={"template_id": "plain_v1", "input": "Hi"}).status_code == 200
    assert call("GET", STATUS).get_json()["models"] == ["first"]


@pytest.fixture(name="events")
def _events() -> Any:
    """What the security log says, as the real formatter writes it."""
    with logged("INFO") as lines:
        yield lines


def test_what_happens_to_keys_is_logged_with_ids_and_without_secrets(closed: Flask, events: list[str]) -> None:
    text, key = key_of(closed, "ci", ("generate",))
    wrong = with_checksum(text[:18] + "z" * 43)
    client = closed.test_client()
    client.get(STATUS)
    for _ in range(6):
        client.get(STATUS, headers=bearer(wrong))
    KeyClient(closed, text)("GET", "/api/v1/usage")
    client.post("/login", data={"key": wrong}, headers=OWN_PAGE)
    browser = signed_in(closed, text)
    browser.post("/logout", headers={"Sec-Fetch-Site": "cross-site"})
    browser.post("/logout", data={"csrf_token": token_of(browser)}, headers=OWN_PAGE)
    said = [json.loads(line) for line in events]
    mine = [entry for entry in said if entry["logger"] == "llm_service.security"]
    summary = [(entry["event"], entry.get("reason"), entry["key_id"]) for entry in mine]
    assert summary == [
        ("denied", "no key", None),
        *[("denied", "wrong-secret", key.key_id)] * 6,
        ("limited", "wrong keys", key.key_id),
        ("denied", "scope", key.key_id),
        ("sign-in failed", "wrong-secret", key.key_id),
        ("limited", "wrong keys", key.key_id),
        ("signed in", None, key.key_id),
        ("denied", "csrf", key.key_id),
        ("signed out", None, key.key_id),
    ]
    assert all(entry["client"] == "127.0.0.1" and entry["request_id"] and entry["route"] for entry in mine)
    for secret in (text, wrong, text[18:61]):
        assert [line for line in events if secret in line] == []


@pytest.mark.parametrize("model", ["tokens-200-5", "slow-40"])
@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_stream_ends_soon_after_its_key(
    make_app: Callable[..., Flask], upstream: Upstream, model: str, end: str
) -> None:
    """Each would go on for forty seconds: with steady text, or in silence."""
    app = make_app(APP_AUTH="required", OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=model)
    keyring = services_of(app).keyring
    expires_ms = services_of(app).clock.now_ms() + 3000 if end == "expired" else None
    text, key = key_of(app, "alice", expires_ms=expires_ms)
    _, other = key_of(app, "alice")
    response = app.test_client().post(GENERATE, json={**BODY, "stream": True}, headers=bearer(text))
    chunks: Any = iter(response.response)
    request_id = json.loads(next(chunks).decode().split("data: ")[1])["request_id"]
    page = app.test_client().get(f"/generate/{request_id}/events", headers=bearer(text))
    assert len(keyring.watches) == 2
    keyring.revoke(other.key_id)  # another key of the same owner
    if end == "revoked":
        keyring.revoke(key.key_id)
    *events, last = b"".join(chunks).decode().strip().split("\n\n")
    name, position, data = last.split("\n")
    texts = [json.loads(each.split("data: ")[1])["text"] for each in events if each.startswith("event: delta")]
    assert position == f"id: {len(''.join(texts))}", "the owner's other key continues from here"
    assert (name, json.loads(data.removeprefix("data: "))["error"]) == ("event: error", "not-authenticated")
    fragment = page.get_data(as_text=True).rsplit("\n\n", 2)[-2]
    assert "Your API key was revoked or has expired." in fragment
    assert 'id="recent"' not in fragment
    response.close()
    page.close()
    assert len(keyring.watches) == 0
    (row,) = services_of(app).history.page("alice", limit=10).items
    assert row.status.value == "running", "long before its end"
