"""Signing in and out, and the sessions of browsers.

Longer than other modules: all of them need an app that asks for a key.
"""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from tests.support.constants import OWN_PAGE
from tests.support.keys import make_key, signed_in, token_of

AWAY = {"REMOTE_ADDR": "10.0.0.1"}


@pytest.fixture(name="closed")
def _closed(make_app: Callable[..., Flask]) -> Flask:
    return make_app(APP_AUTH="required")


def cookie_of(client: FlaskClient, name: str = "session") -> str | None:
    found = client.get_cookie(name)
    return found.value if found else None


def post_login(client: FlaskClient, text: str, **more: Any) -> Any:
    return client.post("/login", data={"key": text, **more}, headers=OWN_PAGE)


def test_the_page_needs_no_script_and_no_key(closed: Flask) -> None:
    page = closed.test_client().get("/login")
    assert page.status_code == 200
    assert '<form method="post" action="/login">' in page.text
    assert '<label for="field-key">' in page.text
    assert 'type="password"' in page.text
    assert "flask keys create NAME --scope" in page.text
    assert "<nav" not in page.text


def test_sign_in_returns_to_the_requested_page(closed: Flask) -> None:
    text, _ = make_key(closed)
    client = closed.test_client()
    sent = client.get("/history?q=a+b&status=completed")
    assert (sent.status_code, sent.headers["Location"]) == (
        302,
        "/login?next=/history?q%3Da%2Bb%26status%3Dcompleted",
    )
    page = client.get(sent.headers["Location"])
    wanted = re.search(r'name="next" value="([^"]+)"', page.text)
    assert wanted
    landed = post_login(client, f"  {text}\n", next=wanted[1].replace("&amp;", "&"))
    assert (landed.status_code, landed.headers["Location"]) == (303, "/history?q=a+b&status=completed")
    assert client.get(landed.headers["Location"]).status_code == 200
    assert client.get("/login").headers["Location"] == "/", "already signed in"


@pytest.mark.parametrize(
    ("scopes", "landing"),
    [(("generate",), "/"), (("history", "usage"), "/history"), (("usage",), "/usage"), (("admin",), "/")],
)
def test_sign_in_leads_to_the_first_page_that_the_key_allows(
    closed: Flask, scopes: tuple[str, ...], landing: str
) -> None:
    answer = post_login(closed.test_client(), make_key(closed, "x", scopes)[0])
    assert answer.headers["Location"] == landing


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example", "///evil", "/\\evil", "\\\\evil", "https://evil.example/", "javascript:alert(1)", "evil",
        "/\t/evil", "/\n/evil", "/%0d%0aSet-Cookie:x", "/\x00", "http:/history", "/nowhere", "/static/css/app.css",
        "/api/v1/status", "/login", "/logout", "/" + "a" * 3000, "/history/../../evil", " /history", "",
    ],
)  # fmt: skip
def test_sign_in_redirects_to_no_other_address(closed: Flask, address: str) -> None:
    text, _ = make_key(closed)
    client = closed.test_client()
    assert 'name="next"' not in client.get("/login", query_string={"next": address}).text
    assert post_login(client, text, next=address).headers["Location"] == "/"
    assert client.get("/login", query_string={"next": address}).headers["Location"] == "/"


def test_the_cookie_on_this_machine(closed: Flask) -> None:
    answer = post_login(closed.test_client(), make_key(closed)[0])
    header = answer.headers["Set-Cookie"]
    assert re.fullmatch(
        r"session=[0-9a-f]{64}; Expires=[^;]+; Max-Age=604800; HttpOnly; Path=/; SameSite=Lax", header
    ), header


