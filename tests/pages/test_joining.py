"""How a page gets a running answer: by joining it, from where it was; or from the form's own request."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.keys import make_key, signed_in, token_of
from tests.support.requests import post
from tests.support.upstream import Upstream

SLOW, WHOLE = "tokens-20-20", "word " * 20
MakeApp = Callable[..., Flask]


@pytest.fixture(name="slow_app")
def _slow_app(make_app: MakeApp, upstream: Upstream) -> Callable[..., Flask]:
    def make(**settings: str) -> Flask:
        return make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=SLOW, **settings)

    return make


def begin(client: FlaskClient, text: str = "Slowly", **more: str) -> str:
    fragment = post(client, "/generate/answer", input=text, **more)
    assert fragment.mimetype == "text/html"
    found = re.search(r'data-running="([^"]+)" data-events="([^"]+)" data-join>', fragment.text)
    assert found
    assert found[2] == f"/generate/{found[1]}/events"
    return found[1]


def read(client: FlaskClient, request_id: str, **headers: str) -> tuple[str, list[int], str]:
    """The text of the deltas, their positions, and the last fragment."""
    text = client.get(f"/generate/{request_id}/events", headers=headers).text
    deltas = re.findall(r'^event: delta\nid: (\d+)\ndata: \{"text": "(.*)"\}$', text, re.MULTILINE)
    *_, last = text.strip("\n").split("\n\n")
    return "".join(piece for _, piece in deltas), [int(position) for position, _ in deltas], last


def test_only_the_rest_is_sent_to_one_who_was_there(slow_app: Callable[..., Flask]) -> None:
    client = slow_app().test_client()
    request_id = begin(client)
    whole, positions, last = read(client, request_id)
    assert (whole, positions[-1]) == (WHOLE, len(WHOLE))
    assert "data: " in last
    assert 'id="output"' in last
    for had in (1, 7, 99):
        assert read(client, request_id, **{"Last-Event-ID": str(had)})[0] == WHOLE[had:]
    for had in (100, 101, 4000):
        rest, _, last = read(client, request_id, **{"Last-Event-ID": str(had)})
        assert rest == ""
        assert WHOLE.strip() in last, "the answer is shown whole in any case"
    assert read(client, request_id, **{"Last-Event-ID": "none"})[0] == WHOLE


def streamed(client: FlaskClient, **more: str) -> str:
    response = post(client, "/generate/answer", **more)
    assert response.mimetype == "text/event-stream"
    return response.text


def test_a_key_that_may_not_read_the_history_gets_a_stream(slow_app: Callable[..., Flask]) -> None:
    app = slow_app(APP_AUTH="required")
    client = signed_in(app, make_key(app, "x", ("generate",))[0])
    text = streamed(client, csrf_token=token_of(client))
    assert text.count("event: delta") > 2
    assert "data-running" in text.split("\n\n")[0]
    assert "data-join" not in text


@pytest.mark.parametrize("history", ["metadata", "off"])
def test_where_no_texts_are_kept_the_form_gets_a_stream(slow_app: Callable[..., Flask], history: str) -> None:
    text = streamed(slow_app(APP_HISTORY=history).test_client())
    assert text.count("event: delta") > 2
    assert WHOLE.strip() in text.split("\n\n")[-2]
