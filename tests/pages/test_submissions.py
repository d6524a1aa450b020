"""A submit whose request arrives again, after a double click or a broken connection, is the same generation."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.constants import OWN_PAGE
from tests.support.requests import post
from tests.support.upstream import Upstream

SLOW = "tokens-20-20"
ID, OTHER = "0" * 32, "1" * 32


@pytest.fixture(name="slow_client")
def _slow_client(make_app: Callable[..., Flask], upstream: Upstream) -> FlaskClient:
    return make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=SLOW).test_client()


def ids(client: FlaskClient) -> list[str]:
    return [item["request_id"] for item in client.get("/api/v1/history").get_json()["items"]]


def running_id(page: str) -> str:
    found = re.search(r'data-running="([^"]+)"', page)
    assert found
    return found[1]


def test_each_page_and_each_answer_names_the_next_submit(client: FlaskClient) -> None:
    pattern = r'<input type="hidden" id="submission" name="submission" value="([0-9a-f]{32})" autocomplete="off"( hx-swap-oob="true")?>'
    pages = [
        client.get("/").text,
        post(client, "/generate/answer").text,
        post(client, "/generate/answer", input=" ").text,
    ]
    found = [re.findall(pattern, page) for page in pages]
    assert [len(fields) for fields in found] == [1, 1, 1]
    assert [bool(fields[0][1]) for fields in found] == [False, True, True]
    assert len({fields[0][0] for fields in found}) == 3


def test_the_same_submit_twice_pays_once(slow_client: FlaskClient, upstream: Upstream) -> None:
    before = len(upstream.calls)
    first, again = (post(slow_client, "/generate/answer", fresh="1", submission=ID).text for _ in range(2))
    assert running_id(first) == running_id(again)
    assert "word" in slow_client.get(f"/generate/{running_id(first)}/events").text
    late = post(slow_client, "/generate/answer", fresh="1", submission=ID).text
    assert "word word" in late, "the answer, after its end"
    assert len(upstream.calls) == before + 1
    assert ids(slow_client) == [running_id(first)]


def test_other_values_or_another_submit_are_another_generation(slow_client: FlaskClient) -> None:
    changes = [
        {"submission": ID},
        {"submission": OTHER},
        {"submission": ID, "input": "Other"},
        {"submission": "none"},
        {},
    ]
    begun = [running_id(post(slow_client, "/generate/answer", fresh="1", **change).text) for change in changes]
    assert len(set(begun)) == len(begun)


def test_without_scripts_too(client: FlaskClient) -> None:
    places = {post(client, fresh="1", submission=ID).headers["Location"] for _ in range(2)}
    assert len(places) == len(ids(client)) == 1
    assert post(client, fresh="1", submission=OTHER).headers["Location"] not in places


def test_a_failed_submit_runs_again(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    for _ in range(2):
        assert post(client, model="fault-500", submission=ID).status_code == 502
    assert len(ids(client)) == 2


@pytest.mark.parametrize("history", ["metadata", "off"])
def test_where_no_answers_are_kept(make_app: Callable[..., Flask], history: str) -> None:
    client = make_app(APP_HISTORY=history).test_client()
    assert "Hello there" in post(client, submission=ID).text


def test_run_again_pays_once(client: FlaskClient) -> None:
    post(client)
    (stored,) = ids(client)
    page = client.get(f"/history/{stored}").text
    assert re.search(r'action="/generate/again">.*<input type="hidden" name="submission" value="[0-9a-f]{32}"', page)
    data = {"request_id": stored, "model": "", "submission": ID}
    places = {client.post("/generate/again", data=data, headers=OWN_PAGE).headers["Location"] for _ in range(2)}
    assert len(places) == 1
    assert len(ids(client)) == 2
    client.post("/generate/again", data={**data, "submission": OTHER}, headers=OWN_PAGE)
    assert len(ids(client)) == 3
