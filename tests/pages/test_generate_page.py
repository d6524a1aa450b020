"""The Generate page without JavaScript: it works, and it never loses typed text."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.constants import OWN_PAGE
from tests.support.hostile import HOSTILE
from tests.support.requests import post, text_of


def test_the_form_is_drawn_from_the_template(client: FlaskClient) -> None:
    page = client.get("/").text
    assert re.search(
        r'<select id="field-parameters-tone" name="p.tone".*?<option value="neutral" selected>neutral</option>',
        page,
        re.DOTALL,
    )
    assert 'data-max="5000"' in page
    assert "No model is connected" in page
    assert 'id="field-parameters-tone"' not in client.get("/?template=summarize_v1").text


def test_an_answer_and_a_reload_without_another_call(client: FlaskClient) -> None:
    response = post(client)
    assert response.status_code == 303
    page = client.get(response.headers["Location"]).text
    assert text_of(page, "output") == "Echo (no model was asked): Hello there"
    assert "simple tone" in text_of(page, "system-prompt")
    assert text_of(page, "user-prompt") == "Hello there"
    assert ">new</span>" in page
    assert text_of(page, "field-input") == "\nHello there", "ready to edit and run again"
    client.get(response.headers["Location"])
    assert len(client.get("/api/v1/history").get_json()["items"]) == 1
    assert ">cached</span>" in client.get(post(client).headers["Location"]).text


def test_skip_the_cache(client: FlaskClient) -> None:
    post(client)
    assert ">new</span>" in client.get(post(client, fresh="1").headers["Location"]).text


def test_an_error_keeps_everything_that_was_typed(client: FlaskClient) -> None:
    typed = "\n  first line\r\n" + HOSTILE
    response = post(client, input=typed, **{"p.tone": "loud", "parameters_json": '{"a": 1}', "fresh": "1"})
    page = response.text
    assert response.status_code == 422
    area = re.search(r'<textarea id="field-input".*?>\n(.*?)</textarea>', page, re.DOTALL)
    assert area
    assert html.unescape(area[1]) == typed.replace("\r\n", "\n")
    assert text_of(page, "error-field-parameters-tone") == "Must be one of: neutral, simple, professional"
    assert text_of(page, "field-parameters_json") == '\n{"a": 1}'
    assert 'name="fresh" value="1" checked' in page
    assert 'role="alert"' in page
    assert "<script>alert" not in page


def test_line_ends_become_lf(client: FlaskClient) -> None:
    post(client, input="one\r\ntwo")
    assert client.get("/api/v1/history/export").get_json()["items"][0]["input"] == "one\ntwo"


def test_another_template_keeps_the_input(client: FlaskClient) -> None:
    for path in ("/", "/generate/form"):
        page = post(client, path, choose="1", template_id="summarize_v1").text
        assert text_of(page, "field-input") == "\nHello there"
        assert "p.tone" not in page
    assert client.get("/api/v1/history").get_json()["items"] == []


def test_advanced_json_overrides_the_fields(client: FlaskClient) -> None:
    page = client.get(post(client, parameters_json='{"tone": "professional"}').headers["Location"]).text
    assert "professional tone" in text_of(page, "system-prompt")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("{", "This is not valid JSON"),
        ("[1]", "Must be an object"),
        ('{"tone": 1, "tone": 2}', "more than once"),
        ("NaN", "not JSON"),
    ],
)
def test_bad_advanced_json_is_marked_at_its_field(client: FlaskClient, typed: str, words: str) -> None:
    response = post(client, parameters_json=typed)
    assert response.status_code == 422
    assert words in text_of(response.text, "error-field-parameters_json")


def test_the_payload_is_a_request_that_works(client: FlaskClient) -> None:
    body = json.loads(text_of(post(client, "/generate/payload").text, "payload-json"))
    assert body == {"template_id": "basic_chat_v1", "input": "Hello there", "parameters": {"tone": "simple"}}
    assert client.post("/api/v1/generate", json=body).status_code == 200


def test_fragments_are_fragments(client: FlaskClient) -> None:
    answered = post(client, "/generate/answer")
    assert answered.status_code == 200
    for response in (answered, post(client, "/generate/form"), post(client, "/generate/payload"),
                     client.get("/generate/recent"), client.get("/status")):  # fmt: skip
        assert "<html" not in response.text
        assert "<script" not in response.text
    assert 'id="recent"' in answered.text
    assert 'id="error-field-input" hx-swap-oob="true"' in answered.text
    refused = post(client, "/generate/answer", input=" ")
    assert refused.status_code == 422
    assert text_of(refused.text, "error-field-input") == 'Enter some text in "Input".'
    assert '<a href="#field-input">Enter some text in &#34;Input&#34;.</a>' in refused.text


def test_a_failure_of_the_provider_is_shown_in_the_answer_panel(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    response = post(client, model="fault-500")
    assert response.status_code == 502
    assert "The model provider answered with an error." in response.text
    assert "Try again" in response.text
    assert text_of(response.text, "field-input") == "\nHello there"
    assert "<option selected>fault-500</option>" in response.text


def test_a_limit_says_when_to_try_again(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_LIMIT_RPM="1").test_client()
    post(client)
    refused = post(client, input="Another")
    assert refused.status_code == 429
    assert re.search(r"<p>Try again in \d+ s\.", refused.text)
    assert "Retry-After" not in refused.text
    assert "Generations per minute: 0 of 1 left" in refused.text
    assert '<a href="/usage#limits">See what\'s left under Usage</a>' in refused.text


def test_unknown_ids_in_the_url(client: FlaskClient) -> None:
    assert client.get("/?template=nope").status_code == 404
    assert client.get("/?from=nope").status_code == 200, "a deleted generation does not break the page"


def test_every_kind_of_input(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    """Numbers, booleans, lists and objects keep their types through text fields."""
    (tmp_path / "all_kinds_v1.prompty").write_text(
        "---\nname: All\ninputs:\n  - {name: input, kind: string, required: true}\n"
        "  - {name: lines, kind: integer, default: 3, minimum: 1}\n  - {name: heat, kind: float, default: 0.5}\n"
        "  - {name: polite, kind: boolean, default: true}\n  - {name: words, kind: array, default: []}\n"
        "  - {name: extra, kind: object, default: {}}\n  - {name: note, kind: string, default: ''}\n---\n"
        "user:\n{{ lines + 1 }} {{ heat }} {{ polite }} {{ words | join('+') }} {{ extra }} {{ note }} {{ input }}\n"
    )
    client = make_app(APP_PROMPTS_DIR=str(tmp_path)).test_client()
    page = client.get("/").text
    assert 'type="number" id="field-parameters-lines"' in page
    assert 'name="p.polite" value="true" checked' in page
    form = {"template_id": "all_kinds_v1", "template_shown": "all_kinds_v1", "input": "Hi", "p.lines": "7", "p.heat": "1.5",
            "p.words": "red\r\n\r\nblue", "p.extra": '{"a": 1}', "p.note": ""}  # fmt: skip
    response = client.post("/", data=form, headers=OWN_PAGE)
    answer = client.get(response.headers["Location"]).text
    assert text_of(answer, "user-prompt") == "8 1.5 False red+blue {'a': 1}  Hi"
    wrong = client.post("/", data={**form, "p.lines": "seven", "p.extra": "{"}, headers=OWN_PAGE)
    assert text_of(wrong.text, "error-field-parameters-lines") == "Must be a whole number"
    assert (
        text_of(wrong.text, "error-field-parameters-extra")
        == "This is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)"
    )
    assert 'value="seven"' in wrong.text


def test_no_line_end_of_an_answer_breaks_its_event(client: FlaskClient) -> None:
    """All of CR, LF and CR LF end a line of an event stream: a model's text must not write events of its own."""
    body = {"template_id": "basic_chat_v1", "input": "a\rb\r\revent: evil\r\n\r\ndata: c"}
    request_id = client.post("/api/v1/generate", json=body).get_json()["request_id"]
    lines = re.split(r"\r\n|\r|\n", client.get(f"/generate/{request_id}/events").text)
    assert {line.partition(": ")[0] for line in lines} == {"event", "id", "data", ""}
    assert [line for line in lines if line.startswith("event: ")] == ["event: delta"]


