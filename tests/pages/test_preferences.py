"""The choices that a browser keeps in cookies."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.constants import OWN_PAGE


def chosen(client: FlaskClient, *, referer: str = "", **form: str) -> str:
    """Where the browser is sent to."""
    headers = {**OWN_PAGE, **({"Referer": referer} if referer else {})}
    response = client.post("/preferences", data=form, headers=headers)
    assert response.status_code == 303
    return response.headers["Location"]


def test_the_theme_is_on_every_page_until_it_is_the_systems_again(client: FlaskClient) -> None:
    assert "data-theme=" not in client.get("/").text
    chosen(client, theme="dark")
    for path in ("/", "/docs", "/login", "/nowhere"):
        assert '<html lang="en" data-theme="dark">' in client.get(path, headers={"Accept": "text/html"}).text, path
    chosen(client, theme="system")
    assert "data-theme=" not in client.get("/").text


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        ("", "/"),
        ("http://localhost/usage?range=7d", "/usage?range=7d"),
        ("http://localhost/login?next=/usage", "/login?next=/usage"),
        ("http://localhost//evil.example", "/"),
        ("http://[", "/"),
        ("http://localhost/api/v1/templates", "/"),
    ],
)
def test_it_leads_back_to_the_page(client: FlaskClient, referer: str, expected: str) -> None:
    assert chosen(client, referer=referer, theme="dark") == expected


def test_unknown_values_change_nothing(client: FlaskClient) -> None:
    answer = client.post("/preferences", data={"theme": "pink"}, headers=OWN_PAGE)
    assert answer.status_code == 422
    assert "Set-Cookie" not in answer.headers
    client.set_cookie("theme", '"><script>')
    assert "<script>" not in client.get("/templates").text.split("<head>")[0]


def test_another_site_cannot_choose(make_app: Callable[..., Flask]) -> None:
    """The choice needs no key: it works on the sign-in page."""
    client = make_app(APP_AUTH="required").test_client()
    assert chosen(client, theme="dark") == "/"
    foreign = client.post("/preferences", data={"theme": "light"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert 'data-theme="dark"' in client.get("/login").text


def test_the_notice_hides(client: FlaskClient) -> None:
    assert "No model is connected" in client.get("/").text
    chosen(client, notice="hidden")
    assert "No model is connected" not in client.get("/").text
