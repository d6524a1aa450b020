"""The options of one request in the form: sent, refused, restored, and in the code samples."""

import json
import re

import pytest
from flask.testing import FlaskClient

from tests.support.requests import post, text_of

SET = {"o.temperature": "0.3", "o.max_output_tokens": "100"}


def value_of(page: str, name: str) -> str:
    field = re.search(rf'name="o\.{name}" value="([^"]*)"', page)
    assert field, name
    return field[1]


def test_only_what_the_template_allows_is_drawn(client: FlaskClient) -> None:
    assert value_of(client.get("/").text, "temperature") == ""
    assert 'name="o.' not in client.get("/?template=classify").text
    assert 'placeholder="Default: 8000"' in client.get("/?template=translate").text


def test_the_templates_page_names_them(client: FlaskClient) -> None:
    page = client.get("/templates/basic_chat").text
    assert re.search(r"<h2>Options</h2>.*temperature.*0 to 2<.*max_output_tokens.*1 to 1,000,000<", page, re.DOTALL)
    assert "<h2>Options</h2>" not in client.get("/templates/classify").text


def test_they_are_sent_and_come_back(client: FlaskClient) -> None:
    shown = client.get(post(client, "/", **SET).headers["Location"]).text
    assert (value_of(shown, "temperature"), value_of(shown, "max_output_tokens")) == ("0.3", "100")
    (entry,) = client.get("/api/v1/history/export").get_json()["items"]
    assert entry["options"] == {"temperature": 0.3, "max_output_tokens": 100}
    assert "temperature 0.3, max output tokens 100" in client.get(f"/history/{entry['request_id']}").text


def test_a_number_as_browsers_send_it(client: FlaskClient) -> None:
    post(client, "/", **{"o.temperature": ".5", "o.max_output_tokens": ""})
    assert client.get("/api/v1/history/export").get_json()["items"][0]["options"] == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("temperature", "2.5", "Must be at most 2"),
        ("temperature", "warm", "Must be a number"),
        ("max_output_tokens", "0", "Must be at least 1"),
        ("max_output_tokens", "1.5", "Must be an integer"),
    ],
)
def test_an_error_is_at_its_field(client: FlaskClient, name: str, typed: str, words: str) -> None:
    response = post(client, "/", **{f"o.{name}": typed})
    assert response.status_code == 422
    assert words in text_of(response.text, f"error-field-options-{name}")
    assert value_of(response.text, name) == typed
    assert f'href="#field-options-{name}"' in response.text
    live = post(client, "/generate/answer", **{f"o.{name}": typed}).text
    assert words in text_of(live, f"error-field-options-{name}")


def test_another_template_keeps_those_that_it_allows(client: FlaskClient) -> None:
    assert value_of(post(client, "/generate/form", template_id="summarize_v1", **SET).text, "temperature") == "0.3"
    assert "o.temperature" not in post(client, "/generate/form", template_id="classify_v1", **SET).text


def test_code_samples_and_preview_have_them(client: FlaskClient) -> None:
    body = json.loads(text_of(post(client, "/generate/payload", **SET).text, "payload-json"))
    assert body["options"] == {"temperature": 0.3, "max_output_tokens": 100}
    assert client.post("/api/v1/generate", json=body).status_code == 200
    assert "at most 100 tokens" in post(client, "/generate/preview", **SET).text