def test_the_cookie_over_https(make_app: Callable[..., Flask]) -> None:
    app = make_app(APP_PROXY_HOPS="1", APP_TRUSTED_HOSTS="llm.example.org")
    text, _ = make_key(app)
    client = app.test_client()
    headers = {**OWN_PAGE, "Host": "llm.example.org", "X-Forwarded-For": "10.0.0.7", "X-Forwarded-Proto": "https"}
    answer = client.post("/login", data={"key": text}, headers=headers)
    header = answer.headers["Set-Cookie"]
    assert re.fullmatch(
        r"__Host-session=[0-9a-f]{64}; Expires=[^;]+; Max-Age=604800; Secure; HttpOnly; Path=/; SameSite=Lax", header
    ), header
    reference = header.split(";")[0]
    closed_client = app.test_client(use_cookies=False)
    assert closed_client.get("/history", headers={**headers, "Cookie": reference}).status_code == 200
    plain = reference.replace("__Host-session", "session")
    assert closed_client.get("/history", headers={**headers, "Cookie": plain}).status_code == 302
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_no_sign_in_over_plain_http(make_app: Callable[..., Flask]) -> None:
    app = make_app(APP_TRUSTED_HOSTS="llm.example.org", APP_AUTH="required")
    text, _ = make_key(app)
    client = app.test_client()
    headers = {**OWN_PAGE, "Host": "llm.example.org"}
    page = client.get("/login", headers=headers)
    assert "Sign-in requires HTTPS" in page.text
    assert "<input" not in page.text
    answer = client.post("/login", data={"key": text}, headers=headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_pages_show_the_signed_in_owner_and_a_sign_out_button(closed: Flask, app: Flask) -> None:
    text, key = make_key(closed, "alice")
    client = signed_in(closed, text)
    page = client.get("/templates").text
    assert "alice</span>" in page
    assert key.key_id in page
    assert "Sign out" in page
    assert text not in page
    assert "Sign out" not in app.test_client().get("/templates").text, "nobody signed in"


def test_signing_out_ends_it(closed: Flask) -> None:
    client = signed_in(closed, make_key(closed)[0])
    reference = cookie_of(client)
    assert reference
    answer = client.post("/logout", data={"csrf_token": token_of(client)}, headers=OWN_PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?reason=signed-out")
    assert "You are signed out." in client.get(answer.headers["Location"]).text
    assert "session=;" in answer.headers["Set-Cookie"]
    assert cookie_of(client) is None
    client.set_cookie("session", reference)
    assert client.get("/templates").status_code == 302
    assert client.get("/logout").status_code == 302


def test_each_sign_in_is_a_new_session_and_the_old_one_ends(closed: Flask) -> None:
    """Against session fixation."""
    text, _ = make_key(closed)
    client = closed.test_client()
    client.set_cookie("session", "a" * 64)
    post_login(client, text)
    first = cookie_of(client)
    assert first not in (None, "a" * 64)
    post_login(client, text)
    second = cookie_of(client)
    assert second != first
    client.set_cookie("session", str(first))
    assert client.get("/templates").status_code == 302
    client.set_cookie("session", str(second))
    assert client.get("/templates").status_code == 200


@pytest.mark.parametrize("value", ["x", "a" * 64, "a" * 63, "a" * 8192, "../../etc", "%00", "e30.abc.def", "ä"])
def test_a_cookie_that_is_none_is_replaced_by_a_sign_in_and_cleared(closed: Flask, value: str) -> None:
    client = closed.test_client(use_cookies=False)
    answer = client.get("/history", headers={"Cookie": f"session={value}"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?reason=ended&next=/history")
    page = client.get(answer.headers["Location"]).text
    assert "Your session has ended. Sign in to continue where you were." in page
    assert 'name="next" value="/history"' in page
    assert re.match(r"session=; Expires=Thu, 01 Jan 1970", answer.headers["Set-Cookie"])
    assert client.get("/api/v1/history", headers={"Cookie": f"session={value}"}).status_code == 401


def test_a_tampered_cookie_is_absent(closed: Flask) -> None:
    client = signed_in(closed, make_key(closed)[0])
    reference = str(cookie_of(client))
    for wrong in (reference[:-1], reference.upper(), reference[:-1] + ("0" if reference[-1] != "0" else "1")):
        client.set_cookie("session", wrong)
        assert client.get("/templates").status_code == 302


def test_a_revoked_key_ends_its_sessions_at_once(closed: Flask) -> None:
    text, key = make_key(closed)
    client, other = signed_in(closed, text), signed_in(closed, make_key(closed)[0])
    services_of(closed).keyring.revoke(key.key_id)
    assert client.get("/templates").status_code == 302
    assert other.get("/templates").status_code == 200


def test_htmx_gets_the_redirect_in_a_header(closed: Flask) -> None:
    client = closed.test_client()
    headers = {**OWN_PAGE, "HX-Request": "true", "HX-Current-URL": "http://localhost/history?q=x"}
    answer = client.get("/history/rows", headers=headers)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=/history?q%3Dx")
    answer = client.post("/generate/answer", headers={**headers, "HX-Current-URL": "https://evil.example//evil"})
    assert answer.headers["HX-Redirect"] == "/login"
    assert client.post("/history/clear", headers=OWN_PAGE).headers["Location"] == "/login"


def test_a_form_that_met_an_ended_session_leads_back_to_its_page(closed: Flask) -> None:
    client = closed.test_client()
    for page, wanted in [
        ("http://localhost/history?q=x", "/login?next=/history?q%3Dx"),
        ("https://evil.example//evil", "/login"),
        ("", "/login"),
    ]:
        answer = client.post("/history/clear", headers={**OWN_PAGE, "Referer": page})
        assert (answer.status_code, answer.headers["Location"]) == (302, wanted)
    assert "Sign in with an API key to open this page." in client.get("/login?next=/history").text
    assert "placeholder" not in client.get("/login").text


FORMS = [
    "/",
    "/generate/answer",
    "/generate/form",
    "/generate/preview",
    "/generate/payload",
    "/history/clear",
    "/logout",
]
# The others answer with a part of a page.
REDIRECT = ("/", "/history/clear", "/logout")


@pytest.mark.parametrize("address", FORMS)
def test_a_changing_request_brings_the_session_s_token(closed: Flask, address: str) -> None:
    text, _ = make_key(closed)
    client, other = signed_in(closed, text), signed_in(closed, text)
    good = token_of(client)
    form = {"template_id": "basic_chat_v1", "input": "Hi"}
    done = 303 if address in REDIRECT else 200

    def status(token: str | None = None, header: str | None = None, **headers: str) -> int:
        sent = {**form, **({} if token is None else {"csrf_token": token})}
        named = {**OWN_PAGE, **({} if header is None else {"X-CSRF-Token": header}), **headers}
        response = client.post(address, data=sent, headers={k.replace("_", "-"): v for k, v in named.items() if v})
        response.close()
        return response.status_code

    assert status() == 403
    assert status("") == 403
    assert status(token_of(other)) == 403
    assert status(good[:-1]) == 403
    assert status(header="nonsense") == 403
    assert status(good, Sec_Fetch_Site="cross-site") == 403
    assert status(good, Sec_Fetch_Site="same-site") == 403
    assert status(good, **{"Sec-Fetch-Site": "", "Origin": "null"}) == 403
    assert status(good, **{"Sec-Fetch-Site": "", "Origin": "http://evil.example"}) == 403
    assert status(good, **{"Sec-Fetch-Site": ""}) == 403, "neither Origin nor Sec-Fetch-Site"
    assert status(good, **{"Sec-Fetch-Site": "", "Origin": "http://localhost"}) == done
    if address == "/logout":
        return
    assert status(good) == status(header=good) == done


def test_the_api_by_cookie_needs_the_token_too(closed: Flask) -> None:
    client = signed_in(closed, make_key(closed)[0])
    good = token_of(client)
    assert client.get("/api/v1/history").status_code == 200
    body = {"template_id": "basic_chat_v1", "input": "Hi"}

    def error(**headers: str) -> str | None:
        answer = client.post("/api/v1/generate", json=body, headers=headers)
        return (answer.get_json() or {}).get("error")

    assert error() == "csrf"
    assert error(**OWN_PAGE) == "csrf"
    assert error(**{"X-CSRF-Token": good}) == "csrf", "neither Origin nor Sec-Fetch-Site"
    assert error(**{"X-CSRF-Token": good, "Sec-Fetch-Site": "cross-site"}) == "csrf"
    assert error(**{"X-CSRF-Token": good, **OWN_PAGE}) is None
    assert len(re.findall('data-csrf="[0-9a-f]{128}"', client.get("/docs").text)) == 1


def test_every_form_of_every_page_has_the_token(closed: Flask) -> None:
    client = signed_in(closed, make_key(closed)[0])
    form = {"template_id": "basic_chat_v1", "input": "Hi", "csrf_token": token_of(client)}
    client.post("/", data=form, headers=OWN_PAGE)
    (row,) = services_of(closed).history.page("alice", limit=1).items
    forms = 0
    for page in ("/", "/history", f"/history/{row.request_id}", "/templates", "/usage", "/docs"):
        html = client.get(page).text
        # The preferences are a browser's, not a session's.
        for found in re.findall(r'<form[^>]*method="post" (?!action="/preferences").*?</form>', html, re.DOTALL):
            forms += 1
            assert 'name="csrf_token"' in found, page
        if page != "/docs":
            assert 'hx-headers:inherited=\'{"X-CSRF-Token": "' in html
    assert forms >= 9


def test_a_foreign_page_cannot_sign_anyone_in(closed: Flask) -> None:
    text, _ = make_key(closed)
    client = closed.test_client()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {}):
        answer = client.post("/login", data={"key": text}, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_a_basic_authorization_header_does_not_replace_the_origin_check(closed: Flask) -> None:
    text, _ = make_key(closed)
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", "Authorization": "Basic eDp5"}
    answer = closed.test_client().post("/login", data={"key": text}, headers=headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("data", [{"key": "x" * 1_000_000}, "a=1&" * 100_000], ids=["one field", "many"])
def test_a_large_form_is_refused_before_sign_in(closed: Flask, data: object) -> None:
    headers = {**OWN_PAGE, "Content-Type": "application/x-www-form-urlencoded"}
    answer = closed.test_client().post("/login", data=data, headers=headers)
    assert answer.status_code == 413
    assert answer.mimetype == "text/html"


def test_an_invalid_current_url_leads_to_the_login_page(closed: Flask) -> None:
    answer = closed.test_client().get("/history", headers={"HX-Request": "true", "HX-Current-URL": "http://["})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login")


def test_a_hundred_wrong_keys(closed: Flask) -> None:
    text, _ = make_key(closed)
    client = closed.test_client()
    answers = [post_login(client, f"wrong-{number}") for number in range(100)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 95
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert "Too many invalid keys" in answers[-1].text
    assert "Invalid API key" in answers[0].text
    assert "wrong-0" not in answers[0].text
    other = client.post("/login", data={"key": "wrong"}, headers=OWN_PAGE, environ_base=AWAY)
    assert other.status_code == 401
    assert post_login(client, text).status_code == 303, "a good key is never refused"


@pytest.mark.parametrize("key", ["", " ", "x" * 5_000, "\0", "schlüssel", "' OR 1=1 --", "llms_" + "0" * 62])
def test_texts_that_are_not_keys(closed: Flask, key: str) -> None:
    answer = post_login(closed.test_client(), key)
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: html.unescape(text) for name, text in found}


def test_a_form_that_is_sent_without_a_session_is_carried_through_sign_in(closed: Flask) -> None:
    text, _ = make_key(closed)
    client = closed.test_client()
    typed = {"template_id": "basic_chat_v1", "template_shown": "basic_chat_v1", "p.tone": "simple", "fresh": "1",
             "input": 'Two lines\r\nwith "quotes" & <b>', "csrf_token": "0" * 64}  # fmt: skip
    sent = client.post("/", data=typed, headers=OWN_PAGE)
    assert sent.status_code == 307, "the browser sends the form again, to the sign-in page"
    page = client.post(sent.headers["Location"], data=typed, headers=OWN_PAGE)
    assert page.status_code == 401
    assert "What you typed is kept" in page.text
    assert "Invalid API key" not in page.text
    carried = {name: value for name, value in hidden_fields(page.text).items() if name != "next"}
    assert carried == {name: value for name, value in typed.items() if name != "csrf_token"}
    wrong = client.post("/login", data={**carried, "key": "nope"}, headers=OWN_PAGE)
    assert wrong.status_code == 401
    assert hidden_fields(wrong.text)["input"] == typed["input"]
    signed_in_page = client.post("/login", data={**carried, "key": text}, headers=OWN_PAGE)
    assert signed_in_page.status_code == 200
    assert "session=" in signed_in_page.headers["Set-Cookie"]
    assert "Two lines\nwith &#34;quotes&#34; &amp; &lt;b&gt;</textarea>" in signed_in_page.text
    assert '<option value="simple" selected>' in signed_in_page.text
    assert 'name="fresh" value="1" checked' in signed_in_page.text
    token = re.search(r'name="csrf_token" value="([^"]+)"', signed_in_page.text)
    assert token
    assert client.post("/", data={**carried, "csrf_token": token[1]}, headers=OWN_PAGE).status_code == 303
    assert len(client.get("/api/v1/history").get_json()["items"]) == 1, "only what was sent with a session"


def test_a_key_that_may_not_generate_is_not_shown_the_form(closed: Flask) -> None:
    text, _ = make_key(closed, "x", ("usage",))
    data = {"template_id": "basic_chat_v1", "input": "Kept", "key": text}
    answer = closed.test_client().post("/login", data=data, headers=OWN_PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/usage")


def test_a_carried_form_whose_template_is_gone_keeps_its_text(closed: Flask) -> None:
    client = closed.test_client()
    data = {"template_id": "gone_v1", "input": "Kept", "key": make_key(closed)[0]}
    page = client.post("/login", data=data, headers=OWN_PAGE)
    assert (page.status_code, cookie_of(client) is not None) == (200, True)
    assert "\nKept</textarea>" in page.text


def test_run_again_shows_no_stored_text_to_a_key_without_the_history(closed: Flask) -> None:
    """An invalid model leads back to the form, which has the text."""
    with_history = signed_in(closed, make_key(closed)[0])
    body = {"template_id": "basic_chat_v1", "input": "A stored secret", "csrf_token": token_of(with_history)}
    place = with_history.post("/", data=body, headers=OWN_PAGE).headers["Location"]
    client = signed_in(closed, make_key(closed, "alice", ("generate",))[0])
    again = {"request_id": place.split("from=")[1], "model": "nope", "csrf_token": token_of(client)}
    answer = client.post("/generate/again", data=again, headers=OWN_PAGE)
    assert (answer.status_code, "A stored secret" in answer.text) == (404, False)