def test_a_failure_says_the_same_later(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    at_once = post(client, model="fault-eof-after-3").text
    later = client.get(f"/?from={client.get('/api/v1/history').get_json()['items'][0]['request_id']}").text
    for page in (at_once, later):
        assert "The text below is incomplete." in page
        assert "upstream-truncated" in page or "upstream-unreachable" in page
    untouched = post(client, model="fault-500").text
    assert "The text below" not in untouched


def test_a_whole_but_invalid_answer_is_not_called_incomplete(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    page = post(client, template_id="meeting_actions_v1", model="json-other").text
    assert "The text below is the whole answer." in page
    assert "The text below is incomplete" not in page


def test_run_again_asks_another_model_without_the_cache(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    post(client)
    first = client.get("/api/v1/history").get_json()["items"][0]["request_id"]
    response = client.post("/generate/again", data={"request_id": first, "model": "json-other"}, headers=OWN_PAGE)
    assert response.status_code == 303
    page = client.get(response.headers["Location"]).text
    assert text_of(page, "field-input") == "\nHello there"
    assert "<option selected>json-other</option>" in page
    again = client.get("/api/v1/history").get_json()["items"][0]
    assert (again["model"], again["cached"]) == ("json-other", False)
    assert client.post("/generate/again", data={"request_id": "nope"}, headers=OWN_PAGE).status_code == 404


def test_an_answer_in_json_is_downloaded_as_json(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    for template, name, kind in (("meeting_actions_v1", "json", "application/json"), ("basic_chat_v1", "txt", "text/plain; charset=utf-8")):  # fmt: skip
        request_id = post(client, template_id=template).headers["Location"].split("from=")[1]
        address = f"/history/{request_id}/output.{name}"
        assert f'href="{address}"' in client.get(f"/history/{request_id}").text
        file = client.get(address)
        assert file.headers["Content-Type"] == kind
        assert file.headers["Content-Disposition"].endswith(f'generation-{request_id}.{name}"')
    assert client.get(f"/history/{request_id}/output.json").status_code == 404
